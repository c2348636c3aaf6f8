"""Which errors of others are told in our words, and which are left alone with their trace."""

from __future__ import annotations

import errno

import pytest

from penstock.errors import BusyError, ConfigError, DataError, FailedError, PenstockError, ServiceError
from penstock.orchestrate.explain import explained


def from_a_worker(sentence: str) -> RuntimeError:
    """As Spark hands over what one of its Python workers raised."""
    return RuntimeError(
        f"Job aborted due to stage failure: org.apache.spark.api.python.PythonException: Traceback:\n  File x\n{sentence}\n\tat org.apache"
    )


def test_our_own_error_is_given_back_as_it_is() -> None:
    error = BusyError("lease of pipeline/churn", got="held by run r1")
    assert explained(error) is error


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_is_the_disk_s_fault_and_may_be_tried_again(number: int) -> None:
    said = explained(OSError(number, "x", "/somewhere/secret.parquet"))
    assert isinstance(said, ServiceError)
    assert said.retry
    assert "disk of the lake: got no space left" in str(said)
    assert "secret" not in str(said)


@pytest.mark.parametrize("text", ["java.io.IOException: No space left on device", "Py4JJavaError … Disk quota exceeded …"])
def test_a_full_disk_is_known_by_what_spark_says_of_it(text: str) -> None:
    assert "disk of the lake" in str(explained(RuntimeError(text)))


def test_another_error_of_the_system_is_not_a_full_disk() -> None:
    assert explained(OSError(errno.EACCES, "Permission denied")) is None


def test_a_sentence_from_a_spark_worker_is_taken_out_with_its_class_and_exit_code() -> None:
    sentence = "landing file 2011-09-05.csv: got other bytes than in the plan, expected the bytes that were inspected."
    said = explained(from_a_worker(f"penstock.errors.DataError: {sentence}"))
    assert type(said) is DataError
    assert str(said) == sentence
    assert said.exit_code == 3


def test_every_class_of_ours_can_come_out_of_a_worker() -> None:
    def below(kind: type[PenstockError]) -> set[type[PenstockError]]:
        return {kind, *(deep for direct in kind.__subclasses__() for deep in below(direct))}

    # classes of other modules (a client's) are never raised in a worker of Spark
    for kind in {k for k in below(PenstockError) if k.__module__ == PenstockError.__module__} - {ConfigError}:
        said = explained(from_a_worker(f"penstock.errors.{kind.__name__}: model: got another digest."))
        assert type(said) is kind
        assert str(said) == "model: got another digest."
        assert kind(said.what).exit_code == said.exit_code


@pytest.mark.parametrize("name", ["NoSuchError", "ClassVar", "annotations"])
def test_a_name_that_is_no_class_of_ours_becomes_a_failure(name: str) -> None:
    said = explained(from_a_worker(f"penstock.errors.{name}: something"))
    assert type(said) is FailedError
    assert str(said) == "something"


def test_an_interrupt_says_what_stays_and_how_to_go_on() -> None:
    said = explained(KeyboardInterrupt())
    assert isinstance(said, FailedError)
    assert "the next run continues from there" in str(said)


@pytest.mark.parametrize("error", [ValueError("x"), RuntimeError("Python worker died"), KeyError("customer 17850"), ZeroDivisionError()])
def test_anything_else_is_a_bug_and_keeps_its_trace(error: Exception) -> None:
    assert explained(error) is None


def test_an_expression_that_only_spark_can_see_through_is_a_fault_of_the_configuration() -> None:
    class AnalysisException(Exception):  # noqa: N818
        """As pyspark's, classic and Connect."""

    text = "[UNRESOLVED_COLUMN.WITH_SUGGESTION] A column with name `orderz` cannot be resolved. Did you mean [`orders`]? SQLSTATE: 42703;\n'Filter"
    said = explained(AnalysisException(text))
    assert isinstance(said, PenstockError)
    assert said.exit_code == 2
    assert "got A column with name `orderz` cannot be resolved. Did you mean [`orders`]?" in str(said)
    assert "Filter" not in str(said)
    assert explained(AnalysisException("[TABLE_OR_VIEW_NOT_FOUND] The table cannot be found.")) is None
