"""Names and expressions from configuration: what is let through and what is not."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.lake.expressions import check_expression, check_identifier, quote


@pytest.mark.parametrize("name", ["a", "customer_id", "orders_30d", "x" * 63])
def test_a_snake_case_name_is_let_through_and_quoted(name: str) -> None:
    check_identifier(name)
    assert quote(name) == f"`{name}`"


@pytest.mark.parametrize("name", ["", "A", "1a", "a b", "a`b", "a.b", "a;drop", "a\n", "ä", "_a", "x" * 64, "ａ"])
def test_any_other_name_is_refused_and_never_quoted(name: str) -> None:
    for judge in (check_identifier, quote):
        with pytest.raises(ValueError, match="expected a name like"):
            judge(name)


@pytest.mark.parametrize(
    "text",
    [
        "regexp_replace(customer_id, r'\\.0$', '')",
        "nullif(trim(x), '')",
        "quantity < 0 AND NOT invoice_no LIKE 'C%'",
        "stock_code NOT RLIKE '^[0-9]{5}[A-Za-z]*$'",
        "note = 'select; -- from /* nothing */'",
        'note = "it\'\'s; a \\" drop"',
        "CASE WHEN a[0] > 1.5e3 THEN m['k'] ELSE b.c END",
        "unit_price <=> 0 OR cast(x AS decimal(12,3)) % 2 != 1",
        "`from` = 'x'",
        "selected = 1 AND withdrawal = 2",
    ],
)
def test_a_row_expression_is_let_through(text: str) -> None:
    check_expression(text)


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("", "nothing"),
        ("   ", "nothing"),
        ("a; DROP TABLE x", "';'"),
        ("a -- b", "comment"),
        ("a /* b */", "comment"),
        ("(SELECT max(x) FROM other)", "SELECT"),
        ("a IN (sElEcT 1)", "sElEcT"),
        ("EXISTS(WITH t AS (VALUES 1) TABLE t)", "EXISTS"),
        ("a IN (TABLE secrets)", "TABLE"),
        ("java_method('java.lang.Runtime', 'exit', 1)", "java_method"),
        ("`reflect` ('java.lang.System', 'getenv')", "reflect"),
        ("REFLECT('a', 'b')", "REFLECT"),
        ("rand() > 0.5", "rand"),
        ("x > current_date", "current_date"),
        ("x > now()", "now"),
        ("main.default.f(x)", "qualified"),
        ("ai_query('m', x)", "ai_query"),
        ("sum(x) OVER (PARTITION BY y)", "OVER"),
        ("a = 'open", "'"),
        ("(a", "never closed"),
        ("a)", "opening bracket"),
        ("a = ${env}", "'$'"),
        ("a = :p", "':'"),
        ("a = 'x\\'", "'"),
        ("IDENTIFIER('x' || 'y')", "IDENTIFIER"),
    ],
)
def test_anything_that_leaves_the_row_is_refused_and_the_fault_names_it(text: str, word: str) -> None:
    with pytest.raises(ValueError, match=re.escape(word)):
        check_expression(text)


@given(st.text(max_size=60))
def test_a_semicolon_or_comment_outside_of_a_literal_never_passes(text: str) -> None:
    bare = text.translate({ord(c): None for c in "'\"`"})
    if any(sign in bare for sign in (";", "--", "/*")):
        with pytest.raises(ValueError, match="expected"):
            check_expression(bare)
