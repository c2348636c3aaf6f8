"""A ranking's frames: what was chosen and known when, lists and their answers, what is published, fallbacks, what came of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from types import SimpleNamespace
from typing import Any, cast

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

import market
import oracle
from penstock.config.load import Configuration, load
from penstock.config.publish import PublishConfig
from penstock.features import pairs, versions
from penstock.lake import tables
from penstock.monitoring.listed import SUMS, sums
from penstock.progress import Silent
from penstock.publish import answers as shown_as
from penstock.publish import fallback, online, views
from penstock.scoring import answers
from penstock.stage import Run

pytestmark = pytest.mark.spark

KEY = ("customer",)
OLD, NEW = (datetime(2024, 3, d, tzinfo=UTC) for d in (11, 18))
AT = datetime(2024, 3, 18, 8, tzinfo=UTC)
LIST = "array<struct<item:string,score:double,source:string>>"
SHOWN = shown_as.of("ranking")
CONFIG = PublishConfig(bands=())
Day = tuple[str, date, datetime, list[str]]
"""A tile of the market's view: customer, hop, known at, what was bought."""


@pytest.fixture(scope="module")
def configuration(tmp_path_factory: pytest.TempPathFactory) -> Configuration:
    return load(market.write_conf(tmp_path_factory.mktemp("market") / "conf"), "local", market.PIPELINE)


def run_over(configuration: Configuration, **held: DataFrame) -> Run:
    """A run whose lake holds these frames, by name of table, at whatever version."""
    lake = SimpleNamespace(read=lambda table, at=None: held[table.name], exists=lambda table: table.name in held)
    nobody = cast("Any", None)
    return Run(configuration, cast("Any", lake), nobody, "", "", NEW, "run", {}, Silent(), "", memo={versions._MEMO: ()})


def with_pipeline(configuration: Configuration, **parts: dict[str, Any]) -> Configuration:
    """The configuration with keys of the pipeline's parts changed."""
    changed = {name: getattr(configuration.pipeline, name).model_copy(update=keys) for name, keys in parts.items()}
    return replace(configuration, pipeline=configuration.pipeline.model_copy(update=changed))


def rows_of(frame: DataFrame) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = frame.toArrow().to_pylist()
    return found


def tiles(spark: SparkSession, days: Sequence[Day]) -> DataFrame:
    return spark.createDataFrame(list(days), "customer string, hop date, known_at timestamp, bought__values array<string>")


def midnight(day: date) -> datetime:
    return oracle.midnight(day, market.ZONE).astimezone(UTC)


def march(day: int) -> date:
    return date(2024, 3, day)


# -- what was chosen before ---------------------------------------------------------------------------------------------


@st.composite
def logs(draw: st.DrawFn) -> list[Day]:
    """Tiles of a few days, some of them said again later."""
    found = {}
    for customer, day, later in draw(st.lists(st.tuples(st.sampled_from("ab"), st.integers(1, 6), st.integers(1, 8)), max_size=8)):
        bought = sorted(draw(st.sets(st.sampled_from("xyz"), max_size=3)))
        known = midnight(march(day + later))
        found[customer, day, known] = (customer, march(day), known, bought)
    return list(found.values())


def drawn(count: int) -> list[list[Day]]:
    found: list[list[Day]] = []

    @settings(max_examples=count, derandomize=True, database=None, phases=[Phase.generate], suppress_health_check=list(HealthCheck))
    @given(logs())
    def collect(example: list[Day]) -> None:
        found.append(example)

    collect()
    return found


def known_days(days: Sequence[Day], as_of: date) -> Iterator[tuple[str, date, str]]:
    """Customer, day and item of what was known at an `as_of` of the days before it: of a day the newest tile."""
    for customer, day in {(c, d) for c, d, _, _ in days if d < as_of}:
        said = [(known, bought) for c, d, known, bought in days if (c, d) == (customer, day) and known <= midnight(as_of)]
        yield from ((customer, day, item) for item in (max(said)[1] if said else []))


