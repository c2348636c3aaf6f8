"""The stages' modules, imported while something else is done."""

from __future__ import annotations

import subprocess
import sys

from penstock.config.load import conf_folder, load
from penstock.orchestrate import dag
from penstock.stage import STAGES


def test_after_the_block_the_stages_are_imported_and_no_thread_is_left() -> None:
    code = (
        "import sys, threading\n"
        "from penstock.orchestrate import dag\n"
        "assert 'penstock.landing.run' not in sys.modules\n"
        "with dag.loading(('land', 'labels')): pass\n"
        "assert {'penstock.landing.run', 'penstock.labels.run'} <= sys.modules.keys()\n"
        "assert threading.active_count() == 1\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_stage_that_cannot_be_imported_is_told_to_who_needs_it() -> None:
    ran = False
    with dag.loading(("no such stage", "land")):
        ran = True
    assert ran


def test_only_a_view_that_is_online_is_published_under_its_own_lease() -> None:
    churn = load(conf_folder(None), "local", "churn").pipeline
    online = churn.model_copy(update={"features": churn.features.model_copy(update={"publish": "online"})})
    assert dag.leases(("publish",), churn) == ("pipeline",)
    assert dag.leases(("publish",), online) == ("pipeline", "view")
    assert dag.leases(("score",), online) == ("pipeline",)
    assert dag.leases(STAGES, online) == dag.leases(STAGES, churn)
