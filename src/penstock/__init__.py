"""Penstock: batch machine learning on a lakehouse.

A penstock is the gated pipe that carries water from a lake to the turbine. The data's way through this package:

    landing → features → labels → monitoring → training → registry → scoring → publish

Each stage is a folder with frozen values, pure functions, and one `run.py` that has the effects: `plan(run)` decides,
`apply(run, plan)` does. `lake` holds the only door to Delta, `orchestrate` the order of the stages, `wiring` puts the
parts together, `cli` is the command, and `client` reads published scores with Redis alone.
"""

from importlib.metadata import PackageNotFoundError, version

try:
    __version__ = version("penstock")
except PackageNotFoundError:  # run from a source tree that is not installed
    __version__ = "0+unknown"

__all__ = ["PublishedScore", "ScoreReader", "__version__"]


def __getattr__(name: str) -> object:
    """The public names that need other packages are imported when they are first used."""
    if name in {"ScoreReader", "PublishedScore"}:
        from penstock import client

        return getattr(client, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