def test_who_chose_what_is_what_was_known_and_an_empty_correction_takes_it_back(spark: SparkSession, configuration: Configuration) -> None:
    cases = [[], *drawn(40)]
    view = configuration.pipeline.features
    numbered = [(f"{n}/{c}", *rest) for n, days in enumerate(cases) for c, *rest in days]
    as_ofs = {midnight(march(day)): march(day) for day in (4, 7)}
    for instant, day in as_ofs.items():
        log = pairs.history(tiles(spark, cast("Any", numbered)), view, {instant: day}, market.ZONE)
        got = [(r["customer"], r["hop"], r["item"]) for r in rows_of(log)]
        assert len(got) == len(set(got)) > 10
        assert set(got) == {(f"{n}/{c}", hop, item) for n, days in enumerate(cases) for c, hop, item in known_days(days, day)}


def test_only_items_that_anybody_had_chosen_before_are_known_at_each_as_of(spark: SparkSession, configuration: Configuration) -> None:
    days: list[Day] = [
        ("a", march(1), midnight(march(2)), ["old"]),
        ("b", march(5), midnight(march(6)), ["new", "old"]),
        ("b", march(9), midnight(march(10)), ["later"]),
    ]
    as_ofs = {midnight(march(day)): march(day) for day in (1, 4, 6, 11)}
    found = pairs.chosen_before(tiles(spark, days), configuration.pipeline.features, as_ofs, max(as_ofs))
    known = {r["as_of"]: sorted(r["__known"]) for r in rows_of(found)}
    assert {as_ofs[at.astimezone(UTC)]: items for at, items in known.items()} == {
        march(4): ["old"], march(6): ["new", "old"], march(11): ["later", "new", "old"],
    }  # fmt: skip


# -- lists ------------------------------------------------------------------------------------------------------------------


def scored(spark: SparkSession, *rows: tuple[str, datetime, str, float, float | None]) -> DataFrame:
    """Customer, `as_of`, item, score, and what orders the control group's lists."""
    values = [(c, at, item, score, f"from {item}", rule) for c, at, item, score, rule in rows]
    return spark.createDataFrame(values, "customer string, as_of timestamp, item string, score double, source string, __control double")


def lists_of(configuration: Configuration, frame: DataFrame) -> dict[tuple[str, datetime], dict[str, Any]]:
    made = rows_of(answers.of("ranking").made(run_over(configuration), frame))
    found = {(r["customer"], r["as_of"].astimezone(UTC)): r for r in made}
    assert len(found) == len(made)
    return found


def names(listed: Sequence[dict[str, Any]]) -> str:
    return " ".join(one["item"] for one in listed)


def test_a_list_has_the_best_items_in_order_and_the_rules_own_beside_it(spark: SparkSession, configuration: Configuration) -> None:
    assert configuration.pipeline.lists.length == 3
    rows = [("a", NEW, item, score, rule) for item, score, rule in (("p", 0.1, 5.0), ("q", 0.9, 1.0), ("r", 0.5, 4.0), ("s", 0.4, 3.0))]
    rows += [("a", OLD, "p", 0.2, 1.0), ("b", NEW, "p", 0.2, 1.0), ("b", NEW, "q", 0.3, 0.5)]
    found = lists_of(configuration, scored(spark, *rows))
    assert set(found) == {("a", NEW), ("a", OLD), ("b", NEW)}
    assert found["a", NEW]["items"] == [
        {"item": "q", "score": 0.9, "source": "from q"}, {"item": "r", "score": 0.5, "source": "from r"},
        {"item": "s", "score": 0.4, "source": "from s"},
    ]  # fmt: skip
    assert [(one["item"], one["score"]) for one in found["a", NEW]["instead"]] == [("p", 5.0), ("r", 4.0), ("s", 3.0)]
    assert names(found["b", NEW]["items"]) == "q p", "fewer candidates than places"
    assert found["a", NEW]["reasons"] is None


