"""Bad input of every kind: a clear sentence, the right exit code, nothing lost, nothing half written."""

from __future__ import annotations

import gzip
import os
import shutil
import socket
import subprocess
from collections.abc import Callable, Iterator
from datetime import date, timedelta
from pathlib import Path

import pytest

import shop
from clients import Clients, words
from penstock.cli import main

DAY = date(2023, 7, 4)
AFTER = date(2023, 7, 5)
"""The day from which the file of `DAY` can be read."""
QUIET = {"leases", "ledger"}

Rows = list[tuple[str, ...]]


def csv(rows: Rows, header: tuple[str, ...] = shop.HEADER, delimiter: str = ",") -> bytes:
    return "".join(delimiter.join(row) + "\n" for row in (header, *rows)).encode()


def good(count: int) -> Rows:
    return [(f"O230704{n:03d}", str(10000 + n), f"{DAY} 10:{n:02d}:00", "12.50", "United Kingdom") for n in range(count)]


def column(rows: Rows, at: int, value: str) -> Rows:
    return [(*row[:at], value, *row[at + 1 :]) for row in rows]


REFUSED: dict[str, tuple[bytes, str]] = {
    "missing_column": (csv([row[:4] for row in good(9)], shop.HEADER[:4]), "column 'Country' is missing"),
    "extra_column": (csv([(*row, "1") for row in good(9)], (*shop.HEADER, "Weight")), "column 'Weight' is not in the contract"),
    "renamed_column": (csv(good(9), (*shop.HEADER[:4], "Countries")), "column 'Country' is missing, perhaps renamed to 'Countries'"),
    "column_in_other_case": (csv(good(9), (*shop.HEADER[:4], "country")), "column 'country' differs from 'Country' by case"),
    "columns_that_collide_by_case": (
        csv([(*row, "x") for row in good(9)], (*shop.HEADER, "COUNTRY")),
        "columns 'Country' and 'COUNTRY' differ only by case",
    ),
    "column_twice": (csv([(*row, "x") for row in good(9)], (*shop.HEADER, "Country")), "column 'Country' stands 2 times"),
    "semicolons": (csv(good(9), delimiter=";"), "a semicolon separates the values"),
    "latin_1": (csv(column(good(9), 4, "Curaçao")).decode().encode("latin-1"), "is not UTF-8: byte 0xE7"),
    "utf_16": (csv(good(9)).decode().encode("utf-16-le"), "NUL character"),
    "empty_file": (b"", "is empty"),
    "header_only": (csv([]), "has a header and no rows"),
    "wrong_type_in_all_rows": (csv(column(good(9), 3, "much")), "9 of 9 rows refused (amount:type 9"),
    "nan_in_all_rows": (csv(column(good(9), 3, "NaN")), "9 of 9 rows refused (amount:type 9"),
    "infinity_in_all_rows": (csv(column(good(9), 3, "-inf")), "9 of 9 rows refused (amount:type 9"),
    "required_column_all_null": (csv(column(good(9), 4, "")), "9 of 9 rows refused (country:required 9"),
    "optional_column_all_null": (csv(column(good(9), 1, "")), "failed expect_column_values_to_not_be_null(customer_id)"),
    "future_dates_in_all_rows": (csv(column(good(9), 2, "2031-01-01 10:00:00")), "9 of 9 rows refused (in_the_future 9"),
    "rows_of_other_lengths": (csv([row[:3] for row in good(9)]), "9 of 9 rows refused (parse_error 9"),
}


