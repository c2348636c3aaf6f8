"""The words of reasons: templates, what is said of whom, and how they travel to Redis and back."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import skops.io
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from penstock.config.load import load as load_configuration
from penstock.config.model import View
from penstock.config.reasons import faults, parse, subjects
from penstock.errors import ConfigError, FailedError
from penstock.features.spec import definition
from penstock.publish.reasons import Coder, decode, decode_list, field_of
from penstock.publish.record import key_text
from penstock.scoring import predict
from penstock.scoring.reasons import LEAST, Wording
from penstock.training.artefact import MODEL_FILE, model_digest, write_inputs
from penstock.training.explain import explain
from penstock.training.fit import Fitted, fit
from penstock.training.inputs import from_pandas
from penstock.training.rows import labelled_rows
from training_rows import FEATURES, config, made

CONF = Path(__file__).parents[2] / "conf"


def view(**changed: Any) -> View:
    orders = {"name": "orders", "function": "count", "windows": ["30d", "all"], "description": "orders"}
    recency = {
        "name": "recency",
        "function": "days_since_last",
        "reason": ["last {recency} days ago, usually every {gap:.0f}", "last {recency} days ago"],
    }
    place = {"name": "place", "function": "last", "of": "town", "type": "string", "description": "town"}
    gap = {"name": "gap", "expression": "recency / nullif(orders_all, 0)", "reason_with": "recency"}
    aggregates = [{**entry, **changed.get(entry["name"], {})} for entry in (orders, recency, place)]
    derived = [{**gap, **changed.get("gap", {})}, *changed.get("more", [])]
    return View.model_validate(
        {"name": "v", "source": "s", "entity": ["customer"], "event_time": "at", "aggregates": aggregates, "derived": derived}
    )


INPUTS = ("orders_30d", "orders_all", "recency", "gap", "place")


def values(**given_: list[Any]) -> dict[str, Any]:
    shown: dict[str, list[Any]] = {"orders_30d": [0], "orders_all": [1200], "recency": [64], "gap": [17.6], "place": ["Ulm"], **given_}
    return {name: np.array(v, dtype=object if name == "place" else float) for name, v in shown.items()}


def said(contributions: list[float], given_: dict[str, Any] | None = None, of: View | None = None) -> list[str]:
    column = np.array(contributions, dtype=float)[:, np.newaxis]
    return Wording(subjects(of or view())).sentences(INPUTS, column, given_ or values())[0]


def test_the_three_weightiest_things_are_said_in_their_own_words() -> None:
    assert said([0.1, 0.2, 0.5, 0.4, 0.05]) == ["last 64 days ago, usually every 18", "orders in all history: 1,200", "town: Ulm"]


def test_windows_of_one_aggregate_are_one_reason_told_by_the_one_that_contributes_most() -> None:
    assert said([0.9, 0.2, 0, 0, 0]) == ["orders in the last 30 days: 0"]
    assert said([0.2, 0.9, 0, 0, 0]) == ["orders in all history: 1,200"]


def test_what_counts_with_another_is_weighed_with_it_and_may_cancel_it() -> None:
    assert said([0, 0, -0.5, 0.6, 0.05]) == ["last 64 days ago, usually every 18", "town: Ulm"]
    assert said([0, 0, 0.5, -0.6, 0.05]) == ["town: Ulm"]


def test_only_what_raises_the_score_is_a_reason() -> None:
    assert said([-1, -1, -1, -1, -1]) == []
    assert said([LEAST / 3, 0, LEAST, 0, 0]) == ["last 64 days ago, usually every 18"]


def test_the_first_template_whose_columns_are_known_is_used_and_nothing_known_has_words_too() -> None:
    assert said([0, 0, 1, 0, 0], values(gap=[np.nan])) == ["last 64 days ago"]
    assert said([0, 0, 1, 0, 0], values(gap=[np.nan], recency=[np.nan])) == ["recency: not known"]
    assert said([0, 0, 0, 0, 1], values(place=[None])) == ["town: not known"]


def test_equal_contributions_are_told_in_the_views_order_and_rows_do_not_depend_on_their_neighbours() -> None:
    wording, many = Wording(subjects(view())), np.tile(np.array([[0.2], [0.2], [0.4], [0.0], [0.4]]), 3)
    shown = values(orders_30d=[0, 1, 2], orders_all=[9, 9, 9], recency=[1, 2, 3], gap=[1, np.nan, 2], place=["Ulm", None, "Bonn"])
    whole = wording.sentences(INPUTS, many, shown)
    assert whole[2] == ["orders in the last 30 days: 2", "last 3 days ago, usually every 2", "town: Bonn"]
    alone = [wording.sentences(INPUTS, many[:, [at]], {n: v[[at]] for n, v in shown.items()})[0] for at in range(3)]
    assert whole == alone


@pytest.mark.parametrize(
    ("form", "value", "text"),
    [
        ("{value}", 12.5, "12.50"),
        ("{value}", 12.0, "12"),
        ("{value:,.2f}", 1204.5, "1,204.50"),
        ("{value:.0%}", 0.333, "33%"),
        ("{value:.0f}", -0.2, "0"),
        ("{value}", -0.001, "0.00"),
        ("{{{value}}}", 3.0, "{3}"),
    ],
)
def test_numbers_are_rounded_the_same_way_everywhere(form: str, value: float, text: str) -> None:
    assert said([1, 0, 0, 0, 0], values(orders_30d=[value]), view(orders={"reason": form})) == [text]


def test_text_from_the_data_is_one_short_line_and_no_template() -> None:
    (found,) = said([0, 0, 0, 0, 1], values(place=["{recency}\n" + "x" * 99]))
    assert found == "town: {recency} " + "x" * 30


@pytest.mark.parametrize(
    "text",
    ["", "{}", "{0}", "{recency.real}", "{recency[0]}", "{recency!r}", "{recency:{gap}}", "{recency:>99}", "{recency", "x\ny", "x" * 161],
)
def test_a_template_reaches_nothing_but_plain_columns(text: str) -> None:
    with pytest.raises(ValueError, match="expected"):
        parse(text)


@pytest.mark.parametrize(
    ("changed", "fault"),
    [
        ({"orders": {"reason": "{nothing} here"}}, "got nothing, expected columns of the view"),
        ({"orders": {"reason": "{customer} left"}}, "got customer"),
        ({"gap": {"reason_with": "orders_30d"}}, "reason_with in gap"),
        ({"recency": {"reason": [], "reason_with": "gap"}}, "expected an aggregate"),
        ({"gap": {"reason": "gap {gap}"}}, "needs no words of its own"),
        ({"gap": {"reason": "{gap!r}", "reason_with": None}}, "column alone"),
    ],
)
def test_reasons_that_cannot_be_said_are_faults_of_the_configuration(changed: dict[str, Any], fault: str) -> None:
    with pytest.raises(ValidationError, match=fault):
        view(**changed)


def test_values_of_personal_columns_are_never_told() -> None:
    more = [{"name": "shout", "expression": "upper(place)", "type": "string"}]
    given_ = view(more=more, place={"reason": "lives in {place}"})
    assert any("tells of a person" in fault for fault in faults(given_, ["town"]))
    column = np.array([0, 0, 0, 0, 1, 1], dtype=float)[:, np.newaxis]
    wording = Wording(subjects(view(more=more), ["town"]))
    assert wording.sentences([*INPUTS, "shout"], column, values()) == [["town", "shout"]]
    assert not {"place", "shout"} & set(wording.columns())


def test_words_do_not_change_what_a_feature_table_means() -> None:
    told = view(orders={"reason": "{value} orders"}, gap={"reason_with": None, "reason": "x {gap}"})
    assert definition(view(), "UTC") == definition(told, "UTC")


def test_the_shipped_pipeline_speaks_of_every_input_once() -> None:
    pipeline = load_configuration(CONF, "local", "churn").pipeline
    told = [column for subject in subjects(pipeline.features, ["customer_id"]) for column in subject.counted]
    assert sorted(told) == sorted(pipeline.features.column_names())


def test_a_template_over_a_personal_column_stops_the_configuration(tmp_path: Path) -> None:
    shutil.copytree(CONF, tmp_path / "conf")
    path = tmp_path / "conf" / "pipelines" / "churn.yml"
    path.write_text(path.read_text(encoding="utf-8").replace("of: country, type", "of: customer_id, type"), encoding="utf-8")
    with pytest.raises(ConfigError, match="got country, which tells of a person"):
        load_configuration(tmp_path / "conf", "local", "churn")


# -- in the scoring function -----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def fitted() -> Fitted:
    return fit(labelled_rows(made(6), key=["customer_id"]), FEATURES, config(), horizon=30, seconds=lambda: 0.0)


@pytest.fixture
def folder(fitted: Fitted, tmp_path: Path) -> Path:
    predict._LOADED.clear()
    skops.io.dump(fitted.model, tmp_path / MODEL_FILE)
    write_inputs(tmp_path, fitted.inputs, explain(fitted.model, fitted.inputs, from_pandas(made(6), fitted.inputs)))
    return tmp_path


def shop() -> View:
    aggregates = [{"name": "orders", "function": "count"}, {"name": "country", "function": "last", "of": "country", "type": "string"}]
    derived = [{"name": name, "expression": "orders"} for name in ("signal", "noise", "age")]
    derived[0]["reason"] = "signal {signal:.1f} at {age} years"  # age is no input of the model
    return View.model_validate(
        {"name": "v", "source": "s", "entity": ["customer_id"], "event_time": "at", "aggregates": aggregates, "derived": derived}
    )


def batch(rows: int) -> pa.RecordBatch:
    frame = made(2, 100, seed=4).head(rows).assign(age=44.0)
    columns = {name: pa.array(frame[name].tolist()) for name in ("customer_id", *FEATURES, "age")}
    return pa.RecordBatch.from_pydict({**columns, predict.TOLD: pa.array([n % 3 != 0 for n in range(rows)])})


def test_reasons_come_with_the_scores_for_published_rows_only_and_leave_the_scores_alone(fitted: Fitted, folder: Path) -> None:
    wording = Wording(subjects(shop())).of(fitted.inputs.names)
    plain = predict.scorer(str(folder), model_digest(folder), ["customer_id"])
    with_words = predict.scorer(str(folder), model_digest(folder), ["customer_id"], wording)
    (alone,), (found,) = plain([batch(60)]), with_words([batch(60)])
    assert found.schema.names == ["customer_id", "score", "reasons"]
    assert found["score"].equals(alone["score"])
    told = found["reasons"].to_pylist()
    assert [texts is None for texts in told] == [n % 3 == 0 for n in range(60)]
    assert all(len(set(texts)) == len(texts) <= 3 for texts in told if texts is not None)
    assert any("years" in text for texts in told if texts for text in texts)
    pieces = list(with_words([batch(60).slice(at, 7) for at in range(0, 60, 7)]))
    assert [texts for piece in pieces for texts in piece["reasons"].to_pylist()] == told


def test_a_model_without_explanation_and_an_empty_batch_give_no_reasons(fitted: Fitted, folder: Path) -> None:
    wording = Wording(subjects(shop())).of(fitted.inputs.names)
    (empty,) = predict.scorer(str(folder), model_digest(folder), ["customer_id"], wording)([batch(9).slice(0, 0)])
    assert (empty.num_rows, empty["reasons"].type) == (0, pa.list_(pa.string()))
    write_inputs(folder, fitted.inputs)
    (found,) = predict.scorer(str(folder), model_digest(folder), ["customer_id"], wording)([batch(9)])
    assert found["reasons"].null_count == 9


# -- as bytes in Redis -----------------------------------------------------------------------------------------------

_texts = st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=12)


@given(st.lists(st.lists(_texts, min_size=1, max_size=3).map(tuple), max_size=6), st.data())
def test_sentences_come_back_from_redis_as_they_went(sentences: list[tuple[str, ...]], data: st.DataObject) -> None:
    coder = Coder(sentences)
    known = decode_list(coder.encode_list())
    fill = (
        st.sampled_from(sentences).flatmap(lambda s: st.tuples(*[_texts] * (len(s) - 1)).map(lambda g: woven(s, g)))
        if sentences
        else _texts
    )
    reasons = data.draw(st.lists(st.one_of(fill, _texts), max_size=3))
    assert decode(coder.encode(reasons), known) == tuple(reasons)


def woven(sentence: tuple[str, ...], gaps: tuple[str, ...]) -> str:
    return sentence[0] + "".join(gap + part for gap, part in zip(gaps, sentence[1:], strict=True))


def test_three_reasons_of_the_shop_fit_the_compact_form_of_redis() -> None:
    pipeline = load_configuration(CONF, "local", "churn").pipeline
    coder = Coder(Wording(subjects(pipeline.features)).patterns())
    reasons = (
        "£12,767.07 of £101,132.12 in the last 90 days were spent in the last 30",
        "last purchase 74 days ago, usually every 135",
        "different products bought in the last 180 days: 1,014",
    )
    value = coder.encode(reasons)
    assert len(value) <= 64
    assert decode(value, decode_list(coder.encode_list())) == reasons


def test_the_list_does_not_depend_on_the_order_in_which_sentences_are_given() -> None:
    one, other = Coder([("a ", ""), ("b ", "")]), Coder([("b ", ""), ("a ", ""), ("a ", "")])
    assert one.encode_list() == other.encode_list()
    assert one.encode(["a 1", "b 2"]) == other.encode(["a 1", "b 2"])


@pytest.mark.parametrize("value", [b"", b"{}", b"[0]", b'["x"]', b"[7]", b"[-2]", b'[0,"a","b"]', b'[0,"a",[]]'])
def test_bytes_that_no_publisher_wrote_are_refused(value: bytes) -> None:
    with pytest.raises(FailedError, match="reasons"):
        decode(value, (("since ", " days"),))


@given(st.one_of(_texts, st.tuples(_texts, _texts), st.just("[r]1"), st.just("[t]")))
def test_no_entitys_key_is_taken_for_a_field_of_reasons(key: Any) -> None:
    text = key_text(key)
    assert not text.startswith(("[r]", "[t]"))
    assert field_of(text) == "[r]" + text