def test_of_equals_the_first_item_is_shown_and_one_without_a_value_last(spark: SparkSession, configuration: Configuration) -> None:
    rules = [None, 1.0, 1.0, None, 0.0]
    rows = [("a", NEW, item, 0.5, rule) for item, rule in zip(("é", "b", "a", "Z", "c"), rules, strict=True)]
    found = lists_of(configuration, scored(spark, *rows))["a", NEW]
    assert names(found["items"]) == "Z a b"
    assert names(found["instead"]) == "a b c"
    short = lists_of(configuration, scored(spark, *(row for row in rows if row[2] in {"é", "a"})))["a", NEW]
    assert [(one["item"], one["score"]) for one in short["instead"]] == [("a", 1.0), ("é", 0.0)]


def test_the_control_group_is_ordered_by_the_rule_that_is_named(spark: SparkSession, configuration: Configuration) -> None:
    second = configuration.pipeline.training.baselines[1]
    chosen = with_pipeline(configuration, ranking={"control": second.name})
    for each, column in ((configuration, configuration.pipeline.training.baselines[0].column), (chosen, second.column)):
        columns = {b.column: float(n) for n, b in enumerate(each.pipeline.training.baselines)}
        frame = spark.range(1).select(*(F.lit(value).alias(str(name)) for name, value in columns.items()))
        (row,) = rows_of(answers.of("ranking").beside(run_over(each), frame))
        assert row["__control"] == columns[column]


# -- what came of them ------------------------------------------------------------------------------------------------------

CHOSEN = st.lists(st.sampled_from("abcdefgh"), max_size=5, unique=True)


def test_the_sums_are_those_of_the_lists(spark: SparkSession) -> None:
    cases: list[tuple[list[str], list[str], list[str], int]] = []

    @settings(max_examples=150, derandomize=True, database=None, phases=[Phase.generate])
    @given(CHOSEN, CHOSEN, CHOSEN, st.integers(0, 2))
    def collect(chosen: list[str], shown: list[str], instead: list[str], group: int) -> None:
        cases.append((chosen, shown[:3], instead[:3], group))

    collect()

    def listed(items: list[str]) -> list[tuple[str, float, str]]:
        return [(item, 0.5, "s") for item in items]

    values = [(chosen, listed(shown), listed(instead), group) for chosen, shown, instead, group in cases]
    frame = spark.createDataFrame(values, f"label array<string>, items {LIST}, instead {LIST}, country int")
    got = {row["country"]: row for row in rows_of(frame.groupBy("country").agg(*sums(3)))}
    assert set(got) == {0, 1, 2}
    for group, row in got.items():
        parts = [oracle.list_sums(chosen, shown, instead, 3) for chosen, shown, instead, g in cases if g == group]
        for name in SUMS:
            assert row[name] == pytest.approx(sum(part[name] for part in parts)), name
    nobody = frame.where(F.size("label") == 0).groupBy().agg(*sums(3))
    assert {float(value) for value in rows_of(nobody)[0].values()} == {0.0}


# -- what is published ------------------------------------------------------------------------------------------------------

Listed = dict[str, float]


def a_list(items: Listed | None) -> list[tuple[str, float, str]] | None:
    return None if items is None else [(item, score, "own") for item, score in items.items()]


def cohort(spark: SparkSession, *rows: tuple[str, Listed, Listed, bool], as_of: datetime = NEW) -> DataFrame:
    """Predictions: customer, items, instead, control."""
    values = [(c, as_of, a_list(items), a_list(instead), 1, 77, control, None) for c, items, instead, control in rows]
    ddl = f"customer string, as_of timestamp, items {LIST}, instead {LIST}, model_version int, promotion int, is_control boolean, reasons array<string>"
    return spark.createDataFrame(values, ddl)


def latest(spark: SparkSession, *rows: tuple[str, Listed, Listed, bool, bool], as_of: datetime = NEW) -> DataFrame:
    """The latest table: customer, items, instead, control, active."""
    values = [(c, as_of, a_list(i), a_list(o), 1, 1, control, active, None, AT - timedelta(days=7)) for c, i, o, control, active in rows]
    ddl = f"customer string, as_of timestamp, items {LIST}, instead {LIST}, model_version int, promotion int"
    return spark.createDataFrame(values, f"{ddl}, is_control boolean, is_active boolean, reasons array<string>, updated_at timestamp")


