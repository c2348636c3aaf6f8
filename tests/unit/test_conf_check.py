"""`penstock conf check` names every fault with file, line and key; `penstock conf schema` knows every key that may stand."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import yaml
from jsonschema import Draft202012Validator

from penstock.cli import main
from penstock.lake.expressions import columns_named
from penstock.orchestrate.conf_check import check
from penstock.orchestrate.conf_schema import KINDS, schema

CONF = Path(__file__).parents[2] / "conf"


@pytest.fixture
def conf(tmp_path: Path) -> Path:
    return Path(shutil.copytree(CONF, tmp_path / "conf"))


def edited(conf: Path, file: str, old: str, new: str) -> tuple[str, ...]:
    """The faults after one edit of a file's text."""
    path = conf / file
    text = path.read_text(encoding="utf-8")
    assert text.count(old) == 1, old
    path.write_text(text.replace(old, new), encoding="utf-8")
    return check(conf).faults


def test_the_shipped_configuration_is_ok_and_what_was_looked_at_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["conf", "check", "--conf", str(CONF)]) == 0
    said = capsys.readouterr().out
    assert said.startswith("ok: pipeline")
    assert "churn" in said
    assert "online_retail" in said


CHURN, SHOP = "pipelines/churn.yml", "contracts/online_retail.yml"


@pytest.mark.parametrize(
    ("file", "old", "new", "fault"),
    [
        (CHURN, "horizon_days: 30", "horizon_days: 0", "pipelines/churn.yml:{line}: label.horizon_days: "),
        (CHURN, "delay_days: 1\n", "dely_days: 1\n", "pipelines/churn.yml:{line}: label.dely_days: unknown key"),
        (CHURN, "of: country, type", "of: land, type", "pipelines/churn.yml:{line}: features.aggregates.8.of: names land, expected a column"),
        (CHURN, "population: orders_90d > 0", "population: orders_91d > 0", "pipelines/churn.yml:{line}: population: names orders_91d, expected a column that is there: orders_"),
        (CHURN, "expression: orders = 0", "expression: orders_30d = 0", "pipelines/churn.yml:{line}: label.expression: names orders_30d"),
        (CHURN, "event_time: invoice_at", "event_time: country", "pipelines/churn.yml:{line}: features.event_time: got country, a string"),
        (CHURN, "entity: [customer_id]", "entity: [costumer_id]", "names costumer_id, expected a column that is there: customer_id"),
        (CHURN, "ensemble.HistGradientBoostingClassifier", "ensemble.HistGradientBoosting", ": training.candidates: boosting: estimator: "),
        (CHURN, "early_stopping: false", "early_stoping: false", "pipelines/churn.yml:"),
        (CHURN, "\npopulation:", "\nsource: other\n\npopulation:", "pipelines/churn.yml:{line}: not YAML (key source stands twice)"),
        (CHURN, "source: online_retail\n\n", "source: online_retale\n\n", "pipelines/churn.yml:{line}: source: got 'online_retale'"),
        (SHOP, "implementation: unit_price = 0", "implementation: price = 0", "contracts/online_retail.yml:{line}: schema.0.quality.zero_price.implementation: names price"),
        (SHOP, "regexp_replace(customer_id, r", "regexp_replace(customer, r", "transformLogic: names customer, expected a column"),
        (SHOP, "\nteam:", "\nversion: 2.0.0\nteam:", "contracts/online_retail.yml:{line}: not YAML (key version stands twice)"),
        (SHOP, "value: 0.01", "value: 2", "customProperties.max"),
        (SHOP, "logicalType: integer", "logicalType: whole", "contracts/online_retail.yml:{line}: schema.0.properties.3.logicalType"),
        ("base.yml", "shuffle_partitions: 2", "shuffle_partitions: 0", "base.yml:3: spark.shuffle_partitions"),
        ("env/dev.yml", "lake:", "lak:", "env/dev.yml:2: lak: unknown key"),
    ],
)  # fmt: skip
def test_a_fault_is_told_with_file_line_and_key(conf: Path, file: str, old: str, new: str, fault: str) -> None:
    found = edited(conf, file, old, new)
    lines = (conf / file).read_text(encoding="utf-8").splitlines()
    line = 1 + next(at for at, text in enumerate(lines) if new.strip().splitlines()[0] in text)
    assert any(fault.format(line=line) in one for one in found), found


