"""A landing as a whole, judged by Great Expectations: the contract as a suite for one batch.

The only importer of great_expectations, and only inside its functions: the import takes seconds. Nothing is sent
anywhere, nothing is shown on the terminal, and results carry no values of the data (`BOOLEAN_ONLY`).
"""

from __future__ import annotations

import logging
import math
import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from penstock.lake.contract import BatchRule, Column, Contract
from penstock.landing.rows import FileCounts, bound_value, length_bounds, whole

if TYPE_CHECKING:
    from great_expectations import ExpectationSuite
    from pyspark.sql import DataFrame

REFUSED = "_refused"
_SPARK_TYPES = {
    "string": "StringType",
    "int": "IntegerType",
    "bigint": "LongType",
    "double": "DoubleType",
    "date": "DateType",
    "timestamp": "TimestampType",
    "boolean": "BooleanType",
}


@dataclass(frozen=True)
class Expectation:
    """One expectation's outcome. `column` is empty for those about the table; `error` says why it could not be evaluated."""

    expectation: str
    column: str
    success: bool
    error: str = ""
    decides: bool = True
    """Whether a failure stops the landing; else it is only reported."""


@dataclass(frozen=True)
class BatchVerdict:
    """The outcome of all expectations on a batch."""

    results: tuple[Expectation, ...]

    @property
    def success(self) -> bool:
        """Whether there are results and none of those that decide has failed."""
        return bool(self.results) and not self.failed

    @property
    def failed(self) -> tuple[Expectation, ...]:
        """What stops the landing."""
        return tuple(result for result in self.results if result.decides and not result.success)


def judge_counts(contract: Contract, counts: tuple[FileCounts, ...]) -> tuple[Expectation, ...]:
    """The contract's duplicateValues rules on the counts of `file_facts`; a share of no rows is not known and does not succeed."""
    rows = sum(count.rows for count in counts)
    return tuple(
        Expectation(
            rule.name,
            ",".join(rule.columns),
            rule.holds(sum(count.checks[rule.name] for count in counts), rows) is True,
            decides=rule.severity == "error",
        )
        for rule in contract.batch_rules
        if rule.metric == "duplicateValues"
    )


def suite(contract: Contract, max_rejected_share: float) -> ExpectationSuite:
    """The contract as expectations on the frame of `batch`. Row conditions may fail for at most `max_rejected_share` of the rows.

    Only conditions on values are used where there is a choice: Great Expectations evaluates all of them in one pass, and needs
    another pass for each further kind (means, shares of nulls, lengths).
    """
    gx = _great_expectations()
    expectations: Any = gx.expectations
    columns = [*(column.name for column in contract.columns), REFUSED]
    found: list[Any] = [
        expectations.ExpectTableColumnsToMatchSet(column_set=columns, exact_match=True),
        expectations.ExpectColumnValuesToBeInSet(column=REFUSED, value_set=[0], mostly=1 - max_rejected_share),
    ]
    if all(rule.metric != "rowCount" for rule in contract.batch_rules):
        # Of no rows every share holds, so that nothing else would fail.
        found.append(expectations.ExpectTableRowCountToBeBetween(min_value=1))
    for column in contract.columns:
        found += _column_expectations(expectations, column, 1 - max_rejected_share)
    for rule in contract.batch_rules:
        found += _batch_expectation(expectations, rule)
    built: ExpectationSuite = gx.ExpectationSuite(name=contract.name, expectations=found)
    return built


def batch(rows: DataFrame, contract: Contract) -> DataFrame:
    """What the suite is run on: the typed columns of `checked` rows, accepted or not, and `_refused` (1 or 0)."""
    from pyspark.sql import functions as F

    return rows.select(*(column.name for column in contract.columns), (F.size("reasons") > 0).cast("int").alias(REFUSED))


