"""The command line: exit codes, one sentence for a wrong word, and a help that costs nothing."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from penstock import cli, wiring
from penstock.config.load import conf_folder
from penstock.orchestrate import commands, local
from penstock.stage import STAGES, Run

HEAVY = (
    "pyspark",
    "delta",
    "mlflow",
    "pandas",
    "numpy",
    "scipy",
    "sklearn",
    "pyarrow",
    "great_expectations",
    "redis",
    "matplotlib",
    "jinja2",
)


def told(capsys: pytest.CaptureFixture[str], *words: object) -> tuple[int, str, str]:
    """Exit code, standard output, and standard error of one command."""
    code = cli.main([str(word) for word in words])
    found = capsys.readouterr()
    return code, found.out, found.err


def wrong(capsys: pytest.CaptureFixture[str], *words: object) -> str:
    """What a wrong command says; it must say it on standard error alone, with exit code 2 and no trace."""
    code, out, err = told(capsys, *words)
    assert (code, out) == (2, "")
    assert err.startswith("penstock: ")
    assert "Traceback" not in err
    return err.removeprefix("penstock: ").rstrip("\n")


# -- help -------------------------------------------------------------------------------------------------------------


def test_help_answers_at_once() -> None:
    began = time.perf_counter()
    done = subprocess.run([sys.executable, "-m", "penstock.cli", "--help"], capture_output=True, text=True, check=False, timeout=30)
    seconds = time.perf_counter() - began
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("usage: penstock")
    assert all(verb in done.stdout for verb in (*STAGES, "demo", "run", "plan", "status", "sql", "get", "rollback"))
    assert seconds < 1.0  # 0.4 s are promised; the rest is for a busy machine


@pytest.mark.parametrize("words", [["--help"], ["score", "--help"], ["--version"], ["run", "churn"]])
def test_words_alone_import_nothing_heavy(words: list[str]) -> None:
    script = (
        "import json, sys\nfrom penstock.cli import main\ncode = main(sys.argv[2:])\n"
        "heavy = sorted(set(json.loads(sys.argv[1])) & set(sys.modules))\nprint(json.dumps([code, heavy]), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", script, json.dumps(HEAVY), *words], capture_output=True, text=True, check=True, timeout=30)
    assert json.loads(done.stderr.splitlines()[-1]) == [2 if words == ["run", "churn"] else 0, []]


def test_help_and_version_end_well(capsys: pytest.CaptureFixture[str]) -> None:
    assert told(capsys, "--help")[0] == 0
    assert told(capsys, "--version")[1].startswith("penstock 0.")


# -- wrong usage ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "The following arguments are required: COMMAND"),
        (["scoer", "churn"], "invalid choice: 'scoer'"),
        (["run"], "the following arguments are required: PIPELINE, --as-of"),
        (["run", "churn"], "the following arguments are required: --as-of"),
        (["promote", "churn"], "--as-of: got none, expected a day as YYYY-MM-DD"),
        (["status", "churn", "--jsn"], "nrecognized arguments: --jsn"),
        (["demo", "--weeks", "many"], "invalid int value: 'many'"),
        (["demo", "--weeks", "15"], "--weeks: got 15, expected 0 to 14"),
        (["plan", "everything", "churn", "--as-of", "2011-09-05"], "invalid choice: 'everything'"),
        (["promote", "churn", "--approve", "2"], "--approve: got nobody's name, expected --by NAME"),
        (["score", "churn", "--as-of", "2011-09-05", "--allow-drop"], "unrecognized arguments: --allow-drop"),
        (["run", "churn", "--as-of", "2011-09-05", "--allow-empty"], "unrecognized arguments: --allow-empty"),
        (["sql", "SELECT 1", "--format", "xml"], "invalid choice: 'xml'"),
        (["run", "churn", "--as-of", "2011-09-05", "--conf", "/nowhere"], "--conf /nowhere: got no base.yml there"),
        (["run", "churn", "--as-of", "2011-09-05", "--env", "moon"], "--env: got 'moon', expected one of dev, local, prod, staging"),
    ],
)
def test_a_wrong_word_is_one_sentence_with_the_next_step(
    words: list[str], said: str, capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    err = wrong(capsys, *words)
    assert said.casefold() in err.casefold()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("day", ["yesterday", "2011-9-5", "2011-02-30", "05.09.2011", "2011-09-05T00:00", ""])
def test_a_bad_day_is_refused_before_anything_is_opened(day: str, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    err = wrong(capsys, "run", "churn", "--as-of", day, "--lake", tmp_path / "lake")
    assert err == f"--as-of: got {day!r}, expected a day as YYYY-MM-DD. Next: penstock run PIPELINE --as-of 2011-09-05."
    assert not (tmp_path / "lake").exists()


def test_an_unknown_pipeline_is_met_with_the_nearest_one(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    err = wrong(capsys, "run", "chrun", "--as-of", "2011-09-05", "--lake", tmp_path / "lake")
    assert err.startswith("pipeline: got 'chrun', expected one of churn")
    assert "churn" in err.partition("Next: ")[2]
    assert "Next:" not in wrong(capsys, "run", "weather", "--as-of", "2011-09-05", "--lake", tmp_path / "lake")


@pytest.mark.parametrize(
    "words",
    [
        ["status", "churn"],
        ["sql", "SELECT 1"],
        ["get", "churn", "17850"],
        ["rollback", "churn", "--by", "anna"],
        ["rollback", "churn", "--published"],
    ],
)
def test_a_lake_that_is_not_there_is_not_made_by_looking(words: list[str], capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    err = wrong(capsys, *words, "--lake", tmp_path / "lake")
    assert "no such folder" in err
    assert "penstock demo" in err
    assert not (tmp_path / "lake").exists()


def test_what_is_not_published_is_not_rolled_back(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    off = "pipeline.publish.redis.enabled=false"
    err = wrong(capsys, "rollback", "churn", "--published", "--set", off, "--lake", tmp_path)
    assert err == "publish.redis.enabled: got false, expected true: nothing of churn is in Redis. Nothing was touched."
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("words", "allowed"),
    [((), set()), (("--allow-drop",), {"drop"}), (("--allow-empty", "--allow-drop"), {"empty", "drop"})],
)
def test_what_a_person_allows_a_publication_reaches_its_run(
    words: tuple[str, ...], allowed: set[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    seen: list[Run] = []
    monkeypatch.setattr(wiring.House, "lake", lambda _: None)
    monkeypatch.setattr(local, "run_stages", lambda run, *_: seen.append(run) or [])
    assert cli.main(["publish", "churn", "--as-of", "2011-09-05", "--lake", str(tmp_path), *words]) == 0
    assert [run.allowed for run in seen] == [allowed]


@pytest.mark.parametrize(
    ("key", "said"),
    [
        (("north",), "KEY: got 1 word, expected 2, one a key column: branch, member. Next: penstock get visits BRANCH MEMBER."),
        (("east", "side", "5"), "KEY: got 3 words, expected 2"),
        (("5", "east side"), "KEY, column member: got a text, expected a whole number, as the contract has it."),
    ],
)
def test_a_key_that_can_be_nobodys_is_told_before_anything_is_asked(
    key: tuple[str, ...], said: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    table = "branch,member,day\n" + "".join(f"north,{n % 4},2024-01-{n % 28 + 1:02d}\n" for n in range(40))
    (tmp_path / "visits.csv").write_text(table, encoding="utf-8")
    words = (
        "--source",
        str(tmp_path / "visits.csv"),
        "--entity",
        "branch",
        "member",
        "--event-time",
        "day",
        "--conf",
        str(tmp_path / "conf"),
    )
    assert cli.main(["init", "visits", *words]) == 0
    (tmp_path / "lake").mkdir()
    capsys.readouterr()
    assert said in wrong(capsys, "get", "visits", *key, "--conf", tmp_path / "conf", "--lake", tmp_path / "lake")
    assert not any((tmp_path / "lake").glob("_redis*"))


# -- configuration ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("nothing", "--set: got 'nothing', expected key.key=value"),
        ("a b=1", "--set: got 'a b=1', expected key.key=value"),
        ("spark.shuffle_partitions=[", "--set spark.shuffle_partitions: got '[', expected a YAML value"),
        ("spark.shufle_partitions=2", "spark.shufle_partitions: unknown key"),
        ("pipeline.label.horizon_days=-30", "label.horizon_days: got -30"),
        ("pipeline.population=true", "pipelines/churn.yml: population"),
    ],
)
def test_a_bad_override_names_its_key(override: str, said: str, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    err = wrong(capsys, "run", "churn", "--as-of", "2011-09-05", "--lake", tmp_path / "lake", "--set", override)
    assert said in err
    assert "Nothing was touched." in err


def test_all_faults_of_all_files_are_told_at_once(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    conf = tmp_path / "conf"
    shutil.copytree(conf_folder(None), conf, ignore=shutil.ignore_patterns("resources"))
    pipeline, base, contract = conf / "pipelines" / "churn.yml", conf / "base.yml", conf / "contracts" / "online_retail.yml"
    pipeline.write_text(pipeline.read_text().replace("horizon_days: 30", "horizon_days: -1").replace("population:", "popullation:"))
    base.write_text(base.read_text() + "colour: blue\n")
    contract.write_text(contract.read_text().replace("status: active", "status: active\nshape: round"))
    err = wrong(capsys, "run", "churn", "--as-of", "2011-09-05", "--conf", conf, "--lake", tmp_path / "lake", "--set", "oops")
    assert err.startswith("configuration, 6 faults:")
    for fault in (
        "'oops'",
        "label.horizon_days: got -1",
        "popullation: unknown key",
        "population: missing",
        "colour: unknown key",
        "shape: unknown key",
    ):
        assert fault in err, err
    assert not (tmp_path / "lake").exists()


# -- the same stages for spark-submit ---------------------------------------------------------------------------------


@pytest.mark.parametrize("verb", STAGES)
def test_each_job_script_is_its_verb(verb: str, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[list[str]] = []

    def main(argv: Sequence[str] | None = None) -> int:
        seen.append(list(argv or ()))
        return 3

    monkeypatch.setattr(cli, "main", main)
    assert cli.job_main(verb, ["--as-of", "2011-09-05", "--pipeline", "churn", "--env", "prod", "--set", "a.b=c"]) == 3
    assert seen == [[verb, "churn", "--scheduled", "--as-of", "2011-09-05", "--env", "prod", "--set", "a.b=c"]]


def test_a_job_without_a_pipeline_is_wrong_usage_in_one_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.job_main("score", ["--as-of", "2011-09-05"]) == 2
    err = capsys.readouterr().err
    assert err == "penstock: The following arguments are required: --pipeline. Next: jobs/score.py --help.\n"


def test_a_jobs_help_is_its_verbs_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.job_main("score", ["--help"]) == 0
    assert capsys.readouterr().out.startswith("usage: penstock score")


@pytest.mark.parametrize(
    "words", [["plan", "score", "churn", "--as-of", "2011-09-05"], ["score", "churn", "--as-of", "2011-09-05", "--dry-run"]]
)
def test_plan_is_the_same_as_dry_run(words: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple[str, ...]] = []

    def plan(_: object, verbs: tuple[str, ...]) -> int:
        seen.append(tuple(verbs))
        return 0

    monkeypatch.setattr(commands, "plan", plan)
    assert cli.main(words) == 0
    assert seen == [("score",)]


def test_an_error_that_is_not_ours_keeps_its_trace_and_says_so(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(commands, "status", lambda *_: 1 / 0)
    code, out, err = told(capsys, "status", "churn")
    assert (code, out) == (1, "")
    assert "ZeroDivisionError" in err
    assert "bug of ours" in err


def test_the_verbs_are_the_stages_in_their_order() -> None:
    assert cli.VERBS == STAGES