def changes(predictions: DataFrame, current: DataFrame, as_of: datetime = NEW) -> dict[str, dict[str, Any]]:
    desired = views.latest(predictions, current, KEY, as_of, 1, CONFIG, SHOWN)
    return {row["customer"]: row for row in rows_of(views.latest_changes(desired, current, KEY, AT, SHOWN))}


def test_the_same_lists_again_change_nothing_and_another_order_item_or_score_does(spark: SparkSession) -> None:
    was, rule = {"p": 0.5, "q": 0.4}, {"r": 1.0}
    current = latest(spark, *((name, was, rule, False, True) for name in ("same", "digits", "order", "item", "score", "rule", "control")))
    found = changes(
        cohort(
            spark,
            ("same", was, rule, False),
            ("digits", {"p": 0.50001, "q": 0.39996}, rule, False),
            ("order", {"q": 0.4, "p": 0.5}, rule, False),
            ("item", {"p": 0.5, "s": 0.4}, rule, False),
            ("score", {"p": 0.5, "q": 0.3999}, rule, False),
            ("rule", was, {"r": 2.0}, False),
            ("control", was, rule, True),
        ),
        current,
    )
    assert set(found) == {"order", "item", "score", "rule", "control"}
    assert names(found["order"]["items"]) == "q p"
    assert found["item"]["items"][1] == {"item": "s", "score": 0.4, "source": "own"}


def test_who_has_left_is_tombstoned_with_the_list_it_had_and_comes_back_whole(spark: SparkSession) -> None:
    current = latest(spark, ("gone", {"p": 0.5}, {"q": 1.0}, False, True), ("back", {"p": 0.5}, {}, False, False), as_of=OLD)
    found = changes(cohort(spark, ("back", {"p": 0.5}, {}, False)), current)
    assert {name: (names(row["items"]), row["is_active"]) for name, row in found.items()} == {"gone": ("p", False), "back": ("p", True)}


CRM = "customer string, items string, is_active boolean, updated_at timestamp"


def test_the_crm_reads_items_in_order_as_text_and_moves_with_them_alone(spark: SparkSession) -> None:
    kind_column = "items"
    assert SHOWN.crm(kind_column) == (("items", "string"),)
    published = latest(
        spark,
        ("scores", {"p": 0.9, "q": 0.1}, {}, False, True),
        ("order", {"q": 0.9, "p": 0.1}, {}, False, True),
        ("new", {"é 1": 0.9}, {}, False, True),
        ("control", {"p": 0.9}, {"q": 1.0}, True, True),
        ("told", {"p": 0.9}, {"q": 1.0}, True, True),
        ("gone", {"p": 0.9}, {}, False, False),
        ("still_gone", {"z": 0.9}, {}, False, False),
    )
    before = AT + timedelta(days=1)  # a clock that went back
    current = spark.createDataFrame(
        [
            (c, "p;q", active, before)
            for c, active in (("scores", True), ("order", True), ("told", True), ("gone", True), ("still_gone", False))
        ],
        CRM,
    )
    found = {row["customer"]: row for row in rows_of(views.crm_changes(published, current, KEY, AT, kind_column, SHOWN))}
    assert {name: (row["items"], row["is_active"]) for name, row in found.items()} == {
        "order": ("q;p", True), "new": ("é 1", True), "told": ("p", False), "gone": ("p", False),
    }  # fmt: skip
    assert found["order"]["updated_at"].astimezone(UTC) == before + timedelta(microseconds=1)


def told(configuration: Configuration, frame: DataFrame) -> DataFrame:
    return online._told(run_over(configuration), frame, F.unix_micros("scored_at"))


