"""`penstock profile` over the small shop's lake, and its page in a real browser."""

from __future__ import annotations

import re
from datetime import date, timedelta
from pathlib import Path

import pytest

import chromium
import shop
from clients import Clients, Done

BROWSER = chromium.find()
OVERFLOW = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
CHARTS = """[...document.querySelectorAll('figure')].map(f => [f.id, [...f.querySelectorAll('svg.plot rect.bar')].filter(
  bar => Math.min(bar.getBoundingClientRect().width, bar.getBoundingClientRect().height) > 0).length])"""


@pytest.fixture(scope="module")
def profiled(clients: Clients, history: Path, shop_conf: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Done, Path]:
    page = tmp_path_factory.mktemp("page") / "orders.html"
    place = ("--lake", str(history), "--conf", str(shop_conf), "--out", str(page))
    return clients.run("profile", shop.SOURCE, *place, "--to", "2023-06-01", "--against", "2023-04-01"), page


def test_what_is_said_are_the_rows_of_the_files(profiled: tuple[Done, Path]) -> None:
    done, page = profiled
    days = list(shop.open_days(shop.FIRST_FILE, date(2023, 6, 1) - timedelta(days=1)))
    rows = [row for day in days for row in shop.orders(day) if not row[0].startswith("V")]
    first, second = done.out.splitlines()
    assert first.startswith(f"{shop.SOURCE}: {len(rows):,} rows of {len(days)} days from 2023-01-02 to 2023-05-31")
    assert second.startswith("drift from 2023-04-01 on against before: ")
    assert str(page) in done.err


def test_no_customer_is_on_the_page(profiled: tuple[Done, Path]) -> None:
    text = profiled[1].read_text(encoding="utf-8")
    assert not re.search(r"\b10[01]\d\d\b", text)
    assert "tags this column as personal" in text
    assert "United Kingdom" in text
    assert "O2301" not in text  # each order's number stands there once, so none is a category


@pytest.mark.skipif(BROWSER is None, reason="no chromium on the PATH: apt-get install -y chromium")
@pytest.mark.parametrize("width", [390, 1280])
def test_the_page_is_drawn_without_overflow_and_without_a_request(profiled: tuple[Done, Path], tmp_path: Path, width: int) -> None:
    assert BROWSER is not None
    with chromium.Page(BROWSER, tmp_path) as page:
        page.open(profiled[1], width=width)
        drawn = dict(page.evaluate(CHARTS))
        assert page.evaluate(OVERFLOW) <= 0
        assert page.complaints == []
        assert page.requests == [profiled[1].as_uri()]
    assert drawn.pop("column-customer_id") == 0
    assert set(drawn) == {f"column-{name}" for name in ("order_no", "ordered_at", "amount", "country")}
    assert drawn.pop("column-order_no") == 1
    assert all(count >= 2 for count in drawn.values())
