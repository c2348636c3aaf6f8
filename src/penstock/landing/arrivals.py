"""What lies in the landing folder beside what has landed: which files are new, which were changed, since when each is known."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from itertools import combinations
from pathlib import Path

import pyarrow.fs as pafs

from penstock.errors import DataError, UsageError
from penstock.lake.contract import Contract, file_day, is_file_of, known_from, known_time
from penstock.landing.parts import part_name
from penstock.landing.read import FileFacts

_BLOCK = 4 << 20


@dataclass(frozen=True)
class Found:
    """A file in the landing folder, or one day's part of a file whose rows tell their own days, or a day of a table (without `path`)."""

    name: str
    path: str
    digest: str
    day: date
    declared: datetime
    whole: str = ""
    """Of a part: the digest of its whole file."""
    first: date | None = None
    """Of a part: the day to which the rows belong that tell none, the first one of its file or table."""
    rows: int = 0
    """Of a part: its rows."""


@dataclass(frozen=True)
class Arrival:
    """A file to land, and the instant from which it counts as known; `late` when that is not the one its name declares."""

    file: Found
    known_at: datetime
    late: bool


@dataclass(frozen=True)
class Span:
    """The versions of a table, (`after`, `to`], that were looked through; `table` tells the history that they are of."""

    after: int
    to: int
    table: str


@dataclass(frozen=True)
class Chosen:
    """What of a source is to land: the arrivals, and the bytes and rows of each; of a table also the versions."""

    arrivals: tuple[Arrival, ...]
    sizes: tuple[tuple[int | None, int], ...]
    span: Span | None = None


def look(folder: str, contract: Contract, as_of: datetime) -> tuple[Found, ...]:
    """The files that could have been read at `as_of`, in order of name. Hidden ones (`.x`, `_x`) are somebody's work in progress.

    Raises UsageError when there is no folder, DataError for a name that the contract does not know or a day that comes twice.
    """
    filesystem, base, names = _listed(folder, contract)
    known = [name for name in names if known_time(contract, name) <= as_of]
    days = [file_day(contract, name) for name in known]
    for name, day in zip(known, days, strict=True):
        if days.count(day) > 1:
            raise DataError(
                f"landing file {name}",
                got=f"another file of {day}",
                expected="one file a day",
                left="Nothing landed",
                next="remove one of them",
            )
    return tuple(
        Found(name, f"{base}/{name}", _digest(filesystem, f"{base}/{name}"), day, known_time(contract, name))
        for name, day in zip(known, days, strict=True)
    )


def files_in(folder: str, contract: Contract) -> tuple[str, ...]:
    """The paths of a source's files where rows tell their own days. Raises UsageError without a folder, DataError for another kind of file."""
    _, base, names = _listed(folder, contract)
    odd = [name for name in names if not is_file_of(contract, name)]
    if odd:
        raise DataError(
            f"landing file {odd[0]}",
            got="another kind of file",
            expected=f"{contract.file_format} files, as schema.physicalType says",
            left="Nothing landed",
            next="remove it, or correct physicalType",
        )
    return tuple(f"{base}/{name}" for name in names)


def parts_of(files: Sequence[FileFacts], contract: Contract, as_of: datetime) -> tuple[Found, ...]:
    """The parts that could have been read at `as_of`. Raises DataError for a file that repeats another one on half of its days."""
    found = [
        Found(
            part_name(file.name, part.day),
            file.path,
            part.digest,
            part.day,
            known_from(contract, part.day),
            file.digest,
            file.parts[0].day,
            part.rows,
        )
        for file in files
        for part in file.parts
    ]
    digests = {file.name: {part.digest for part in file.parts} for file in files}
    for one, other in combinations(files, 2):
        shared = sorted(part.day for part in one.parts if part.digest in digests[other.name])
        if shared and 2 * len(shared) >= min(len(one.parts), len(other.parts)):
            raise DataError(
                f"landing file {other.name}",
                got=f"the very rows of {one.name} on {len(shared)} days, the first {shared[0]}",
                expected="each row in one file",
                left="Nothing landed",
                next="deliver a whole export under the name it had before, or remove one of the two",
            )
    return tuple(part for part in found if part.declared <= as_of)


def _listed(folder: str, contract: Contract) -> tuple[pafs.FileSystem, str, list[str]]:
    filesystem, base = pafs.FileSystem.from_uri(folder if "://" in folder else str(Path(folder).absolute()))
    if filesystem.get_file_info(base).type != pafs.FileType.Directory:
        raise UsageError(
            f"landing folder of {contract.name}",
            got="no folder",
            expected=folder,
            left="Nothing landed",
            next="deliver files there, or set lake.landing",
        )
    names = sorted(info.base_name for info in filesystem.get_file_info(pafs.FileSelector(base)) if info.type == pafs.FileType.File)
    return filesystem, base, [name for name in names if not name.startswith((".", "_"))]


def decide(found: Sequence[Found], landed: Mapping[str, str], last: datetime | None, as_of: datetime) -> tuple[Arrival, ...]:
    """The files whose present content has not landed, each with its known time.

    Parameters: `landed` gives each file's present digest in the lake; `last` is the instant up to which landing has
    been done. A file declared for a time after it is in time. A later one was not there when it should have been, and
    is known from this run on, but never at an instant that an earlier landing spoke for.
    """
    arrivals = []
    for file in found:
        if landed.get(file.name) == file.digest:
            continue
        late = last is not None and file.declared <= last
        known = max(as_of, last + timedelta(microseconds=1)) if late and last is not None else file.declared
        arrivals.append(Arrival(file, known, late))
    return tuple(arrivals)


def _digest(filesystem: pafs.FileSystem, path: str) -> str:
    digest = hashlib.sha256()
    with filesystem.open_input_stream(path, compression=None) as stream:
        while block := stream.read(_BLOCK):
            digest.update(block)
    return digest.hexdigest()
