"""What a training run keeps of its features: their metadata, and what the checks say of the very rows that were read."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable
from dataclasses import asdict
from datetime import date

from penstock.features import checks, versions
from penstock.features.catalog import Found
from penstock.features.checks import CheckResult
from penstock.stage import Run

METADATA, CHECKS = "feature_metadata.json", "feature_checks.json"


def feature_facts(run: Run, features: int, days: Iterable[date], columns: Collection[str]) -> dict[str, str]:
    """The two artefacts by name: the catalogue's rows of the model's columns, and the checks over the feature rows of `days`.

    `features` is the version of the feature table that the training read.
    """
    from pyspark.sql import functions as F

    trained_on = versions.current(run)
    _, table = versions.view_tables(run, trained_on)
    rows = run.lake.read(table, features).where(F.col("as_of").isin([F.lit(run.instant(day)) for day in days]))
    told = [f for f in versions.listed(run) if f.entry.version == trained_on.number]
    return {METADATA: metadata_json(told, columns), CHECKS: checks_json(checks.results(rows, trained_on.view))}


def metadata_json(listed: Iterable[Found], columns: Collection[str]) -> str:
    """The entries of a model's columns by name. The whole view's declaration stays in the catalogue."""
    kept = {f.entry.column: f for f in listed if f.entry.column in set(columns)}
    told = [asdict(found.entry) | {"created_at": found.created_at.isoformat()} for _, found in sorted(kept.items())]
    return json.dumps([{name: value for name, value in row.items() if name != "declaration"} for row in told], indent=1)


def checks_json(results: Iterable[CheckResult]) -> str:
    """The results as a list of objects."""
    return json.dumps([asdict(result) for result in results], indent=1)
