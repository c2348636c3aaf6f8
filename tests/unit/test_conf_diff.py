"""What changed between two configurations: each kind of change on its own, with file, key, and whether it breaks."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

import shop
from penstock import cli
from penstock.orchestrate.conf_commands import lines, side
from penstock.orchestrate.conf_diff import Change, Side, differences

CONTRACT, PIPELINE = f"contracts/{shop.SOURCE}.yml", f"pipelines/{shop.PIPELINE}.yml"
Compare = Callable[..., tuple[Change, ...]]


@pytest.fixture(scope="module")
def before(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return shop.write_conf(tmp_path_factory.mktemp("before") / "conf")


def edited(conf: Path, to: Path, file: str, *edits: tuple[str, str]) -> Path:
    """A copy of a configuration with texts of one file replaced; each must be there once."""
    shutil.copytree(conf, to)
    text = (to / file).read_text(encoding="utf-8")
    for old, new in edits:
        assert text.count(old) == 1, old
        text = text.replace(old, new)
    (to / file).write_text(text, encoding="utf-8")
    return to


@pytest.fixture
def compare(before: Path, tmp_path: Path) -> Compare:
    """The changes after texts of one file were replaced."""

    def changes(file: str, *edits: tuple[str, str]) -> tuple[Change, ...]:
        return differences(side(before, "local"), side(edited(before, tmp_path / "after", file, *edits), "local"))

    return changes


ORDERS = "{name: orders, function: count_distinct, of: order_no, when: order, windows: [14d, 42d]}"
SPEND = '{name: spend, function: sum, of: amount, type: "decimal(18,2)", when: order, windows: [42d]}'
COUNTRY = "{name: country, function: last, of: country, type: string}"
BREAKING = [
    ("a column that is gone", CONTRACT, [("name: amount, physicalName: Amount", "name: sum, physicalName: Sum")], {"schema.amount", "schema.sum"}),
    ("a renamed column", CONTRACT, [("name: country, physicalName", "name: land, physicalName")], {"schema.country"}),
    ("another header", CONTRACT, [("physicalName: Country", "physicalName: Land")], {"schema.country.physicalName"}),
    ("another type", CONTRACT, [("decimal(12,2)", "decimal(14,2)")], {"schema.amount.physicalType"}),
    (
        "a column that may be null",
        CONTRACT,
        [('physicalType: "decimal(12,2)", required: true', 'physicalType: "decimal(12,2)", required: false')],
        {"schema.amount.required"},
    ),
    ("another format", CONTRACT, [("yyyy-MM-dd HH:mm:ss", "yyyy/MM/dd HH:mm:ss")], {"schema.ordered_at.logicalTypeOptions.format"}),
    ("another file name", CONTRACT, [('"{date}.csv"', '"orders-{date}.csv"')], {"customProperties.knownTime.file"}),
    ("another known time", CONTRACT, [("latency, value: 1", "latency, value: 2")], {"slaProperties.latency"}),
    (
        "another time zone",
        CONTRACT,
        [("timezone, value: Europe/London", "timezone, value: Europe/Berlin")],
        {"customProperties.timezone", "schema.ordered_at.logicalTypeOptions.defaultTimezone"},
    ),
    ("another view", PIPELINE, [("  name: tiny_activity", "  name: activity"), ("view: tiny_activity", "view: activity")], {"features.name"}),
    ("another delay", PIPELINE, [("event_time: ordered_at", "event_time: ordered_at\n  availability_delay_days: 1")], {
        "features.availability_delay_days", "label.expression",
    }),
    ("a feature that is gone", PIPELINE, [("windows: [14d, 42d]", "windows: [42d]"), ("orders_14d <= orders_42d", "orders_42d >= 0")], {"features.orders_14d"}),
    ("an aggregate of another value", PIPELINE, [("function: sum, of: amount", "function: sum, of: amount * 2")], {
        "features.spend_42d", "features.basket_42d",  # what is derived from it means something else, too
    }),
    ("a derived column of another expression", PIPELINE, [("nullif(orders_42d, 0)", "nullif(orders_14d, 0)")], {"features.basket_42d"}),
    ("other events", PIPELINE, [("order: amount > 0", "order: amount > 1")], {
        "features.recency_days", "features.tenure_days", "features.orders_14d", "features.orders_42d", "features.spend_42d",
        "features.basket_42d", "population", "label.expression",
    }),
    ("another population", PIPELINE, [("population: orders_42d > 0", "population: orders_14d > 0")], {"population"}),
    ("another label", PIPELINE, [("expression: orders = 0", "expression: orders < 2")], {"label.expression"}),
    ("another horizon", PIPELINE, [("horizon_days: 14", "horizon_days: 21")], {"label.horizon_days"}),
    ("another interval", PIPELINE, [("every_days: 7", "every_days: 14")], {"schedule.every_days", "schedule.first"}),
    ("another grid", PIPELINE, [("2023-02-13", "2023-02-14")], {"schedule.first"}),
]  # fmt: skip
BREAKING[-2][3].discard("schedule.first")

COMPATIBLE = [
    ("a rule more", CONTRACT, [("    quality:\n      - {name: voided", "    quality:\n      - {name: free, type: custom, engine: penstock, implementation: amount = 0, severity: info}\n      - {name: voided")], {"schema.quality.free"}),
    ("a closed day", CONTRACT, [("[friday, saturday, sunday]", "[friday, sunday]")], {"customProperties.calendar"}),
    ("a stricter range", CONTRACT, [("maximum: 10000", "maximum: 9000")], {"schema.amount.logicalTypeOptions.maximum"}),
    ("a longer retention", CONTRACT, [("retention, value: 10", "retention, value: 12")], {"slaProperties.retention"}),
    ("a feature more", PIPELINE, [("windows: [14d, 42d]", "windows: [14d, 28d, 42d]")], {"features.orders_28d"}),
    ("other checks", PIPELINE, [("orders_14d <= orders_42d", "orders_14d < 1000")], {"features.checks"}),
    ("a later maturity", PIPELINE, [("delay_days: 1,", "delay_days: 2,")], {"label.delay_days"}),
    ("an earlier beginning on the grid", PIPELINE, [("2023-02-13", "2023-02-06")], {"schedule.first"}),
]  # fmt: skip


@pytest.mark.parametrize(("file", "edits", "keys"), [case[1:] for case in BREAKING], ids=[case[0] for case in BREAKING])
def test_what_breaks_is_named_with_file_and_key(compare: Compare, file: str, edits: list[tuple[str, str]], keys: set[str]) -> None:
    found = compare(file, *edits)
    assert {change.key for change in found if change.breaking} == keys
    assert {change.file for change in found} == {file}
    assert all(change.what for change in found)


@pytest.mark.parametrize(("file", "edits", "keys"), [case[1:] for case in COMPATIBLE], ids=[case[0] for case in COMPATIBLE])
def test_what_breaks_nothing_is_named_and_said_so(compare: Compare, file: str, edits: list[tuple[str, str]], keys: set[str]) -> None:
    found = compare(file, *edits)
    assert {change.key for change in found} == keys
    assert {change.file for change in found} == {file}
    assert not any(change.breaking for change in found)


@pytest.mark.parametrize(
    ("file", "edits"),
    [
        (PIPELINE, [("expression: orders = 0", "expression: '  orders =  0 '")]),
        (PIPELINE, [("nullif(orders_42d, 0)", "nullif( orders_42d,0 )")]),
        (PIPELINE, [(COUNTRY, "{name: country, description: of the last order, tags: [where], owner: sales, function: last, of: country, type: string}")]),
        (PIPELINE, [("{order: amount > 0}", "{order: amount > 0, unused: amount < 0}")]),
        (PIPELINE, [(ORDERS, "AT"), (SPEND, ORDERS), ("AT", SPEND)]),
        (PIPELINE, [("max_iter: 20", "max_iter: 30")]),
        (CONTRACT, [("Orders of a small shop", "All orders of a small shop")]),
    ],
    ids=["white space", "white space in brackets", "words for people", "unused events", "order", "training", "purpose"],
)  # fmt: skip
def test_layout_words_for_people_and_what_is_not_compared_are_no_change(compare: Compare, file: str, edits: list[tuple[str, str]]) -> None:
    assert compare(file, *edits) == ()


def test_a_column_that_becomes_required_or_new_breaks_the_files_as_they_come(compare: Compare) -> None:
    more = "{name: note, physicalName: Note, logicalType: string, physicalType: string}"
    found = compare(CONTRACT, ("      - {name: country, physicalName", f"      - {more}\n      - {{name: country, physicalName"))
    assert [(c.key, c.breaking) for c in found] == [("schema.note", True)]


def test_pipelines_and_contracts_that_come_break_nothing_and_those_that_go_do(before: Path) -> None:
    whole = side(before, "local")
    without = Side(
        {k: v for k, v in whole.pipelines.items() if k != shop.PIPELINE}, {k: v for k, v in whole.contracts.items() if k != shop.SOURCE}
    )
    assert [(c.file, c.breaking) for c in differences(without, whole)] == [(CONTRACT, False), (PIPELINE, False)]
    assert [(c.file, c.breaking) for c in differences(whole, without)] == [(CONTRACT, True), (PIPELINE, True)]
    assert differences(whole, whole) == ()


def test_another_entity_is_said_to_be_refused(compare: Compare) -> None:
    found = compare(PIPELINE, ("entity: [customer_id]", "entity: [customer_id, order_no]"))
    assert "refuses" in next(c.what for c in found if c.key == "features.entity")


def test_the_command_says_it_in_lines_and_json_and_by_its_exit_code(
    before: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    after = edited(
        before, tmp_path / "b" / "conf", PIPELINE, ("horizon_days: 14", "horizon_days: 21"), ("delay_days: 1,", "delay_days: 2,")
    )
    assert cli.main(["conf", "diff", str(before), str(after)]) == 3
    out = capsys.readouterr().out.splitlines()
    assert out[0] == "breaking (1)"
    assert out[1].startswith("  pipelines/tiny.yml: label.horizon_days: 14 → 21: labels made before")
    assert out[2] == "compatible (1)"
    assert cli.main(["conf", "diff", str(before), str(after.parent), "--json"]) == 3  # the folder that holds conf/ will do
    assert [c["key"] for c in json.loads(capsys.readouterr().out)] == ["label.horizon_days", "label.delay_days"]
    assert cli.main(["conf", "diff", str(before), str(before)]) == 0
    assert capsys.readouterr().out == lines([])[0] + "\n"


def test_folders_that_cannot_be_compared_are_wrong_usage(before: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["conf", "diff", str(before), str(tmp_path / "nowhere")]) == 2
    assert "no base.yml there" in capsys.readouterr().err
    broken = edited(before, tmp_path / "broken", PIPELINE, ("horizon_days: 14", "horizon_days: -1"))
    assert cli.main(["conf", "diff", str(before), str(broken)]) == 2
    said = capsys.readouterr().err
    assert "label.horizon_days" in said
    assert str(broken) in said
