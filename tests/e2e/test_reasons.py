"""Reasons from the training to the reader: in the predictions, the CRM table and Redis the same words, and none for the control group."""

from __future__ import annotations

from pathlib import Path

import pytest

import shop

pytestmark = pytest.mark.slow


def test_every_published_score_carries_its_reasons_everywhere(history: Path) -> None:
    predictions = list(shop.rows(history, f"predictions_{shop.PIPELINE}"))
    published = {row["customer_id"]: list(row["reasons"]) for row in predictions if not row["is_control"]}
    assert published
    assert all(row["reasons"] is None for row in predictions if row["is_control"])
    assert any(len(reasons) == 3 for reasons in published.values())
    assert any(text.startswith("recency days: ") for reasons in published.values() for text in reasons)
    crm = shop.rows(history, f"crm_{shop.PIPELINE}")
    assert {row["customer_id"]: [row[f"reason_{n}"] for n in (1, 2, 3)] for row in crm} == {
        key: [*reasons, None, None, None][:3] for key, reasons in published.items()
    }
    assert {key: list(score[-1]) for key, score in shop.published(history)["scores"].items()} == published
