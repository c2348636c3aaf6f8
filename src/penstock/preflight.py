"""Looks whether this machine has what Penstock needs, before anything is installed or a Spark starts.

Runs before there is a virtual environment (`python3 src/penstock/preflight.py`), perhaps under a Python that is far
too old: standard library only, and nothing that Python 3.8 cannot parse and run. For the same reason it may not import
`penstock.config.load` and reads `JAVA_HOME` and `PENSTOCK_CACHE` from `os.environ` itself, an exception to the one-door rule.

Each check answers None, or one sentence that says what was found, what is needed and the command that mends it.
"""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
import sys
from typing import Optional, Sequence, Tuple

PYTHONS = ((3, 11), (3, 12))
JAVAS = (17, 21)
FREE_GB = 3.0

_JAVA_VERSION = re.compile(r'version "(?:1\.)?(\d+)')
_JAVA_SECONDS = 60


def check_python(version: Tuple[int, int] = (sys.version_info[0], sys.version_info[1])) -> Optional[str]:
    """Whether `version` (major, minor) is one that the pinned packages exist for."""
    if version in PYTHONS:
        return None
    fix = _install("python3.12 python3.12-venv || sudo apt-get install -y python3.11 python3.11-venv", brew="python@3.12", dnf="python3.12")
    return "Python: found %d.%d, Penstock needs 3.11 or 3.12; install one (`%s`) and repeat with `make setup PYTHON=python3.12`." % (
        version[0],
        version[1],
        fix,
    )


def check_venv() -> Optional[str]:
    """Whether this Python can make a virtual environment with pip; Debian packs that apart."""
    if importlib.util.find_spec("ensurepip") and importlib.util.find_spec("venv"):
        return None
    name = "python%d.%d" % (sys.version_info[0], sys.version_info[1])
    return "Python: found %s without its venv module, Penstock needs it to make .venv; install it with `%s`." % (
        name,
        _install(name + "-venv", brew="python@3.12", dnf=name),
    )


def check_java() -> Optional[str]:
    """Whether the Java that Spark would start (`JAVA_HOME`, else the PATH) is 17 or 21. Takes about 0.1 s."""
    needed = "Penstock needs Java %s for Spark" % " or ".join(map(str, JAVAS))
    fix = _install(
        "openjdk-17-jre-headless || sudo apt-get install -y openjdk-21-jre-headless", brew="openjdk@17", dnf="java-21-openjdk-headless"
    )
    home = os.environ.get("JAVA_HOME", "")
    java = os.path.join(home, "bin", "java") if home else shutil.which("java")
    if not java:
        return "Java: found none (no java on the PATH, JAVA_HOME is not set), %s; install it with `%s`." % (needed, fix)
    if not os.access(java, os.X_OK):
        return "Java: found JAVA_HOME=%s, which holds no bin/java, %s; correct it, or use the PATH's with `unset JAVA_HOME`." % (
            home,
            needed,
        )
    found = _java_version(java)
    if found in JAVAS:
        return None
    what = "%s of version %d" % (java, found) if found else "%s, which does not tell its version" % java
    return "Java: found %s, %s; install it with `%s` and set JAVA_HOME to its folder." % (what, needed, fix)


def check_disk(places: Optional[Sequence[str]] = None, need_gb: float = FREE_GB) -> Optional[str]:
    """Whether each of `places` has `need_gb` (10^9 bytes) free; by default here, for .venv and the lake, and the cache."""
    for place in places if places is not None else (os.getcwd(), _cache()):
        folder = _existing(place)
        free = shutil.disk_usage(folder).free / 1e9
        if free < need_gb:
            return "Disk: found %.1f GB free at %s, Penstock needs %.1f GB there; make room, for instance with `%s -m pip cache purge`." % (
                free,
                folder,
                need_gb,
                os.path.basename(sys.executable) or "python3",
            )
    return None


def main() -> int:
    """Prints the first fault, if there is one, and answers the exit code: 0, or 2 for a machine that is not ready."""
    for check in (check_python, check_venv, check_java, check_disk):
        fault = check()
        if fault:
            sys.stderr.write(fault + "\n")
            return 2
    return 0


def _java_version(java: str) -> int:
    """The major version that `java -version` tells (8 for "1.8.0"), 0 when it tells none."""
    try:
        done = subprocess.run(
            [java, "-version"],
            check=False,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            timeout=_JAVA_SECONDS,
        )
    except (OSError, subprocess.TimeoutExpired):
        return 0
    told = _JAVA_VERSION.search(done.stdout.decode("utf-8", "replace"))
    return int(told.group(1)) if told else 0


def _install(apt: str, brew: str, dnf: str) -> str:
    """The command of this machine's package manager; apt-get's where none is known."""
    if shutil.which("apt-get") is None and shutil.which("brew"):
        return "brew install " + brew
    if shutil.which("apt-get") is None and shutil.which("dnf"):
        return "sudo dnf install -y " + dnf
    return "sudo apt-get install -y " + apt


def _cache() -> str:
    return os.environ.get("PENSTOCK_CACHE") or os.path.join(os.path.expanduser("~"), ".cache", "penstock")


def _existing(place: str) -> str:
    """`place`, or its nearest parent that is already there."""
    folder = os.path.abspath(place)
    while not os.path.isdir(folder) and folder != os.path.dirname(folder):
        folder = os.path.dirname(folder)
    return folder


if __name__ == "__main__":
    sys.exit(main())
