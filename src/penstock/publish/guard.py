"""Keeps a private redis-server alive for as long as any process uses it; run as a script, standard library only.

    python guard.py USERS_LOCK TEMPORARY_FOLDER redis-server ARGUMENTS…

Every user holds a shared lock on USERS_LOCK, which the kernel frees however the user ends, SIGKILL included. The guard
asks for the exclusive lock: when it has it nobody is left, and it stops the server, so that the append-only file is
flushed. It keeps the lock until the server is gone, so that the next user cannot meet a server that is going down.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import signal
import subprocess
import sys
from types import FrameType

STOP_SECONDS = 30


class _ServerGoneError(Exception):
    """The server ended by itself, or the guard was told to end."""


def _wake(_signum: int, _frame: FrameType | None) -> None:
    raise _ServerGoneError


def main(arguments: list[str]) -> None:
    """Start the server, wait until the last user is gone, stop it, remove the temporary folder."""
    users, folder, *command = arguments
    if os.fork():
        os._exit(0)  # the starter waits for this process only; the guard itself belongs to nobody
    lock = os.open(users, os.O_RDWR)
    server = subprocess.Popen(command, stdin=subprocess.DEVNULL)
    try:
        signal.signal(signal.SIGCHLD, _wake)
        signal.signal(signal.SIGTERM, _wake)
        if server.poll() is None:
            fcntl.flock(lock, fcntl.LOCK_EX)
    except _ServerGoneError:
        pass
    finally:
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        _stop(server)
        shutil.rmtree(folder, ignore_errors=True)


def _stop(server: subprocess.Popen[bytes]) -> None:
    server.terminate()
    try:
        server.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        server.kill()
        server.wait()


if __name__ == "__main__":
    main(sys.argv[1:])
