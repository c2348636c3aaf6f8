"""Several sources in a configuration: what fits together and which faults are told."""

from __future__ import annotations

from pathlib import Path

import pytest

import gym
from penstock.config.load import Configuration, load
from penstock.errors import ConfigError
from penstock.features import catalog, spec
from penstock.orchestrate.conf_check import check
from penstock.orchestrate.conf_diff import Side, differences
from penstock.stage import jobs_of


@pytest.fixture
def conf(tmp_path: Path) -> Path:
    return gym.write_conf(tmp_path / "conf")


def loaded(conf: Path, *changes: str) -> Configuration:
    return load(conf, "local", "leaving", [f"pipeline.{change}" for change in changes])


def test_all_sources_of_a_pipeline_are_known_by_name_and_have_leases_of_their_own(conf: Path) -> None:
    found = loaded(conf)
    assert found.pipeline.sources == ("visits", "plans", "outcomes", "contacts")
    assert found.pipeline.feature_sources == ("visits", "plans")
    assert set(found.contracts) == set(found.pipeline.sources)
    assert sorted(jobs_of(found.pipeline).values()) == [
        *("pipeline/leaving", "source/contacts", "source/outcomes", "source/plans", "source/visits", "view/attendance")
    ]


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ("features.joined.0.source=nowhere", "got 'nowhere', expected one of contacts, outcomes, plans, visits"),
        ("features.joined.0.entity=[day]", "expected columns of the view's entity: member"),
        ("features.joined.0.name=a__b", "got a__b, expected one without __"),
        ("features.joined.0.aggregates=[{name: visits_7d, function: count}]", "visits_7d named more than once"),
        ("label.view=attendance", "got both view and source"),
        ("label.source=null", "got neither view nor source"),
        ("label.event_time=null", "event_time: missing"),
        ("label={view: attendance, horizon_days: 7, expression: visits = 0, absent: negative}", "got them with view"),
        ("treated.within_days=0", "within_days"),
    ],
)
def test_what_does_not_fit_is_told(conf: Path, change: str, fault: str) -> None:
    with pytest.raises(ConfigError) as told:
        loaded(conf, change)
    assert fault in str(told.value)


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ("features.joined.0.event_time=minutes", "features.joined.0.event_time: names minutes"),
        (
            "features.joined.0.aggregates.0.of=plann",
            "features.joined.0.aggregates.0.of: names plann, expected a column that is there: plan",
        ),
        ("features.joined.0.event_time=plan", "got plan, a string, expected a timestamp or a date"),
        ("label.about=result", "label.about: got result, a string"),
        ("label.expression=left_at IS NULL", "label.expression: names left_at"),
        ("treated.when=medium = 'post'", "treated.when: names medium"),
    ],
)
def test_conf_check_names_columns_that_another_source_does_not_have(conf: Path, change: str, fault: str) -> None:
    found = check(conf, "leaving", [f"pipeline.{change}"])
    assert any(fault in one for one in found.faults), found.faults


def test_a_key_of_another_type_is_told(conf: Path) -> None:
    path = conf / "contracts" / "plans.yml"
    text = path.read_text(encoding="utf-8").replace(
        "{name: member, logicalType: string, physicalType: string}", "{name: member, logicalType: integer, physicalType: int}"
    )
    path.write_text(text, encoding="utf-8")
    (fault,) = check(conf, "leaving").faults
    assert "got member as int in plans, expected string as in visits" in fault


def test_the_meaning_of_a_joined_source_is_part_of_the_meaning_of_its_columns_alone(conf: Path) -> None:
    before, after = loaded(conf), loaded(conf, "features.joined.0.where=plan <> 'trial'")
    meanings = [spec.column_meanings(found.pipeline.features) for found in (before, after)]
    changed = {name for name in meanings[0] if meanings[0][name] != meanings[1][name]}
    assert changed == {"plan", "changes_30d", "plan_days", "pays"}
    zone = before.contract.timezone
    assert spec.definition(before.pipeline.features, zone) != spec.definition(after.pipeline.features, zone)


def test_the_catalogue_names_the_source_of_each_column(conf: Path) -> None:
    found = loaded(conf)
    listed = {e.column: e for e in catalog.entries(found.pipeline, found.contracts, 1, 1)}
    assert {name: e.source for name, e in listed.items()} == {
        **dict.fromkeys(("visits_7d", "visits_all", "minutes_7d"), "visits"),
        **dict.fromkeys(("plan", "changes_30d", "plan_days", "pays"), "plans"),
    }
    assert listed["pays"].source_columns == ("day", "plan")


def test_conf_diff_tells_another_source_of_labels_and_another_joined_source(conf: Path) -> None:
    sides = [
        Side({"leaving": found.pipeline}, found.contracts)
        for found in (
            loaded(conf),
            loaded(
                conf,
                "label.absent=negative",
                "features.joined.0.source=contacts",
                "features.joined.0.aggregates.0.of=channel",
                "treated.within_days=3",
            ),
        )
    ]
    told = {(change.key, change.breaking) for change in differences(*sides)}
    assert {("label.absent", True), ("features.joined.plan.source", True), ("features.plan", True), ("treated", False)} <= told