def validate(rows: DataFrame, contract: Contract, max_rejected_share: float | None = None) -> BatchVerdict:
    """Runs the suite on `checked` rows; the share comes from the contract unless given.

    Caches nothing and reads the rows two or three times: give it staged rows rather than a frame that parses files.
    """
    gx = _great_expectations()
    context = gx.get_context(mode="ephemeral")
    context.enable_analytics(False)
    context.variables.progress_bars = gx.data_context.types.base.ProgressBarsConfig(globally=False)
    source = context.data_sources.add_spark("landing", persist=False)
    definition = source.add_dataframe_asset(contract.name).add_batch_definition_whole_dataframe("batch")
    share = contract.max_rejected_share if max_rejected_share is None else max_rejected_share
    outcome = definition.get_batch({"dataframe": batch(rows, contract)}).validate(suite(contract, share), result_format="BOOLEAN_ONLY")
    return BatchVerdict(tuple(_result(result) for result in outcome.results))


def _great_expectations() -> Any:
    with warnings.catch_warnings():
        # Its dependencies import modules of the standard library that are deprecated; nobody here can mend that.
        warnings.simplefilter("ignore", DeprecationWarning)
        import great_expectations.data_context.types.base
        import great_expectations.expectations
    # It tells of its context and of each metric that fails through its logger; the verdict holds all that.
    logging.getLogger("great_expectations").setLevel(logging.CRITICAL)
    return great_expectations


def _column_expectations(expectations: Any, column: Column, mostly: float) -> list[Any]:
    of = {"column": column.name}
    spark_type = _SPARK_TYPES.get(column.type, "DecimalType")
    found = [expectations.ExpectColumnValuesToBeOfType(**of, type_=spark_type)]
    if column.required:
        found.append(expectations.ExpectColumnValuesToNotBeNull(**of, mostly=mostly))
    if column.pattern:
        found.append(expectations.ExpectColumnValuesToMatchRegex(**of, regex=whole(column.pattern), mostly=mostly))
    if length := length_bounds(column):
        pattern = whole(f"(?s).{{{length[0]},{length[1]}}}")
        found.append(expectations.ExpectColumnValuesToMatchRegex(**of, regex=pattern, mostly=mostly))
    low = column.minimum if column.exclusive_minimum is None else column.exclusive_minimum
    high = column.maximum if column.exclusive_maximum is None else column.exclusive_maximum
    if low is not None or high is not None:
        bounds = {
            "min_value": None if low is None else bound_value(column, low),
            "max_value": None if high is None else bound_value(column, high),
            "strict_min": column.exclusive_minimum is not None,
            "strict_max": column.exclusive_maximum is not None,
        }
        found.append(expectations.ExpectColumnValuesToBeBetween(**of, **bounds, mostly=mostly))
    return found


def _batch_expectation(expectations: Any, rule: BatchRule) -> list[Any]:
    meta = {"decides": rule.severity == "error"}
    if rule.metric == "rowCount":
        # Whole numbers: more than 0 is at least 1.
        low = None if rule.low is None else math.floor(rule.low) + 1 if rule.low_open else math.ceil(rule.low)
        high = None if rule.high is None else math.ceil(rule.high) - 1 if rule.high_open else math.floor(rule.high)
        return [expectations.ExpectTableRowCountToBeBetween(min_value=low, max_value=high, meta=meta)]
    if rule.metric == "nullValues" and rule.low is None and rule.high is not None:
        # Fewer than 95 % nulls is more than 5 % values.
        least = 1 - rule.high / 100
        mostly = min(1.0, math.nextafter(least, 2)) if rule.high_open else least
        return [expectations.ExpectColumnValuesToNotBeNull(column=rule.columns[0], mostly=mostly, meta=meta)]
    if rule.metric == "nullValues":
        # Seen from the values, the bounds change sides.
        return [
            expectations.ExpectColumnProportionOfNonNullValuesToBeBetween(
                column=rule.columns[0],
                min_value=None if rule.high is None else 1 - rule.high / 100,
                max_value=None if rule.low is None else 1 - rule.low / 100,
                strict_min=rule.high_open,
                strict_max=rule.low_open,
                meta=meta,
            )
        ]
    return []


def _result(result: Any) -> Expectation:
    config = result.expectation_config
    raised = result.exception_info or {}
    details = [raised] if "exception_message" in raised else list(raised.values())
    error = next((str(d["exception_message"]).splitlines()[0] for d in details if isinstance(d, dict) and d.get("raised_exception")), "")
    decides = bool((config.meta or {}).get("decides", True))
    return Expectation(str(config.type), str(config.kwargs.get("column", "")), bool(result.success), error[:200], decides)
