"""Landing files: what is wrong with a file, with its header, and its rows as text with exact numbers."""

from __future__ import annotations

import csv
import gzip
import io
import pickle
from pathlib import Path

import pyarrow as pa
import pyarrow.fs as pafs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.errors import DataError
from penstock.lake.contract import Contract, load_contract
from penstock.landing.layout import Layout
from penstock.landing.read import FileFacts, compare_header, inspect, parse, parser

CONTRACT = Path(__file__).parents[2] / "conf" / "contracts" / "online_retail.yml"
HEADER = ("InvoiceNo", "StockCode", "Description", "Quantity", "InvoiceDate", "UnitPrice", "CustomerID", "Country")
PAIR = Layout((("A", "a"), ("B", "b")))


@pytest.fixture(scope="module")
def contract() -> Contract:
    return load_contract(CONTRACT)


def put(folder: Path, content: bytes, name: str = "2011-01-05.csv") -> str:
    path = folder / name
    path.write_bytes(content)
    return str(path)


def planned(*facts: FileFacts) -> pa.RecordBatch:
    columns = {
        "_file": [f.name for f in facts],
        "_path": [f.path for f in facts],
        "_file_digest": [f.digest for f in facts],
        "_known_at": pa.array([0] * len(facts), pa.timestamp("us", tz="UTC")),
        "_parts": pa.nulls(len(facts)),
        "_first": pa.nulls(len(facts), pa.date32()),
    }
    return pa.RecordBatch.from_pydict(columns)


def rows_of(*facts: FileFacts) -> list[dict[str, object]]:
    return [row for batch in parse([planned(*facts)], layout=PAIR) for row in batch.to_pylist()]


# --- inspect ---


def test_a_sound_file_has_no_fault_and_its_facts_are_exact(tmp_path: Path) -> None:
    content = b'A,B\n1,"x\ny"\n\n2,\n'
    facts = inspect(put(tmp_path, content))
    assert facts.fault is None
    assert (facts.name, facts.bytes, facts.header, facts.rows) == ("2011-01-05.csv", len(content), ("A", "B"), 2)
    assert facts.digest == __import__("hashlib").sha256(content).hexdigest()


def test_one_row_is_enough_even_without_a_line_feed_at_the_end(tmp_path: Path) -> None:
    facts = inspect(put(tmp_path, b"A,B\n1,2"))
    assert (facts.fault, facts.rows) == (None, 1)


def test_a_byte_order_mark_is_no_part_of_the_header(tmp_path: Path) -> None:
    assert inspect(put(tmp_path, b"\xef\xbb\xbfA,B\n1,2\n")).header == ("A", "B")


def test_a_sound_gzip_is_read_through_and_its_digest_is_that_of_the_file(tmp_path: Path) -> None:
    content = gzip.compress(b"A,B\n1,2\n")
    facts = inspect(put(tmp_path, content, "2011-01-05.csv.gz"))
    assert (facts.fault, facts.rows, facts.bytes) == (None, 1, len(content))


def test_a_file_on_another_file_system_is_read_the_same(tmp_path: Path) -> None:
    path = put(tmp_path, b"A,B\n1,2\n")
    sub = pafs.SubTreeFileSystem(str(tmp_path), pafs.LocalFileSystem())
    assert inspect("2011-01-05.csv", sub).digest == inspect(path).digest


@pytest.mark.parametrize("cut", [-1, -4, -8, 15, 5])
def test_a_truncated_gzip_is_refused_with_its_file_name(tmp_path: Path, cut: int) -> None:
    content = gzip.compress(b"A,B\n" + b"".join(b"%d,%d\n" % (i, i * 7919) for i in range(500)))[:cut]
    facts = inspect(put(tmp_path, content, "2011-01-05.csv.gz"))
    assert facts.name == "2011-01-05.csv.gz"
    assert facts.fault is not None
    assert "truncated or damaged" in facts.fault