def test_the_control_group_is_told_the_rules_list_and_everybody_is_told_something(
    spark: SparkSession, configuration: Configuration
) -> None:
    rows = cohort(spark, ("a", {"p": 0.123456}, {"q": 1.0}, False), ("b", {"p": 0.5}, {"q": 1.23456}, True)).withColumn(
        "scored_at", F.lit(AT)
    )
    found = {row["customer"]: row["items"] for row in rows_of(told(configuration, rows))}
    assert found == {
        "a": [{"item": "p", "score": 0.1235, "source": "own"}],
        "b": [{"item": "q", "score": 1.2346, "source": "own"}],
    }


def test_in_place_only_what_differs_is_written_and_who_is_gone_is_deleted(spark: SparkSession, configuration: Configuration) -> None:
    def of(*rows: tuple[str, Listed, Listed, bool], as_of: datetime) -> DataFrame:
        return told(configuration, cohort(spark, *rows, as_of=as_of).withColumn("scored_at", F.lit(as_of)))

    before = of(
        ("same", {"p": 0.5}, {"q": 1.0}, False),
        ("unseen", {"p": 0.5}, {"q": 1.0}, False),
        ("moved", {"p": 0.5}, {"q": 1.0}, False),
        ("drawn", {"p": 0.5}, {"q": 1.0}, False),
        ("gone", {"p": 0.5}, {"q": 1.0}, False),
        as_of=OLD,
    )
    now = of(
        ("same", {"p": 0.5}, {"q": 1.0}, False),
        ("unseen", {"p": 0.500001}, {"q": 7.0}, False),  # beyond the digits, and a rule's list that nobody reads
        ("moved", {"p": 0.5, "s": 0.4}, {"q": 1.0}, False),
        ("drawn", {"p": 0.5}, {"q": 1.0}, True),
        ("new", {"p": 0.5}, {"q": 1.0}, False),
        as_of=NEW,
    )
    found = {row["customer"]: row for row in rows_of(online.differing(before, now, KEY))}
    assert {name: row["__gone"] for name, row in found.items()} == {"moved": False, "drawn": False, "new": False, "gone": True}
    assert names(found["drawn"]["items"]) == "q"
    assert rows_of(online.differing(now, now, KEY)) == []


# -- fallbacks --------------------------------------------------------------------------------------------------------------


def fallbacks(spark: SparkSession, configuration: Configuration, days: Sequence[Day], countries: dict[str, str | None]) -> dict[str, Any]:
    """The made fallbacks by segment, at `NEW`."""
    features = spark.createDataFrame([(c, NEW, land) for c, land in countries.items()], "customer string, as_of timestamp, country string")
    run = run_over(configuration, tiles_basket=tiles(spark, days), features_basket=features)
    found = rows_of(fallback.made(run, NEW))
    assert len({row["segment"] for row in found}) == len(found)
    return {row["segment"]: row["items"] for row in found}


def bought(item: str, *customers: str, day: int = 10) -> list[Day]:
    return [(c, march(day), midnight(march(day + 1)), [item]) for c in customers]


def test_a_fallback_is_what_most_chose_of_late_each_family_once_and_each_entity_once(
    spark: SparkSession, configuration: Configuration
) -> None:
    days = [
        *bought("apple1", "a", "b", "c", "d"),
        *bought("apple2", "a", "b", "c", day=11),  # the same in another colour
        *bought("bread1", "a", "b", day=12),
        *bought("bread1", "a", "b", day=13),  # twice is once
        *bought("cheese1", "a", "b", "c", day=14),
        *bought("dates1", "a", day=15),
        *bought("9", "a", "b", day=16),  # of no family: by itself
        *[(c, date(2024, 2, 1), midnight(date(2024, 2, 2)), ["flour1"]) for c in "abcdefgh"],  # long ago
        *bought("eggs1", *"abcdefgh", day=18),  # not before the as_of
    ]
    found = fallbacks(
        spark,
        with_pipeline(configuration, publish={"fallback": configuration.pipeline.publish.fallback.model_copy(update={"by": None})}),
        days,
        {},
    )
    assert set(found) == {""}
    assert [(one["item"], one["score"], one["source"]) for one in found[""]] == [
        ("apple1", 4.0, "popular"), ("cheese1", 3.0, "popular"), ("9", 2.0, "popular"),
    ]  # fmt: skip


