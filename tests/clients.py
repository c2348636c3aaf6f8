"""Real processes that run `penstock` against a Connect server: warm ones, forked from a process that has imported everything.

A client is a process of its own, with its own environment and output, and SIGKILL ends it like any other; only the four
seconds of imports are spared. `killed` runs a command to a named point and sees the process die there.
"""

from __future__ import annotations

import multiprocessing as mp
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

PRELOADED = [
    "penstock.testing.kill",
    "penstock.orchestrate.commands",
    "penstock.orchestrate.explain",
    "penstock.landing.run",
    "penstock.features.run",
    "penstock.labels.run",
    "penstock.monitoring.run",
    "penstock.training.run",
    "penstock.registry.run",
    "penstock.registry.store",
    "penstock.scoring.run",
    "penstock.publish.run",
    "pyspark.sql.connect.session",
]


@dataclass(frozen=True)
class Done:
    """How a client ended; a negative code is the signal that ended it."""

    code: int
    out: str
    err: str


@dataclass
class Started:
    """A client at work."""

    process: mp.process.BaseProcess
    output: Path

    def wait(self, seconds: float = 300) -> Done:
        """Its end."""
        self.process.join(seconds)
        assert self.process.exitcode is not None, f"still at work after {seconds} s"
        texts = [self.output.with_suffix(kind).read_text(encoding="utf-8", errors="replace") for kind in (".out", ".err")]
        return Done(self.process.exitcode, *texts)


def run_here(argv: Sequence[str], kill: str | None, variables: Mapping[str, str], output: str) -> None:
    """One command as the whole work of this (forked) process: its environment, its output into files, its exit code."""
    from penstock.cli import main
    from penstock.testing.kill import Killer

    for descriptor, kind in ((1, ".out"), (2, ".err")):
        os.dup2(os.open(Path(output).with_suffix(kind), os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o644), descriptor)
    os.environ.update(variables)
    code = main(argv, progress=Killer(kill) if kill else None)
    sys.stdout.flush()
    sys.stderr.flush()
    raise SystemExit(code)


class Clients:
    """Runs commands of the pipeline's configuration against one Connect server."""

    def __init__(self, remote: str, folder: Path) -> None:
        self.remote, self.folder = remote, folder
        folder.mkdir(parents=True, exist_ok=True)
        self._context = mp.get_context("forkserver")
        self._context.set_forkserver_preload(PRELOADED)
        self._count = 0

    def start(self, *argv: str, kill: str | None = None, environment: Mapping[str, str] | None = None) -> Started:
        """A process that begins the command."""
        self._count += 1
        output = self.folder / f"client-{self._count}"
        variables = {"PENSTOCK_SPARK_REMOTE": self.remote, "PENSTOCK_REDIS_URL": "", **(environment or {})}
        process = self._context.Process(target=run_here, args=(argv, kill, variables, str(output)))
        process.start()
        return Started(process, output)

    def run(self, *argv: str, environment: Mapping[str, str] | None = None, code: int = 0) -> Done:
        """A command's end, which must be `code`."""
        done = self.start(*argv, environment=environment).wait()
        assert done.code == code, f"penstock {' '.join(argv)} ended with {done.code}\n{done.out}\n{done.err}"
        return done

    def killed_after(self, seconds: float, *argv: str) -> Done:
        """A command that dies of SIGKILL after so long, wherever it is then; or that was quicker, and ended."""
        begun = self.start(*argv)
        begun.process.join(seconds)
        begun.process.kill()
        return begun.wait()

    def killed(self, point: str, *argv: str) -> None:
        """A command that dies of SIGKILL at a point."""
        done = self.start(*argv, kill=point).wait()
        assert done.code == -signal.SIGKILL, f"penstock {' '.join(argv)} never came to {point}: {done.code}\n{done.out}\n{done.err}"


@contextmanager
def connect_server(folder: Path) -> Iterator[str]:
    """A Connect server of our own on a free loopback port; gives its address."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    folder.mkdir(parents=True, exist_ok=True)
    script = Path(__file__).with_name("connect_server.py")
    with (folder / "server.log").open("wb") as log:
        server = subprocess.Popen(
            [sys.executable, str(script), str(port), str(folder / "scratch")],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, start_new_session=True,
        )  # fmt: skip
        assert server.stdin is not None
        assert server.stdout is not None
        try:
            said = server.stdout.readline()
            assert said.strip() == b"ready", (folder / "server.log").read_text(errors="replace")[-2000:]
            yield f"sc://127.0.0.1:{port}"
        finally:
            server.stdin.close()
            try:
                server.wait(30)
            except subprocess.TimeoutExpired:
                os.killpg(server.pid, signal.SIGKILL)
                server.wait()


def words(command: str, lake: Path, conf: Path, *more: str, as_of: object = None, pipeline: str = "tiny") -> Sequence[str]:
    """The words of a command over a lake."""
    day = () if as_of is None else ("--as-of", str(as_of))
    return (command, pipeline, *day, "--conf", str(conf), "--lake", str(lake), *more)