@pytest.fixture(scope="module")
def landed(history: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A lake with a history that has landed what came since; whatever is refused leaves it as it was, so it serves many tests."""
    lake = shop.copy_lake(history, tmp_path_factory.mktemp("landed") / "lake")
    yield lake
    shutil.rmtree(lake)


@pytest.fixture
def lake(history: Path, tmp_path: Path) -> Iterator[Path]:
    """A lake of our own after the first run."""
    yield shop.copy_lake(history, tmp_path / "lake")
    shutil.rmtree(tmp_path / "lake")


def refused(clients: Clients, conf: Path, lake: Path, name: str, content: bytes) -> str:
    """Land a file that must be refused whole; gives what was said."""
    path = lake / "landing" / shop.SOURCE / name
    path.write_bytes(content)
    before = shop.versions(lake)
    try:
        done = clients.run(*words("land", lake, conf, as_of=AFTER), code=3)
    finally:
        path.unlink()
    after = shop.versions(lake)
    assert {table for table in after if after[table] != before.get(table)} <= QUIET
    assert "Nothing landed" in done.err
    assert "Next: " in done.err
    assert "Traceback" not in done.err
    return done.err


@pytest.mark.parametrize("kind", REFUSED)
def test_a_bad_file_is_refused_with_its_name_and_fault(clients: Clients, shop_conf: Path, landed: Path, kind: str) -> None:
    content, said = REFUSED[kind]
    told = refused(clients, shop_conf, landed, f"{DAY}.csv", content)
    assert said in told
    assert f"{DAY}.csv" in told


def test_a_truncated_gzip_is_refused_with_its_file_name(clients: Clients, shop_conf: Path, landed: Path) -> None:
    told = refused(clients, shop_conf, landed, f"{DAY}.csv.gz", gzip.compress(csv(good(50)), mtime=0)[:-20])
    assert f"{DAY}.csv.gz is truncated or damaged" in told


def test_all_bad_files_are_named_at_once(clients: Clients, shop_conf: Path, landed: Path) -> None:
    other = landed / "landing" / shop.SOURCE / "2023-07-03.csv"
    kept = other.read_bytes() if other.exists() else None
    other.write_bytes(b"")
    try:
        told = refused(clients, shop_conf, landed, f"{DAY}.csv", csv([]))
    finally:
        other.unlink() if kept is None else other.write_bytes(kept)
    assert "2023-07-03.csv is empty" in told
    assert f"{DAY}.csv has a header and no rows" in told


def test_a_second_file_of_one_day_is_refused(clients: Clients, shop_conf: Path, landed: Path) -> None:
    first = shop.write_file(landed / "landing", DAY, good(9))
    try:
        told = refused(clients, shop_conf, landed, f"{DAY}.csv.gz", gzip.compress(csv(good(9)), mtime=0))
    finally:
        first.unlink()
    assert "another file of 2023-07-04" in told


def test_a_few_bad_rows_go_to_quarantine_with_their_reasons_and_the_rest_lands(clients: Clients, shop_conf: Path, lake: Path) -> None:
    bad = [
        ("O9000001", "10001", f"{DAY} 10:00:00", "NaN", "France"),
        ("O9000002", "10001", f"{DAY} 10:00:00", "Infinity", "France"),
        ("O9000003", "10001", "2031-01-01 10:00:00", "1.00", "France"),
        ("X", "1", "yesterday", "", ""),
    ]
    shop.write_file(lake / "landing", DAY, [*good(50), *bad])
    single = ("O2307030", "10000", "2023-07-03 10:00:00", "12.50", "France")
    shop.write_file(lake / "landing", DAY - timedelta(days=1), [single])  # a file of one row is a file
    clients.run(*words("land", lake, shop_conf, as_of=AFTER))
    file = f"{DAY}.csv"
    assert sum(row["_file"] == file for row in shop.rows(lake, f"landing_{shop.SOURCE}")) == 50
    reasons = {row["order_no"]: row["reasons"] for row in shop.rows(lake, f"quarantine_{shop.SOURCE}") if row["_file"] == file}
    assert reasons["O9000001"] == reasons["O9000002"] == ["amount:type"]
    assert reasons["O9000003"] == ["in_the_future"]
    assert set(reasons["X"]) == {"order_no:pattern", "customer_id:pattern", "ordered_at:type", "amount:required", "country:required"}
    told = next(row for row in shop.rows(lake, f"files_{shop.SOURCE}") if row["_file"] == file)
    assert (told["rows"], told["accepted"], told["rejected"]) == (54, 50, 4)
    assert [row["order_no"] for row in shop.rows(lake, f"landing_{shop.SOURCE}") if row["_file"] == "2023-07-03.csv"] == ["O2307030"]


# -- configuration: judged before anything is opened, so these need no Spark -------------------------------------------


@pytest.fixture
def say(shop_conf: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """Runs a command that must end with 2 and touch nothing; gives what it said."""

    def run(*more: str, conf: Path = shop_conf) -> str:
        lake = tmp_path / "lake"
        code = main(list(words("run", lake, conf, *more, as_of=shop.HISTORY)))
        said = capsys.readouterr().err
        assert code == 2, said
        assert not lake.exists()
        assert "Traceback" not in said
        return said

    return run


def test_a_negative_horizon_is_refused(say: Callable[..., str]) -> None:
    assert "pipelines/tiny.yml: label.horizon_days: got -14" in say("--set", "pipeline.label.horizon_days=-14")


def test_an_unknown_key_is_refused_with_its_file(say: Callable[..., str], shop_conf: Path, tmp_path: Path) -> None:
    conf = tmp_path / "conf"
    shutil.copytree(shop_conf, conf)
    path = conf / "pipelines" / "tiny.yml"
    path.write_text(path.read_text() + "retrian: true\n")
    assert "pipelines/tiny.yml: retrian: unknown key" in say(conf=conf)


def test_all_faults_of_all_files_are_told_at_once(say: Callable[..., str], shop_conf: Path, tmp_path: Path) -> None:
    conf = tmp_path / "conf"
    shutil.copytree(shop_conf, conf)
    contract = conf / "contracts" / f"{shop.SOURCE}.yml"
    contract.write_text(contract.read_text().replace("Europe/London", "Europe/Londinium"))
    (conf / "base.yml").write_text("spark: {cores: 2}\n")
    said = say("--set", "pipeline.label.horizon_days=0", "--set", "pipeline.schedule.every_days=often", conf=conf)
    for fault in ("Londinium", "spark.cores: unknown key", "label.horizon_days: got 0", "schedule.every_days: got 'often'"):
        assert fault in said
    assert "4 faults" in said


def test_a_file_that_is_no_yaml_is_one_fault(say: Callable[..., str], shop_conf: Path, tmp_path: Path) -> None:
    conf = tmp_path / "conf"
    shutil.copytree(shop_conf, conf)
    (conf / "pipelines" / "tiny.yml").write_text("name: {tiny\n")
    said = say(conf=conf)
    assert "tiny.yml" in said
    assert "not YAML" in said
    assert "missing" not in said, "what cannot be read has no missing keys"


@pytest.mark.parametrize("path", ["os.system", "subprocess.Popen", "sklearn; import os", "__main__.x"])
def test_an_estimator_outside_of_scikit_learn_is_refused(say: Callable[..., str], path: str) -> None:
    assert "training.candidates.0.estimator" in say("--set", f"pipeline.training.candidates.0.estimator={path}")


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("population", "orders_42d > 0 OR (SELECT true FROM leases LIMIT 1)"),
        ("population", "orders_42d > 0; DROP TABLE crm_tiny"),
        ("population", "true -- and the rest"),
        ("population", "java_method('java.lang.System', 'exit', 0)"),
        ("label.expression", "orders = 0 UNION SELECT 1"),
        ("features.name", "x` AS SELECT * FROM leases --"),
        ("features.entity", "['customer_id, (SELECT 1)']"),
        ("features.event_time", "ordered_at)--"),
        ("source", "../../etc/passwd"),
    ],
)
def test_sql_in_a_name_or_an_expression_is_refused(say: Callable[..., str], key: str, value: str) -> None:
    assert key.rpartition(".")[2] in say("--set", f"pipeline.{key}={value}")


def test_an_expression_over_a_column_that_is_not_there_is_a_fault_of_the_configuration(
    clients: Clients, shop_conf: Path, lake: Path
) -> None:
    shutil.rmtree(lake / "predictions_tiny")  # so that there is something to score
    before = shop.versions(lake)
    done = clients.run(*words("score", lake, shop_conf, "--set", "pipeline.population=orderz > 0", as_of=shop.HISTORY), code=2)
    assert "orderz" in done.err
    assert "Traceback" not in done.err
    after = shop.versions(lake)
    assert {table for table in after if after[table] != before.get(table)} <= QUIET


def test_an_unknown_estimator_is_refused(clients: Clients, shop_conf: Path, landed: Path) -> None:
    more = ("--set", "pipeline.training.candidates.0.estimator=sklearn.ensemble.HistGradientBoostingOracle")
    done = clients.run(*words("train", landed, shop_conf, *more, as_of=shop.HISTORY), code=2)
    assert "training.candidates: boosting: estimator: got 'sklearn.ensemble.HistGradientBoostingOracle'" in done.err


# -- labels ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("key", "said"),
    [("label.expression=orders >= 0", "class"), ("label.horizon_days=365", "labelled rows to train on: got none")],
    ids=["one_class", "none_matured"],
)
def test_labels_that_cannot_train_are_refused(clients: Clients, shop_conf: Path, lake: Path, key: str, said: str) -> None:
    shutil.rmtree(lake / "labels_tiny")
    before = shop.registry(lake)
    clients.run(*words("labels", lake, shop_conf, "--set", f"pipeline.{key}", as_of=shop.HISTORY))
    done = clients.run(*words("train", lake, shop_conf, "--set", f"pipeline.{key}", as_of=shop.HISTORY), code=3)
    assert said in done.err
    assert shop.registry(lake) == before


def churned(day: date) -> dict[str, float]:
    """By brute force over the shop's true orders: who did not order in the 14 days from `day`, of those who did in the 42 before."""
    bought: dict[str, set[date]] = {}
    for at in shop.open_days(day - timedelta(days=42), day + timedelta(days=13)):
        for order in shop.orders(at):
            if order[1] and order[0].startswith("O"):
                bought.setdefault(order[1], set()).add(at)
    return {who: float(not any(at >= day for at in days)) for who, days in bought.items() if any(at < day for at in days)}


def labels(lake: Path, day: date) -> dict[str, tuple[str, float | None]]:
    found = [row for row in shop.rows(lake, "labels_tiny") if (row["as_of"] + timedelta(hours=2)).date() == day]
    return {row["customer_id"]: (row["state"], row["label"]) for row in found}


def test_a_week_of_missing_files_does_not_read_as_churn(clients: Clients, shop_conf: Path, lake: Path) -> None:
    cohort, landing = date(2023, 6, 26), lake / "landing"
    for day in shop.open_days(shop.HISTORY, date(2023, 7, 6)):  # the week that is missing
        (landing / shop.SOURCE / f"{day}.csv").unlink(missing_ok=True)
    shop.write_days(landing, date(2023, 7, 10), date(2023, 7, 20))
    for verb in ("land", "features"):
        clients.run(*words(verb, lake, shop_conf, as_of=shop.NEXT))
    done = clients.run(*words("labels", lake, shop_conf, as_of=shop.NEXT))
    assert "cohorts wait for 4 missing files, the first 2023-07-03" in done.err
    assert set(labels(lake, cohort).values()) == {("pending", None)}
    # The files come after all, together with the next week's: now, and only now, the outcome is known.
    shop.write_days(landing, shop.HISTORY, date(2023, 7, 6))
    shop.write_days(landing, date(2023, 7, 24), date(2023, 7, 27))
    for verb in ("land", "features", "labels"):
        clients.run(*words(verb, lake, shop_conf, as_of=date(2023, 7, 31)))
    assert labels(lake, cohort) == {who: ("matured", label) for who, label in churned(cohort).items()}


def test_a_stale_source_stops_features_and_scores(clients: Clients, shop_conf: Path, landed: Path) -> None:
    before = shop.versions(landed)
    for verb in ("run", "features", "score"):
        done = clients.run(*words(verb, landed, shop_conf, as_of=date(2023, 7, 31)), code=3)
        assert "expected files missing since" in done.err
    after = shop.versions(landed)
    assert {table for table in after if after[table] != before[table]} <= QUIET


def test_late_repeated_and_corrected_files_count_from_the_next_run_on_and_change_nothing_old(
    clients: Clients, shop_conf: Path, history: Path, tmp_path: Path
) -> None:
    """One lake gets its files in bad order; another one whole and in time: from the next run on, the features are the same."""
    first, then = date(2023, 7, 10), date(2023, 7, 17)
    late, corrected = date(2023, 7, 5), date(2023, 7, 4)
    disturbed, tidy = (shop.copy_lake(history, tmp_path / name / "lake") for name in ("disturbed", "tidy"))
    shop.write_days(disturbed / "landing", shop.HISTORY, date(2023, 7, 6))
    (disturbed / "landing" / shop.SOURCE / f"{late}.csv").unlink()
    for verb in ("land", "features", "score"):
        clients.run(*words(verb, disturbed, shop_conf, as_of=first))
    old = [shop.canonical(disturbed, name) for name in ("features_tiny_activity", "predictions_tiny")]

    for lake in (disturbed, tidy):
        shop.write_days(lake / "landing", shop.HISTORY, date(2023, 7, 13))
        shop.correct(lake / "landing", corrected)
        for verb in ("land", "features"):
            clients.run(*words(verb, lake, shop_conf, as_of=then))

    told = {row["_file"]: row["late"] for row in shop.rows(disturbed, f"files_{shop.SOURCE}") if row["day"] >= shop.HISTORY}
    assert {name for name, is_late in told.items() if is_late} == {f"{late}.csv", f"{corrected}.csv"}
    for table, rows in zip(("features_tiny_activity", "predictions_tiny"), old, strict=True):
        now = shop.canonical(disturbed, table)
        assert [row for row in rows if row not in now] == []
    features = [[row for row in shop.canonical(lake, "features_tiny_activity") if _day(row) == then] for lake in (disturbed, tidy)]
    assert features[0]
    assert features[0] == features[1]

    # The same files again, written anew: nothing is new.
    before = shop.versions(disturbed)
    shop.write_days(disturbed / "landing", shop.HISTORY, date(2023, 7, 3))
    clients.run(*words("land", disturbed, shop_conf, as_of=then))
    after = shop.versions(disturbed)
    assert {table for table in after if after[table] != before[table]} == QUIET


def _day(row: tuple[tuple[str, object], ...]) -> date:
    at = dict(row)["as_of"]
    return (at + timedelta(hours=2)).date()  # type: ignore[operator,no-any-return]  # local midnight of London is 23:00 UTC


# -- services ----------------------------------------------------------------------------------------------------------


def test_without_redis_the_tables_are_written_and_publishing_resumes(clients: Clients, shop_conf: Path, lake: Path) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        closed = probe.getsockname()[1]
    for gone in ("predictions_tiny_latest", "crm_tiny", "_redis"):  # as if nothing had been published yet
        shutil.rmtree(lake / gone)
    again = words("publish", lake, shop_conf, as_of=shop.HISTORY)
    done = clients.run(*again, environment={"PENSTOCK_REDIS_URL": f"redis://:secret@127.0.0.1:{closed}/0"}, code=1)
    assert f"Redis at redis://127.0.0.1:{closed}/0: got no answer" in done.err
    assert "secret" not in done.err
    assert "Traceback" not in done.err
    assert any(row["stage"] == "publish" and row["status"] == "failed" for row in shop.rows(lake, "ledger"))
    tables = {name: shop.canonical(lake, name) for name in ("predictions_tiny_latest", "crm_tiny")}
    scored = {row["customer_id"] for row in shop.rows(lake, "predictions_tiny") if not row["is_control"]}
    assert {row["customer_id"] for row in shop.rows(lake, "crm_tiny")} == scored
    clients.run(*again)
    assert set(shop.published(lake)["scores"]) == scored
    assert {name: shop.canonical(lake, name) for name in tables} == tables


def test_a_missing_mlflow_database_beside_its_models_is_told_and_not_made_anew(clients: Clients, shop_conf: Path, lake: Path) -> None:
    (lake / "mlflow" / "mlflow.db").unlink()
    done = clients.run(*words("score", lake, shop_conf, as_of=shop.HISTORY), code=1)
    assert "MLflow at" in done.err
    assert "Traceback" not in done.err
    assert not (lake / "mlflow" / "mlflow.db").exists()


@pytest.mark.parametrize(
    ("verb", "room"),
    [("land", 50_000), pytest.param("run", 50_000, marks=pytest.mark.slow), pytest.param("run", 200_000, marks=pytest.mark.slow)],
)
def test_a_full_disk_is_told_and_with_room_again_the_run_completes(
    clients: Clients, shop_conf: Path, history: Path, tmp_path: Path, verb: str, room: int
) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=500m", "tmpfs", str(disk)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("a small disk of its own can only be mounted by root")
    try:
        lake, other = shop.copy_lake(history, disk / "lake"), shop.copy_lake(history, tmp_path / "other" / "lake")
        for place in (lake, other):
            shop.second_delivery(place / "landing")
        left = os.statvfs(disk)
        filler = disk / "filler"
        filler.write_bytes(b"\0" * (left.f_bavail * left.f_frsize - room))
        again = words(verb, lake, shop_conf, as_of=shop.NEXT)
        done = clients.run(*again, code=1)
        assert "no space left" in done.err
        assert "Traceback" not in done.err
        filler.unlink()
        clients.run(*again)
        clients.run(*words(verb, other, shop_conf, as_of=shop.NEXT))
        assert not shop.differences(shop.content(other), shop.content(lake))
    finally:
        subprocess.run(["umount", "-l", str(disk)], check=False)
