"""How a source's files are written, as small values that travel to Spark's workers; and what a scan of a file has counted."""

from __future__ import annotations

from dataclasses import dataclass, field

from penstock.lake.contract import Contract
from penstock.lake.timeformats import regex_of


@dataclass(frozen=True)
class Dating:
    """How a row tells its own day: by a column's text, an expression for it, and the zones in which it is meant and asked."""

    physical: str
    format: str
    regex: str
    column_zone: str
    zone: str


@dataclass(frozen=True)
class Layout:
    """How the files of a source are written: `names` are (physical, lake), `kinds` the lake's types, in the same order."""

    names: tuple[tuple[str, str], ...] = ()
    kinds: tuple[str, ...] = ()
    format: str = "csv"
    delimiter: str = ","
    dating: Dating | None = None

    @property
    def physical(self) -> tuple[str, ...]:
        """The columns' names in the file."""
        return tuple(physical for physical, _ in self.names)

    @property
    def kind_of(self) -> dict[str, str]:
        """Physical name → type in the lake, where it is known."""
        return dict(zip(self.physical, self.kinds, strict=False))


@dataclass
class Tally:
    """What has been seen of a file so far, also when reading it breaks off. Rows are data rows; blank lines are none."""

    header: tuple[str, ...] = ()
    rows: int = 0
    fault: str | None = None
    malformed: dict[int, str] = field(default_factory=dict)
    """Row number, from 1 → why the row has no values."""

    def place(self) -> str:
        """Where reading stopped."""
        return f"after data row {self.rows}" if self.header else "in or before the header"


def dating_of(physical: str, format: str, column_zone: str, zone: str) -> Dating:
    """The dating by a column. Raises ValueError for a format from which a day cannot be told here."""
    return Dating(physical, format, regex_of(format), column_zone, zone)


def layout_of(contract: Contract) -> Layout:
    """A contract's layout."""
    dated = next((column for column in contract.columns if column.name == contract.known_column), None)
    zone = contract.timezone
    return Layout(
        names=tuple((column.physical_name, column.name) for column in contract.columns),
        kinds=tuple(column.type for column in contract.columns),
        format=contract.file_format,
        delimiter=contract.delimiter,
        # A date is a day of the source's own zone, wherever the file was written.
        dating=None
        if dated is None
        else dating_of(dated.physical_name, dated.format, zone if dated.type == "date" else dated.timezone, zone),
    )
