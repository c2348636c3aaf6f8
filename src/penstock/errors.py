"""What can go wrong, as a small tree by remedy.

Every message reads `<what>: got X, expected Y. <state left>. Next: <command or file:key>.` so that the reader
knows what to do without opening the code. The class says who has to act: the caller (`UsageError`), the owner of
the data or the model (`RefusedError`), or the operator (`FailedError`); `retry` says whether the same call may
succeed later without anybody acting.
"""

from __future__ import annotations

from typing import ClassVar


class PenstockError(Exception):
    """Base of all errors that are somebody's to remedy; `exit_code` is what the command returns."""

    exit_code: ClassVar[int] = 1
    retry: ClassVar[bool] = False

    def __init__(self, what: str, *, got: str = "", expected: str = "", left: str = "", next: str = "") -> None:
        self.what, self.got, self.expected, self.left, self.next = what, got, expected, left, next
        super().__init__(self._render())

    def _render(self) -> str:
        found = ", ".join(
            part for part in (f"got {self.got}" if self.got else "", f"expected {self.expected}" if self.expected else "") if part
        )
        sentences = [f"{self.what}: {found}" if found else self.what, self.left, f"Next: {self.next}" if self.next else ""]
        return " ".join(s if s.endswith((".", "!", "?")) else f"{s}." for s in sentences if s)


class UsageError(PenstockError):
    """The command line or the configuration is wrong; nothing was touched."""

    exit_code = 2


class ConfigError(UsageError):
    """One or more faults of configuration, all found at once; `faults` are sentences that name file and key."""

    def __init__(self, faults: list[str], *, next: str = "correct the keys named above") -> None:
        self.faults = tuple(faults)
        head = "configuration" if len(faults) == 1 else f"configuration, {len(faults)} faults"
        super().__init__(head + ":\n" + "\n".join(f"  - {fault}" for fault in faults) + "\nNothing was touched", next=next)


class RefusedError(PenstockError):
    """A gate or a check said no; the data or the model needs its owner."""

    exit_code = 3


class DataError(RefusedError):
    """The input breaks its contract: skewed schema, too many bad rows, an unreadable file."""


class StaleError(RefusedError):
    """A source has not delivered what its contract promises by now."""

    retry = True


class BusyError(RefusedError):
    """Somebody else holds the lease of this job."""

    retry = True


class FailedError(PenstockError):
    """The run broke; what it had written stays and the next run continues from there."""


class ServiceError(FailedError):
    """A service (Redis, MLflow, Spark, the disk) did not answer as it should; the same call may succeed later."""

    retry = True
