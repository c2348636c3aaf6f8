"""One warm Spark session for a test process, and lakes in fresh folders."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

    from clients import Clients
    from penstock.lake.delta import Lake


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Whatever asks for Spark, even by way of another fixture, is marked so: `-m "not spark"` is the quick half."""
    for item in items:
        if not {"spark", "clients"}.isdisjoint(getattr(item, "fixturenames", ())):
            item.add_marker(pytest.mark.spark)


@pytest.fixture(scope="session")
def spark(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SparkSession]:
    """The real thing, with Delta; started when the first test asks."""
    from penstock.config.model import SparkSettings
    from penstock.lake.jars import delta_jars
    from penstock.lake.session import open_session
    from penstock.wiring import cache_folder

    home = tmp_path_factory.mktemp("spark")
    session = open_session(SparkSettings(master="local[2]"), delta_jars(cache_folder()), home / "spark.log", home / "scratch")
    yield session
    session.stop()


@pytest.fixture
def lake(spark: SparkSession, tmp_path: Path) -> Lake:
    """An empty lake."""
    from penstock.lake.delta import Lake

    return Lake(spark, tmp_path / "lake")


@pytest.fixture(scope="session")
def clients(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Clients]:
    """Processes that run commands against one warm Connect server, started when the first test asks."""
    from clients import Clients, connect_server

    folder = tmp_path_factory.mktemp("connect")
    with connect_server(folder) as remote:
        yield Clients(remote, folder / "clients")


@pytest.fixture(scope="session")
def shop_conf(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The configuration with the small shop's pipeline."""
    import shop

    return shop.write_conf(tmp_path_factory.mktemp("shop") / "conf")


@pytest.fixture(scope="session")
def history(clients: Clients, shop_conf: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The small shop's lake after its first run: half a year landed, a model in production. Copy it, do not run in it."""
    import shop
    from clients import words

    lake = tmp_path_factory.mktemp("history") / "lake"
    shop.write_days(lake / "landing", shop.FIRST_FILE, shop.HISTORY - timedelta(days=1))
    clients.run(*words("run", lake, shop_conf, as_of=shop.HISTORY))
    return lake
