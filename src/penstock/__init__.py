"""Penstock: batch machine learning on a lakehouse.

A penstock is the gated pipe that carries water from a lake to the turbine. The data's way through this package:

    landing → features → labels → monitoring → training → registry → scoring → publish

Each stage is a folder with frozen values, pure functions, and one `run.py` that has the effects: `plan(run)` decides,
`apply(run, plan)` does. `lake` holds the only door to Delta, `orchestrate` the order of the stages, `wiring` puts the
parts together, `cli` is the command, `client` reads published scores with Redis alone, and `open` is for notebooks.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from penstock.workbench import Workbench

    __version__: str

__all__ = ["AsyncScoreReader", "FeatureReader", "PublishedItems", "PublishedScore", "ScoreReader", "__version__", "open"]


def open(lake: str | Path = "lakehouse", *, env: str = "local", conf: str | Path | None = None) -> Workbench:  # noqa: A001 - penstock.open, as in h5py or xarray's kin
    """Open a lake for a notebook; nothing that it gives writes a table.

    Parameters: `lake` is the lake's folder, `env` the environment of the configuration (conf/env/ENV.yml), `conf` the
    configuration's folder when it is not the one found from here. Raises UsageError when there is no lake.

    >>> import penstock
    >>> with penstock.open("lakehouse") as lake:  # doctest: +SKIP
    ...     lake.table("crm_churn").show(3)
    ...     lake.feature_set("customer_activity", spine)
    ...     lake.candidates("churn"), lake.scores("churn"), lake.runs()
    """
    from penstock.workbench import open_lake

    return open_lake(lake, env, conf)


def __getattr__(name: str) -> object:
    """The public names that need other modules are imported when they are first used, the version is looked up then."""
    if name == "__version__":
        return _version()
    if name in __all__:
        from penstock import client

        return getattr(client, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def _version() -> str:
    from importlib.metadata import PackageNotFoundError, version  # slower to import than all that a reader of scores needs

    try:
        return version("penstock")
    except PackageNotFoundError:  # run from a source tree that is not installed
        return "0+unknown"
