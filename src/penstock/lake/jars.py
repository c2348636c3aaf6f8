"""Delta's jars, resolved once into a cache, so that every later Spark start takes them from the disk.

`spark.jars.packages` would resolve at each start: five seconds, and a network. Here pyspark's own `spark-submit`
resolves them once, with an empty script and no Spark session; only those that Spark does not ship itself are kept,
under `CACHE/jars/spark-VERSION-delta-VERSION/` with a manifest. `python -m penstock.lake.jars [CACHE]` does just that.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import metadata, util
from pathlib import Path

from penstock.errors import PenstockError, ServiceError, UsageError
from penstock.preflight import check_java

_MANIFEST = "manifest.json"
_FETCH_SECONDS = 600
_AGAIN = "python -m penstock.lake.jars, with a Maven repository in reach and 100 MB free"
_ARTIFACT = re.compile(r"^(?P<artifact>.+?)-\d[^/]*\.jar$")


@dataclass(frozen=True)
class Installed:
    """The Spark and the Delta of this Python: the folder of pyspark, and what to fetch for it."""

    home: Path
    spark: str
    scala: str
    delta: str

    @property
    def coordinate(self) -> str:
        """Maven coordinate; since Delta 4.1 the artifact is named after Spark's minor version too."""
        minor = ".".join(self.spark.split(".")[:2])
        return f"io.delta:delta-spark_{minor}_{self.scala}:{self.delta}"

    @property
    def folder(self) -> str:
        """Name of the cache's folder. Spark's patch version counts, for it decides what Spark ships itself."""
        return f"spark-{self.spark}-delta-{self.delta}"


def default_cache() -> Path:
    """Where the cache is unless the configuration says otherwise."""
    return Path.home() / ".cache" / "penstock"


def delta_jars(cache: Path) -> tuple[Path, ...]:
    """Paths of Delta's jars for the installed Spark, in order of their names, fetched when the cache has none.

    A cached answer costs milliseconds and no network. Several processes may ask at once: one fetches, the others wait
    for it. Raises UsageError without the extra `local` or a fitting Java, ServiceError when no repository answers or
    the cache cannot be written; the cache then holds what it held before.
    """
    installed = find_installed()
    folder = cache / "jars" / installed.folder
    jars = _read(folder)
    if jars is not None:
        return jars
    try:
        with _alone(folder.parent):
            jars = _read(folder)
            return jars if jars is not None else _fetch(installed, folder)
    except OSError as fault:
        raise _not_cached(fault.strerror or type(fault).__name__, f"a writable cache at {cache}") from fault


def find_installed() -> Installed:
    """The installed pyspark and delta-spark, without importing either (that would cost half a second)."""
    try:
        spark, delta = metadata.version("pyspark"), metadata.version("delta-spark")
    except metadata.PackageNotFoundError as missing:
        raise UsageError(
            "Spark", got=f"no {missing.name} in this Python", expected="the extra `local`", next='pip install "penstock[local]"'
        ) from missing
    spec = util.find_spec("pyspark")
    home = Path(spec.origin).parent if spec and spec.origin else Path()
    core = next((home / "jars").glob("spark-core_*.jar"), None)
    if core is None:
        raise UsageError(
            "Spark", got="a pyspark without its jars", expected="the full pyspark", next="pip install --force-reinstall --no-deps pyspark"
        )
    return Installed(home, spark, core.name.split("_")[1].split("-")[0], delta)


def _read(folder: Path) -> tuple[Path, ...] | None:
    """The jars that the manifest names, or None when it is missing or a file has not the size it had."""
    try:
        listed = json.loads((folder / _MANIFEST).read_text(encoding="utf-8"))["jars"]
        jars = {folder / jar["name"]: jar["bytes"] for jar in listed}
        return tuple(jars) if jars and all(path.stat().st_size == size for path, size in jars.items()) else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


