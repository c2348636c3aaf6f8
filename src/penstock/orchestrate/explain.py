"""Errors of Spark, the disk and the services as our own, where the cause is known; anything else is a bug and keeps its trace."""

from __future__ import annotations

import errno
import re

from penstock import errors
from penstock.errors import FailedError, PenstockError, ServiceError, UsageError

_OURS = re.compile(r"penstock\.errors\.(\w+): (.+)")
# Faults that the check of an expression's text cannot see: they need the columns, or Spark's whole grammar.
_EXPRESSION = re.compile(r"^\[(?:UNRESOLVED_COLUMN|UNRESOLVED_ROUTINE|PARSE_SYNTAX_ERROR|DATATYPE_MISMATCH)[^\]]*\] ([^\n]+)")
_FULL = ("No space left on device", "Disk quota exceeded")


def explained(error: BaseException) -> PenstockError | None:
    """The error in our words, or None when it is not known.

    What a Python worker of Spark raises arrives as text inside another exception; its own sentence is taken out again.
    """
    if isinstance(error, PenstockError):
        return error
    text = str(error)
    if any(sign in text for sign in _FULL) or (isinstance(error, OSError) and error.errno in {errno.ENOSPC, errno.EDQUOT}):
        return _disk_full()
    if type(error).__name__ in {"AnalysisException", "ParseException"} and (found := _EXPRESSION.match(text)):
        return UsageError(
            "an expression of the configuration",
            got=re.sub(r" ?SQLSTATE.*", "", found[1]).rstrip("."),
            expected="one that Spark can resolve over its columns",
            left="This stage wrote nothing",
            next="correct it in the pipeline's file or the contract",
        )
    if found := _OURS.search(text):
        kind = getattr(errors, found[1], FailedError)
        return _said(kind if isinstance(kind, type) and issubclass(kind, PenstockError) else FailedError, found[2].strip())
    if isinstance(error, KeyboardInterrupt):
        return FailedError("interrupted", left="What was committed stays; the next run continues from there", next="the same command again")
    return None


def _said(kind: type[PenstockError], sentence: str) -> PenstockError:
    said = kind.__new__(kind)
    said.what = sentence
    Exception.__init__(said, sentence)
    return said


def _disk_full() -> ServiceError:
    return ServiceError(
        "disk of the lake",
        got="no space left",
        expected="room for the run",
        left="What was committed stays whole; the next run continues from there",
        next="free some space, then the same command again",
    )