def test_all_faults_of_all_files_come_at_once_and_each_once(conf: Path, capsys: pytest.CaptureFixture[str]) -> None:
    edited(conf, CHURN, "horizon_days: 30", "horizon_days: 0")
    edited(conf, SHOP, "implementation: unit_price = 0", "implementation: price = 0")
    faults = edited(conf, "base.yml", "shuffle_partitions: 2", "shuffle_partitions: 0")
    assert len(faults) == 3, faults
    assert len(set(faults)) == len(faults)
    assert main(["conf", "check", "--conf", str(conf)]) == 2
    said = capsys.readouterr().err
    assert all(fault in said for fault in faults)
    assert "Nothing was touched" in said


def test_one_pipeline_alone_is_checked_with_its_contract(conf: Path, capsys: pytest.CaptureFixture[str]) -> None:
    other = (conf / CHURN).read_text(encoding="utf-8").replace("name: churn", "name: broken").replace("every_days: 7", "every_days: 0")
    (conf / "pipelines" / "broken.yml").write_text(other, encoding="utf-8")
    assert main(["conf", "check", "churn", "--conf", str(conf)]) == 0
    assert main(["conf", "check", "broken", "--conf", str(conf)]) == 2
    assert main(["conf", "check", "--conf", str(conf)]) == 2
    capsys.readouterr()
    assert main(["conf", "check", "nobody", "--conf", str(conf)]) == 2
    assert "expected one of broken, churn" in capsys.readouterr().err


def test_two_pipelines_may_share_a_view_only_when_they_mean_the_same_by_it(conf: Path) -> None:
    text = (conf / CHURN).read_text(encoding="utf-8").replace("name: churn", "name: second")
    (conf / "pipelines" / "second.yml").write_text(text, encoding="utf-8")
    assert check(conf).faults == ()
    (conf / "pipelines" / "second.yml").write_text(
        text.replace("return: invoice_no LIKE 'C%'", "return: invoice_no LIKE 'D%'"), encoding="utf-8"
    )
    (fault,) = check(conf).faults
    assert "pipelines/second.yml:" in fault
    assert "defines otherwise" in fault


def test_columns_are_told_from_functions_types_fields_and_lambdas() -> None:
    found = columns_named("CASE WHEN lower(a) IN ('x', 'b') THEN CAST(c AS double) ELSE d.e END + aggregate(f, 0, (g, h) -> g + h)")
    assert found == ("a", "c", "d", "f")
    assert columns_named("transform(xs, x -> x + y) = `from` AND DATE '2024-01-01' <= t - INTERVAL 3 DAYS") == ("xs", "y", "from", "t")


@pytest.mark.parametrize("kind", KINDS)
def test_a_schema_is_printed_and_describes_its_keys(kind: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["conf", "schema", kind]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["$schema"].startswith("https://json-schema.org/")
    assert found["description"]


def test_the_schema_knows_every_key_of_the_shipped_files() -> None:
    files = {"pipeline": CONF / CHURN, "contract": CONF / SHOP, "settings": CONF / "env" / "dev.yml"}
    for kind, path in files.items():
        made = schema(kind)
        assert set(yaml.safe_load(path.read_text(encoding="utf-8"))) <= set(made["properties"])
        assert made["additionalProperties"] is False
        tree = json.loads(json.dumps(yaml.safe_load(path.read_text(encoding="utf-8")), default=str))
        assert [fault.message for fault in Draft202012Validator(made).iter_errors(tree)] == []
        assert list(Draft202012Validator(made).iter_errors(tree | {"colour": "red"}))
    label = schema("pipeline")["$defs"]["Label"]["properties"]
    assert "horizon" in label["delay_days"]["description"]