def test_a_group_has_its_own_items_first_and_then_everybodys_and_a_small_one_has_none_of_its_own(
    spark: SparkSession, configuration: Configuration
) -> None:
    """Of a group only an item that `min_entities` of it chose is its own; a family that is there is not shown again."""
    days = [
        *bought("dates1", "f1", "f2", "f3"),
        *bought("apple2", "f1", "f2", "f3", "f4", day=11),
        *bought("cheese1", "f1", "f2", day=12),  # two of the group are too few
        *bought("apple1", "u1", "u2", "u3", "u4", "u5", day=13),
        *bought("bread1", "u1", "u2", "u3", "u4", day=14),
        *bought("eggs1", "m1", "m2", day=15),  # so is a group of two
        *bought("flour1", "n1", "n2", "n3", "n4", day=16),  # of no known country
    ]
    countries: dict[str, str | None] = {
        f"{c}{n}": land for c, land in (("f", "FR"), ("u", "UK"), ("m", "MT"), ("n", None)) for n in range(1, 6)
    }
    countries["f5"] = ""  # an empty text is not everybody
    found = fallbacks(spark, configuration, days, countries)
    assert set(found) == {"", "FR", "UK"}
    assert [(one["item"], one["score"], one["source"]) for one in found["FR"]] == [
        ("apple2", 4.0, "popular in country"), ("dates1", 3.0, "popular in country"), ("bread1", 4.0, "popular"),
    ]  # fmt: skip
    assert names(found["UK"]) == "apple1 bread1 flour1"
    assert names(found[""]) == "apple1 bread1 flour1"


def test_before_anything_was_chosen_there_is_no_fallback(spark: SparkSession, configuration: Configuration) -> None:
    assert fallbacks(spark, configuration, bought("apple1", "a", "b", "c", day=18), {"a": "FR"}) == {}


def test_a_scores_fallback_is_none_before_any_outcome_is_known(spark: SparkSession, configuration: Configuration) -> None:
    pipeline = configuration.pipeline
    key = (("customer", "string"),)
    table = tables.labels(pipeline.name, key)
    columns = ", ".join(
        f"{name} {'double' if name == 'label' else kind}"
        for name, kind in table.columns
        if name in {"customer", "as_of", "label", "state", "matured_at"}
    )

    def rate(*rows: tuple[Any, ...]) -> dict[str, Any]:
        labels = spark.createDataFrame(list(rows), columns)
        land = {"f": "FR", "m": "MT"}
        known = [(f"{c}{n}", OLD, land[c]) for c in land for n in range(4)]
        features = spark.createDataFrame(known, "customer string, as_of timestamp, country string")
        run = run_over(configuration, labels_baskets=labels, features_basket=features)
        return {row["segment"]: (row["score"], row["band"]) for row in rows_of(fallback._rates(cast("Any", _scores(run)), NEW))}

    names_of = [part.split()[0] for part in columns.split(", ")]

    def label(customer: str, value: float | None, state: str, known: datetime) -> tuple[Any, ...]:
        row = {"customer": customer, "as_of": OLD, "label": value, "state": state, "matured_at": known}
        return tuple(row[name] for name in names_of)

    late = NEW + timedelta(days=1)
    assert rate(label("f0", None, "pending", NEW), label("f1", None, "censored", NEW), label("f2", 1.0, "matured", late)) == {}
    few = [label(f"m{n}", 1.0, "matured", NEW) for n in range(2)]
    rates = rate(*(label(f"f{n}", float(n == 0), "matured", NEW) for n in range(4)), label("u", 0.0, "revised", NEW), *few)
    assert rates == {"": (0.4286, ""), "FR": (0.25, "")}


def _scores(run: Run) -> Run:
    """The same run as if its pipeline gave scores; its bands are none."""
    pipeline = run.pipeline.model_copy(update={"kind": "regression"})
    return replace(run, configuration=replace(run.configuration, pipeline=pipeline))
