"""Reading the configuration: every fault of every file at once, what is refused, and what `--set` changes."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from penstock.config.load import Configuration, conf_folder, digest_of, load, pipeline_names
from penstock.errors import ConfigError, UsageError

CONF = Path(__file__).parents[2] / "conf"

Change = Callable[[dict[str, Any]], object]


@pytest.fixture
def conf(tmp_path: Path) -> Path:
    """A copy of the shipped configuration."""
    return Path(shutil.copytree(CONF, tmp_path / "conf"))


def change(conf: Path, file: str, *changes: Change) -> None:
    path = conf / file
    tree = yaml.safe_load(path.read_text(encoding="utf-8"))
    for one in changes:
        one(tree)
    path.write_text(yaml.safe_dump(tree, sort_keys=False), encoding="utf-8")


def faults(conf: Path, *overrides: str, env: str = "local") -> list[str]:
    with pytest.raises(ConfigError) as caught:
        load(conf, env, "churn", overrides)
    assert caught.value.exit_code == 2
    assert "Nothing was touched" in str(caught.value)
    return list(caught.value.faults)


def put(path: str, value: object) -> Change:
    """Set `features.aggregates.0.of` and the like."""

    def apply(tree: Any) -> None:
        *keys, last = [int(part) if part.isdigit() else part for part in path.split(".")]
        for key in keys:
            tree = tree[key]
        tree[last] = value

    return apply


def broken(conf: Path, *changes: Change) -> list[str]:
    """The faults of a changed pipeline file."""
    change(conf, "pipelines/churn.yml", *changes)
    return faults(conf)


# ---- what is right ----


@pytest.mark.parametrize("env", ["local", "dev", "staging", "prod"])
def test_the_shipped_configuration_is_whole_in_every_environment(env: str) -> None:
    found = load(CONF, env, "churn")
    assert (found.settings.env, found.pipeline.name, found.contract.name) == (env, "churn", "online_retail")


def test_every_shipped_pipeline_is_found_by_name() -> None:
    assert "churn" in pipeline_names(CONF)
    assert all(isinstance(load(CONF, "local", name), Configuration) for name in pipeline_names(CONF))


def test_the_environment_lies_over_the_base_and_set_over_both() -> None:
    assert load(CONF, "prod", "churn").settings.promotion.approval == "manual"
    assert load(CONF, "local", "churn").settings.promotion.approval == "policy"
    assert load(CONF, "local", "churn", ["promotion.approval=manual"]).settings.promotion.approval == "manual"
    assert load(CONF, "local", "churn").settings.leases == load(CONF, "prod", "churn").settings.leases


def test_set_reaches_the_pipeline_s_own_keys_and_leaves_their_neighbours() -> None:
    plain = load(CONF, "local", "churn")
    found = load(CONF, "local", "churn", ["pipeline.label.horizon_days=45", "pipeline.publish.control_share=0.1"])
    assert found.pipeline.label == plain.pipeline.label.model_copy(update={"horizon_days": 45})
    assert found.pipeline.publish.control_share == 0.1


def test_the_digest_follows_what_is_configured_and_not_how_it_is_written(conf: Path) -> None:
    before = load(conf, "local", "churn").digest
    path = conf / "pipelines" / "churn.yml"
    path.write_text(yaml.safe_dump(yaml.safe_load(path.read_text(encoding="utf-8")), sort_keys=True), encoding="utf-8")
    assert load(conf, "local", "churn").digest == before
    assert load(conf, "local", "churn", ["pipeline.label.horizon_days=31"]).digest != before
    assert load(conf, "local", "churn", ["spark.shuffle_partitions=3"]).digest != before


@given(st.dictionaries(st.text(max_size=3), st.integers() | st.text(max_size=3), max_size=4))
def test_a_digest_does_not_depend_on_the_order_of_keys(value: dict[str, object]) -> None:
    assert digest_of(value) == digest_of(dict(reversed(value.items())))
    assert digest_of(value) != digest_of({**value, "more": 1})


# ---- what is wrong ----


def test_all_faults_of_all_files_are_told_at_once(conf: Path) -> None:
    change(conf, "base.yml", put("spark.shuffle_partitons", 4))
    change(conf, "env/local.yml", put("promotion.approval", "nobody"))
    change(
        conf,
        "pipelines/churn.yml",
        put("label.horizon_days", -30),
        put("training.candidates.0.estimator", "os.system"),
        put("features.aggregates.2.of", "(SELECT max(x) FROM secrets)"),
        put("publish.controlshare", 0.1),
        lambda tree: tree.pop("population"),
    )
    change(conf, "contracts/online_retail.yml", put("schema.0.properties.3.physicalType", "integer"), lambda tree: tree.pop("team"))
    found = faults(conf, "spark.master", "pipeline.schedule.every_days=0")
    expected = [
        "base.yml: spark.shuffle_partitons: unknown key",
        "promotion.approval: got 'nobody'",
        "pipelines/churn.yml: label.horizon_days: got -30",
        "training.candidates.0.estimator: got 'os.system'",
        "features.aggregates.2.of: got the word 'SELECT'",
        "publish.controlshare: unknown key",
        "population: missing",
        "online_retail.yml: team: missing",
        "physicalType",
        "--set: got 'spark.master', expected key.key=value",
        "schedule.every_days: got 0",
    ]
    assert [words for words in expected if not any(words in fault for fault in found)] == []
    assert len(found) == len(expected), found


def test_a_key_in_a_list_is_set_by_its_place_and_the_file_s_other_keys_stay(conf: Path) -> None:
    before = load(conf, "local", "churn").pipeline.training.candidates
    found = load(conf, "local", "churn", ["pipeline.training.candidates.1.params.max_iter=7"]).pipeline.training.candidates
    assert found[0] == before[0]
    assert found[1] == before[1].model_copy(update={"params": {"max_iter": 7}})


@pytest.mark.parametrize("key", ["candidates.2", "candidates.first", "candidates.2.name", "candidates.x.name"])
def test_a_place_that_a_list_does_not_have_is_a_fault(conf: Path, key: str) -> None:
    (fault,) = faults(conf, f"pipeline.training.{key}=x")
    assert fault.startswith(f"--set pipeline.training.{key}: got no such place in a list")


@pytest.mark.parametrize("horizon", [-30, 0, 1.5, "a month", None, 100_000])
def test_a_horizon_that_is_no_number_of_days_is_refused(conf: Path, horizon: object) -> None:
    (fault,) = broken(conf, put("label.horizon_days", horizon))
    assert fault.startswith("pipelines/churn.yml: label.horizon_days: ")


@pytest.mark.parametrize(
    "key",
    [
        "extra",
        "label.extra",
        "features.extra",
        "features.aggregates.0.extra",
        "training.search.extra",
        "training.candidates.1.select.extra",
        "monitoring.drift",
        "publish.redis",
    ],
)
def test_an_unknown_key_is_named_wherever_it_stands(conf: Path, key: str) -> None:
    if key in {"monitoring.drift", "publish.redis"}:
        fault_key, given_ = f"{key}.extra", put(key, {"extra": 1})
    else:
        fault_key, given_ = key, put(key, 1)
    assert broken(conf, given_) == [f"pipelines/churn.yml: {fault_key}: unknown key"]


@pytest.mark.parametrize(
    "estimator",
    [
        "os.system",
        "builtins.eval",
        "sklearn",
        "sklearn.__import__.x",
        "sklearn.ensemble",
        "mysklearn.ensemble.X",
        "xgboosted.XGBClassifier",
        "lightgbm",
        "",
        3,
    ],
)
def test_an_estimator_of_no_allowed_library_is_refused(conf: Path, estimator: object) -> None:
    (fault,) = broken(conf, put("training.candidates.0.estimator", estimator))
    assert fault.startswith("pipelines/churn.yml: training.candidates.0.estimator: ")


QUERIES = (
    "(SELECT max(spend) FROM other)",
    "quantity; DROP TABLE crm_churn",
    "quantity -- comment",
    "quantity /* comment */",
    "java_method('java.lang.System', 'exit', 1)",
    "reflect('java.lang.Runtime', 'getRuntime')",
    "EXISTS (TABLE crm_churn)",
    "rand()",
    "current_timestamp()",
    "sum(x) OVER (ORDER BY y)",
    "",
    "a)) UNION ALL (VALUES (1",
)
EXPRESSIONS = (
    "population",
    "label.expression",
    "features.where",
    "features.events.purchase",
    "features.aggregates.2.of",
    "features.derived.0.expression",
    "features.checks.0.holds",
)


@pytest.mark.parametrize("place", EXPRESSIONS)
@pytest.mark.parametrize("text", QUERIES)
def test_sql_smuggled_into_an_expression_is_refused_wherever_one_may_stand(conf: Path, place: str, text: str) -> None:
    found = broken(conf, put(place, text))
    assert [fault for fault in found if fault.startswith(f"pipelines/churn.yml: {place}: ")] == found
    assert len(found) == 1


NAMES = ("name", "source", "features.source", "features.name", "features.entity.0", "features.event_time", "features.aggregates.0.name")
MORE_NAMES = ("features.aggregates.2.when", "features.derived.0.name", "features.checks.0.name", "label.view")


@pytest.mark.parametrize("place", NAMES + MORE_NAMES)
@pytest.mark.parametrize("text", ["x; DROP TABLE y", "a`b", "x AS y", "Üser", "../churn", "", "a b", "x\n"])
def test_sql_smuggled_into_a_name_is_refused_wherever_one_may_stand(conf: Path, place: str, text: str) -> None:
    found = broken(conf, put(place, text))
    assert any(fault.startswith(f"pipelines/churn.yml: {place}: got {text!r}, expected a name like") for fault in found)


@pytest.mark.parametrize("place", ["features.aggregates.3.type", "features.derived.0.type"])
@pytest.mark.parametrize(
    "text", ["double) END), java_method('a','b'", "decimal(3,5)", "decimal(39,0)", "DOUBLE; DROP", "array<int>", "", "int\n"]
)
def test_sql_smuggled_into_a_type_is_refused(conf: Path, place: str, text: str) -> None:
    (fault,) = broken(conf, put(place, text))
    assert fault.startswith(f"pipelines/churn.yml: {place}: got {text!r}, expected a Spark SQL type")


def test_a_name_that_stands_twice_among_the_columns_is_named(conf: Path) -> None:
    (fault,) = broken(conf, put("features.derived.0.name", "orders_30d"))
    assert "orders_30d named more than once" in fault


@pytest.mark.parametrize(("key", "value"), [("features.source", "other"), ("label.view", "other"), ("features.aggregates.0.when", "sale")])
def test_parts_that_do_not_fit_together_are_refused(conf: Path, key: str, value: str) -> None:
    (fault,) = broken(conf, put(key, value))
    assert f"got {value}, expected" in fault


@pytest.mark.parametrize("window", ["30", "0d", "d", "1.5d", "30h", "ALL", "-7d", "10000d"])
def test_a_window_that_is_not_whole_days_is_refused(conf: Path, window: str) -> None:
    (fault,) = broken(conf, put("features.aggregates.2.windows", [window]))
    assert f"got {window!r}, expected whole days such as 30d, or all" in fault


def test_an_aggregate_without_its_value_and_one_with_too_much_are_refused(conf: Path) -> None:
    found = broken(conf, put("features.aggregates.2.of", None), put("features.aggregates.0.windows", ["7d"]))
    assert len(found) == 2
    assert any("count_distinct takes a value" in fault for fault in found)
    assert any("days_since_last looks at all history" in fault for fault in found)


@pytest.mark.parametrize("text", ["spark.master", "=3", "a-b=3", "pipeline=3", "a..b=3", "", "a.b=[1"])
def test_a_set_that_is_no_key_and_value_is_refused(text: str) -> None:
    (fault,) = faults(CONF, text)
    assert fault.startswith("--set")


def test_a_set_of_an_unknown_key_is_an_unknown_key() -> None:
    assert faults(CONF, "sparc.master=local", "pipeline.lable.horizon_days=3") == [
        "env/local.yml or base.yml: sparc: unknown key",
        "pipelines/churn.yml: lable: unknown key",
    ]


def test_yaml_that_is_none_is_told_with_its_line(conf: Path) -> None:
    (conf / "base.yml").write_text("spark:\n  a: [1\nb: 2\n", encoding="utf-8")
    (conf / "pipelines" / "churn.yml").write_bytes(b"name: \xff\n")
    found = faults(conf)
    assert any(fault.startswith("base.yml:3: not YAML") for fault in found)
    assert any(fault == "churn.yml: cannot be read (UnicodeDecodeError)" for fault in found)


def test_yaml_that_makes_objects_is_refused_and_makes_none(conf: Path, tmp_path: Path) -> None:
    trace = tmp_path / "made"
    (conf / "base.yml").write_text(
        f"spark: !!python/object/apply:pathlib.Path.touch [!!python/object/apply:pathlib.Path ['{trace}']]\n", encoding="utf-8"
    )
    assert any("base.yml:1: not YAML" in fault for fault in faults(conf))
    assert not trace.exists()


def test_an_unknown_environment_or_source_is_told_with_those_there_are(conf: Path) -> None:
    assert "--env: got 'live', expected one of dev, local, prod, staging" in faults(conf, env="live")
    assert any(
        "source: got 'shop', expected one of online_retail" in fault
        for fault in broken(conf, put("source", "shop"), put("features.source", "shop"))
    )


def test_an_unknown_pipeline_is_answered_with_the_nearest_name() -> None:
    with pytest.raises(UsageError, match=r"got 'chrun', expected one of .*churn.*\. Next: penstock … churn"):
        load(CONF, "local", "chrun")


def test_a_pipeline_whose_name_is_not_its_file_s_is_refused(conf: Path) -> None:
    assert broken(conf, put("name", "other")) == ["pipelines/churn.yml: name: got 'other', expected 'churn'"]


def test_a_folder_that_is_no_configuration_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"no base\.yml there"):
        conf_folder(tmp_path)
    assert conf_folder(CONF) == CONF


def test_no_secret_stands_in_a_shipped_file_only_the_names_of_variables() -> None:
    for path in CONF.rglob("*.yml"):
        assert not any(word in path.read_text(encoding="utf-8").casefold() for word in ("password", "token:", "secret:", "redis://")), path
