"""What a view means: the digest stands still under layout and words, and moves with everything that rows depend on."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

import shop
from penstock.config.model import View
from penstock.features import spec
from penstock.lake import expressions
from penstock.lake.expressions import names_in, normalised

ZONE = "Europe/London"
DECLARED: dict[str, Any] = yaml.safe_load(shop.PIPELINE_YML)["features"]
TOKENS = ["orders_42d", "spend_42d", "0", "1.5", "'a  b'", "'it''s'", '"x  y"', "`spend_42d`", "nullif", "CASE", "END", "AND"]
SIGNS = ["+", "-", "*", "<", "<=", "=", "||", ","]


def meaning(tree: dict[str, Any], zone: str = ZONE) -> str:
    return spec.definition(View.model_validate(tree), zone)


def copied(**changes: Any) -> dict[str, Any]:
    return DECLARED | changes


def with_column(kind: str, name: str, **changes: Any) -> dict[str, Any]:
    """The declaration with keys of one aggregate or derived column changed."""
    return copied(**{kind: [c | changes if c["name"] == name else c for c in DECLARED[kind]]})


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_order_layout_and_words_for_people_do_not_count(data: st.DataObject) -> None:
    words = st.fixed_dictionaries(
        {}, optional={"description": st.text(max_size=9), "owner": st.text(max_size=9), "tags": st.lists(st.text(max_size=5)), "restrictions": st.lists(st.just("pii"))}
    )  # fmt: skip
    tree = copied(checks=[], max_row_count_change=0.1, **data.draw(words))
    tree["aggregates"] = [a | data.draw(words) for a in data.draw(st.permutations(tree["aggregates"]))]
    tree["aggregates"] = [a | ({"windows": data.draw(st.permutations(a["windows"]))} if "windows" in a else {}) for a in tree["aggregates"]]
    blank = st.text(" \n\t", min_size=1, max_size=3)
    tree["derived"] = [
        d | data.draw(words) | {"expression": "".join(c if c != " " else data.draw(blank) for c in d["expression"])}
        for d in tree["derived"]
    ]
    tree = dict(data.draw(st.permutations(list(tree.items()))))
    assert meaning(tree) == meaning(DECLARED)


MEANT: list[tuple[str, Callable[[], dict[str, Any]]]] = [
    ("name", lambda: copied(name="other")),
    ("source", lambda: copied(source="other")),
    ("entity", lambda: copied(entity=["customer_id", "country"], aggregates=DECLARED["aggregates"][:-1])),
    ("event time", lambda: copied(event_time="paid_at")),
    ("delay", lambda: copied(availability_delay_days=1)),
    ("where", lambda: copied(where="amount > 5")),
    ("events", lambda: copied(events={"order": "amount > 1"})),
    ("text in an event", lambda: copied(events={"order": "amount > 0 AND country <> 'A B'"})),
    ("function", lambda: with_column("aggregates", "orders", function="count", of=None)),
    ("value", lambda: with_column("aggregates", "spend", of="2 * amount")),
    ("no events", lambda: with_column("aggregates", "spend", when=None)),
    ("type", lambda: with_column("aggregates", "spend", type="decimal(18,3)")),
    ("windows", lambda: with_column("aggregates", "spend", windows=["42d", "60d"])),
    ("expression", lambda: with_column("derived", "basket_42d", expression="spend_42d / orders_42d")),
    ("derived type", lambda: with_column("derived", "basket_42d", type="float")),
    ("a column more", lambda: copied(derived=[*DECLARED["derived"], {"name": "x", "expression": "1.0"}])),
    ("a column less", lambda: copied(derived=[])),
]


@pytest.mark.parametrize("change", [c for _, c in MEANT], ids=[name for name, _ in MEANT])
def test_what_rows_depend_on_counts(change: Callable[[], dict[str, Any]]) -> None:
    assert meaning(change()) != meaning(DECLARED)


def test_each_such_change_is_another_version_and_so_is_the_time_zone() -> None:
    found = [meaning(DECLARED), meaning(DECLARED, "Europe/Berlin"), *(meaning(change()) for _, change in MEANT)]
    assert len(set(found)) == len(found)


def test_white_space_inside_of_text_counts_and_outside_does_not() -> None:
    one, other = (copied(events={"order": f"country <> '{text}'"}) for text in ("A B", "A  B"))
    assert meaning(one) != meaning(other)
    assert meaning(copied(events={"order": "country<>'A B'"})) == meaning(one)


def test_a_column_s_own_meaning_moves_with_its_own_definition_alone() -> None:
    before = spec.column_meanings(View.model_validate(DECLARED))
    after = spec.column_meanings(View.model_validate(with_column("aggregates", "spend", of="2 * amount")))
    assert {name for name in before if before[name] != after[name]} == {"spend_42d", "basket_42d"}


@given(st.lists(st.sampled_from(TOKENS + SIGNS), min_size=1, max_size=12), st.data())
def test_white_space_between_tokens_never_counts_and_every_token_does(tokens: list[str], data: st.DataObject) -> None:
    blank = st.text(" \n\t", min_size=1, max_size=4)
    loose = "".join(token + data.draw(blank) for token in tokens)
    assert normalised(loose) == normalised(" ".join(tokens)) == " ".join(tokens)
    at = data.draw(st.integers(0, len(tokens) - 1))
    assert normalised(" ".join(t for i, t in enumerate(tokens) if i != at)) != normalised(loose)


def test_names_are_columns_and_neither_functions_nor_text() -> None:
    assert names_in("nullif(Spend, `lines`) > 'orders' AND t.country LIKE 'C%'") == {"spend", "lines", "and", "t", "country", "like"}


def test_the_tokens_of_a_normalised_expression_are_those_of_the_text() -> None:
    text = "CASE WHEN a<=b  THEN 'x  y' END"
    assert expressions._tokens(normalised(text)) == expressions._tokens(text)


@pytest.mark.parametrize("name", ["activity_v2", "a_v10"])
def test_a_view_may_not_be_called_like_the_version_of_another(name: str) -> None:
    with pytest.raises(ValidationError, match="does not end in _v"):
        View.model_validate(copied(name=name))


def test_a_digest_stands_still_from_release_to_release() -> None:
    """A change of this digest makes a new version in every lake, to be filled from the first landed row: only on purpose."""
    orders = {"name": "orders", "function": "count", "when": "order", "windows": ["7d", "all"]}
    spend = {"name": "spend", "function": "sum", "of": "amount", "type": "decimal(18,2)"}
    tree = {"name": "v", "source": "s", "entity": ["k"], "event_time": "t", "events": {"order": "amount > 0"}}
    tree |= {"aggregates": [orders, spend], "derived": [{"name": "basket", "expression": "spend / orders_all"}]}
    assert meaning(tree) == "ebe64ba140465e59"