@contextmanager
def _alone(parent: Path) -> Iterator[None]:
    """Holds the cache's lock; the system frees it when the process ends, however it ends."""
    parent.mkdir(parents=True, exist_ok=True)
    with (parent / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _fetch(installed: Installed, folder: Path) -> tuple[Path, ...]:
    """Resolves into a scratch folder beside `folder` and renames it, so that a killed fetch leaves no half cache."""
    for stale in folder.parent.glob(".fetch-*"):
        shutil.rmtree(stale, ignore_errors=True)
    with tempfile.TemporaryDirectory(prefix=".fetch-", dir=folder.parent) as scratch:
        shipped = {_artifact(jar.name) for jar in (installed.home / "jars").glob("*.jar")}
        ready = Path(scratch) / "ready"
        ready.mkdir()
        for jar in _resolve(installed, Path(scratch)):
            # Ivy names its copies GROUP_ARTIFACT-VERSION.jar
            name = jar.name.split("_", 1)[1]
            if _artifact(name) not in shipped:
                jar.rename(ready / name)
        _write_manifest(installed, ready)
        if folder.exists():
            folder.rename(Path(scratch) / "damaged")
        ready.rename(folder)
    jars = _read(folder)
    if jars is None:
        raise _not_cached("files that changed while they were written", "the jars just fetched")
    return jars


def _resolve(installed: Installed, scratch: Path) -> list[Path]:
    """All jars of the coordinate, as Spark's own resolver puts them into `scratch`."""
    fault = check_java()
    if fault:
        raise UsageError(fault.rstrip("."))
    script = scratch / "nothing.py"
    script.write_text("", encoding="utf-8")
    command = [
        # A SPARK_HOME of another Spark would win over the one that is installed here.
        *("env", f"SPARK_HOME={installed.home}", str(installed.home / "bin" / "spark-submit")),
        *("--master", "local[1]", "--packages", installed.coordinate),
        *("--conf", f"spark.jars.ivy={scratch / 'ivy'}", "--conf", f"spark.pyspark.driver.python={sys.executable}"),
        *("--conf", f"spark.pyspark.python={sys.executable}", str(script)),
    ]
    try:
        done = subprocess.run(
            command, check=False, capture_output=True, text=True, errors="replace", stdin=subprocess.DEVNULL, timeout=_FETCH_SECONDS
        )
    except subprocess.TimeoutExpired as late:
        raise _not_cached(f"no answer within {_FETCH_SECONDS} s", installed.coordinate) from late
    jars = sorted((scratch / "ivy" / "jars").glob("*.jar"))
    if done.returncode != 0 or not jars:
        raise _not_cached(_reason(done.stdout + done.stderr), installed.coordinate)
    return jars


def _write_manifest(installed: Installed, folder: Path) -> None:
    jars = [
        {"name": jar.name, "bytes": jar.stat().st_size, "sha256": hashlib.sha256(jar.read_bytes()).hexdigest()}
        for jar in sorted(folder.glob("*.jar"))
    ]
    manifest = folder / _MANIFEST
    with manifest.open("w", encoding="utf-8") as file:
        json.dump({"coordinate": installed.coordinate, "jars": jars}, file, indent=1)
        file.flush()
        os.fsync(file.fileno())


def _artifact(name: str) -> str:
    """`delta-spark_4.1_2.13` of `delta-spark_4.1_2.13-4.4.0.jar`."""
    match = _ARTIFACT.match(name)
    return match["artifact"] if match else name


def _reason(output: str) -> str:
    """What the resolver said, in a few words; its log is some hundred lines."""
    if "No space left on device" in output:
        return "a full disk"
    if "unresolved dependenc" in output.lower() or "download failed" in output.lower():
        return "no Maven repository that has it"
    lines = [line.strip() for line in output.splitlines() if "Exception" in line or "rror" in line]
    return (lines[0] if lines else "no jars from spark-submit")[:200]


def _not_cached(got: str, expected: str) -> PenstockError:
    return ServiceError("Delta's jars", got=got, expected=expected, left="The cache is as it was before", next=_AGAIN)


def main(arguments: list[str]) -> int:
    """Fetches into the folder named first, else into the default cache, and says what is there."""
    cache = Path(arguments[0]) if arguments else default_cache()
    try:
        jars = delta_jars(cache)
    except PenstockError as fault:
        sys.stderr.write(f"{fault}\n")
        return fault.exit_code
    sys.stdout.write(f"Delta: {len(jars)} jars in {jars[0].parent}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