def test_a_truncated_zstd_is_refused(tmp_path: Path) -> None:
    content = pa.compress(b"A,B\n" + bytes(range(48, 58)) * 50, "zstd", asbytes=True)[:-3]
    assert "truncated or damaged" in str(inspect(put(tmp_path, content, "2011-01-05.csv.zst")).fault)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "is empty"),
        (b"\n\n", "holds no text"),
        (b"A,B\n", "a header and no rows"),
        (b"A,B\n1,caf\xe9\n", "not UTF-8: byte 0xE9"),
        ("A,B\n1,2\n".encode("utf-16"), "not UTF-8: byte 0xFF"),
        ("A,B\n1,2\n".encode("utf-16-le"), "NUL character"),
        (b'A,B\n1,"never closed\n2,3\n', "not CSV"),
        (b'A,B\n1,"x"y\n', "not CSV"),
        (b"A,B\n1," + b"x" * 200_000 + b"\n", "not CSV"),
    ],
)
def test_a_file_that_cannot_be_read_says_why(tmp_path: Path, content: bytes, words: str) -> None:
    assert words in str(inspect(put(tmp_path, content)).fault)


def test_an_empty_gzip_member_is_a_file_without_text(tmp_path: Path) -> None:
    assert inspect(put(tmp_path, gzip.compress(b""), "2011-01-05.csv.gz")).fault == "holds no text"


# --- compare_header ---


def test_the_contracts_header_has_no_fault_in_any_order(contract: Contract) -> None:
    assert compare_header(HEADER, contract) == []
    assert compare_header(HEADER[::-1], contract) == []
    assert compare_header(("\ufeffInvoiceNo", *HEADER[1:]), contract) == []


@pytest.mark.parametrize(
    ("header", "faults"),
    [
        (HEADER[:-1], ["column 'Country' is missing"]),
        ((*HEADER, "Colour"), ["column 'Colour' is not in the contract"]),
        (("InvoiceNumber", *HEADER[1:]), ["column 'InvoiceNo' is missing, perhaps renamed to 'InvoiceNumber'"]),
        ((*HEADER, "country"), ["columns 'Country' and 'country' differ only by case or blanks, expected 'Country' alone"]),
        (("invoiceno", *HEADER[1:]), ["column 'invoiceno' differs from 'InvoiceNo' by case or blanks, expected 'InvoiceNo'"]),
        ((" InvoiceNo", *HEADER[1:]), ["column ' InvoiceNo' differs from 'InvoiceNo' by case or blanks, expected 'InvoiceNo'"]),
        ((*HEADER, "Country"), ["column 'Country' stands 2 times, expected once"]),
    ],
)
def test_a_skewed_header_is_told_column_by_column(contract: Contract, header: tuple[str, ...], faults: list[str]) -> None:
    assert compare_header(header, contract) == faults


@pytest.mark.parametrize(("sign", "word"), [(";", "semicolon"), ("\t", "tab"), ("|", "bar")])
def test_a_wrong_delimiter_is_named_instead_of_eight_missing_columns(contract: Contract, sign: str, word: str) -> None:
    (fault,) = compare_header((sign.join(HEADER),), contract)
    assert word in fault


def test_several_faults_of_a_header_come_at_once(contract: Contract) -> None:
    assert len(compare_header((*HEADER[2:], "Color", "Zzz"), contract)) == 4


# --- parse ---


def test_rows_come_out_as_text_with_their_numbers_and_empty_text_is_null(tmp_path: Path) -> None:
    facts = inspect(put(tmp_path, b'B,A\n1,"x\n,""y"\n"",NA\n,z'))
    assert [(r["a"], r["b"], r["_row"], r["_parse_error"]) for r in rows_of(facts)] == [
        ('x\n,"y', "1", 1, None),
        ("NA", None, 2, None),
        ("z", None, 3, None),
    ]
    assert {(r["_file"], r["_file_digest"]) for r in rows_of(facts)} == {(facts.name, facts.digest)}


def test_rows_with_a_wrong_number_of_fields_are_told_and_the_others_keep_their_numbers(tmp_path: Path) -> None:
    facts = inspect(put(tmp_path, b"A,B\n0\n1,2\n\n3\n4,5,6\n7,8\n9\n"))
    found = {r["_row"]: (r["a"], r["_parse_error"]) for r in rows_of(facts)}
    assert found == {
        1: (None, "expected 2 fields, got 1"),
        2: ("1", None),
        3: (None, "expected 2 fields, got 1"),
        4: (None, "expected 2 fields, got 3"),
        5: ("7", None),
        6: (None, "expected 2 fields, got 1"),
    }


def test_numbers_are_exact_across_the_blocks_of_a_large_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("penstock.landing.delimited.BLOCK", 1000)
    lines = [f"{i}" if i % 97 == 0 else f"{i},v" for i in range(1, 5001)]
    facts = inspect(put(tmp_path, ("A,B\n" + "\n".join(lines)).encode()))
    rows = rows_of(facts)
    assert sorted(int(str(r["_row"])) for r in rows) == list(range(1, 5001))
    assert all(r["a"] == str(r["_row"]) for r in rows if r["_parse_error"] is None)
    assert sorted(int(str(r["_row"])) for r in rows if r["_parse_error"]) == list(range(97, 5001, 97))


def test_a_compressed_file_gives_the_same_rows(tmp_path: Path) -> None:
    content = b"A,B\n1,2\n3,4\n"
    plain, packed = put(tmp_path, content), put(tmp_path, gzip.compress(content), "2011-01-05.csv.gz")
    first, second = ([(r["a"], r["b"], r["_row"]) for r in rows_of(inspect(p))] for p in (plain, packed))
    assert first == second == [("1", "2", 1), ("3", "4", 2)]


def test_a_file_changed_between_plan_and_read_is_refused_by_name(tmp_path: Path) -> None:
    path = put(tmp_path, b"A,B\n1,2\n")
    facts = inspect(path)
    Path(path).write_bytes(b"A,B\n1,3\n")
    with pytest.raises(DataError, match=r"2011-01-05\.csv.*other bytes"):
        rows_of(facts)


def test_several_files_and_batches_are_read_and_none_gives_none(tmp_path: Path) -> None:
    one = inspect(put(tmp_path, b"A,B\n1,2\n", "2011-01-05.csv"))
    two = inspect(put(tmp_path, b"A,B\n3,4\n5,6\n", "2011-01-06.csv"))
    batches = list(parse([planned(one), planned(), planned(two)], layout=PAIR))
    assert [(r["_file"], r["_row"]) for b in batches for r in b.to_pylist()] == [(one.name, 1), (two.name, 1), (two.name, 2)]


def test_the_parser_can_be_pickled_and_maps_physical_to_lake_names(contract: Contract, tmp_path: Path) -> None:
    facts = inspect(put(tmp_path, (",".join(HEADER) + "\n536365,1,x,6,2010-12-01 08:26:00,2.55,,UK\n").encode()))
    (batch,) = pickle.loads(pickle.dumps(parser(contract)))([planned(facts)])
    (row,) = batch.to_pylist()
    assert (row["invoice_no"], row["customer_id"], row["unit_price"]) == ("536365", None, "2.55")


fields = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=8)


@given(st.lists(st.tuples(fields, fields).filter(lambda r: r != ("", "")), min_size=1, max_size=20))
def test_what_a_csv_writer_writes_comes_back_exactly(tmp_path_factory: pytest.TempPathFactory, records: list[tuple[str, str]]) -> None:
    text = io.StringIO(newline="")
    csv.writer(text).writerows([("A", "B"), *records])
    facts = inspect(put(tmp_path_factory.mktemp("csv"), text.getvalue().encode()))
    assert (facts.fault, facts.rows) == (None, len(records))
    rows = rows_of(facts)
    assert [(r["a"] or "", r["b"] or "") for r in rows] == records
    assert [r["_row"] for r in rows] == list(range(1, len(records) + 1))
