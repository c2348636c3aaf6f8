"""The command `penstock`: words in, exit code out. Heavy imports wait until a command needs them.

Exit codes: 0 done, 1 failed, 2 wrong usage or configuration, 3 refused by a gate or a check.
"""

from __future__ import annotations

import argparse
import sys
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from penstock.errors import UsageError

if TYPE_CHECKING:
    from penstock.progress import Progress

VERBS = ("land", "features", "labels", "monitor", "train", "promote", "score", "publish")
_ABOUT = {
    "land": "take new files from the landing folder, under the contract",
    "features": "search the catalogue of features; with --as-of: make tiles and feature rows",
    "labels": "mature the outcomes that are known by now",
    "monitor": "judge realised quality and drift, decide whether to train",
    "train": "train the candidates",
    "promote": "put the candidate through the gates, and the winner under alias production",
    "score": "score the unscored rows with the Production model",
    "publish": "publish the newest scores to the CRM table and Redis",
}


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise UsageError(message[:1].upper() + message[1:], next=f"{self.prog} --help")


_Add = Callable[[str, Callable[[argparse.Namespace], int], str], _Parser]
"""Adds a command: its name, what it calls, and what it is for."""


def main(argv: Sequence[str] | None = None, progress: Progress | None = None) -> int:
    """Run one command; returns its exit code. `progress` replaces what is shown on the terminal."""
    try:
        words = _parser().parse_args(list(sys.argv[1:] if argv is None else argv))
        words.progress = progress
        return int(words.call(words))
    except SystemExit as done:  # argparse's --help and --version
        return int(done.code or 0)
    except BrokenPipeError:
        sys.stderr.close()
        return 1
    except BaseException as error:
        return _failed(error)


def job_main(verb: str, argv: Sequence[str] | None = None) -> int:
    """The entry of `jobs/VERB.py`: `--pipeline churn --as-of 2011-09-05 …` becomes `penstock VERB churn --scheduled --as-of …`."""
    words = list(sys.argv[1:] if argv is None else argv)
    if not {"-h", "--help"}.isdisjoint(words):
        return main([verb, "--help"])
    first = _Parser(prog=f"jobs/{verb}.py", add_help=False)
    first.add_argument("--pipeline", required=True)
    try:
        known, rest = first.parse_known_args(words)
    except UsageError as error:
        return _failed(error)
    return main([verb, known.pipeline, "--scheduled", *rest])


def _failed(error: BaseException) -> int:
    from penstock.orchestrate.explain import explained

    ours = explained(error)
    if ours is None:
        traceback.print_exception(error)
        print("penstock: this is a bug of ours; please report it with the lines above.", file=sys.stderr)
    else:
        print(f"penstock: {ours}", file=sys.stderr)
    code = ours.exit_code if ours else 1
    if code == 1 and (log := getattr(error, "log", None)):
        print(f"penstock: Spark's own log is {log}", file=sys.stderr)
    return code


def _parser() -> argparse.ArgumentParser:
    from penstock import __version__

    common = _Parser(add_help=False)
    place = common.add_argument_group("place and configuration")
    place.add_argument("--env", default="local", help="conf/env/ENV.yml over conf/base.yml (default: local)")
    place.add_argument("--conf", type=Path, metavar="DIR", help="configuration folder (default: ./conf, else the one in the package)")
    place.add_argument("--lake", type=Path, default=Path("lakehouse"), metavar="DIR", help="the lake's folder (default: ./lakehouse)")
    place.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        dest="overrides",
        help="override one key; pipeline.KEY for the pipeline's",
    )
    top = _Parser(
        prog="penstock",
        description="Batch machine learning on a lakehouse: land, features, labels, monitor, train, promote, score, publish.",
    )
    top.add_argument("--version", action="version", version=f"penstock {__version__}")
    commands: argparse._SubParsersAction[_Parser] = top.add_subparsers(
        title="commands", metavar="COMMAND", required=True, parser_class=_Parser
    )

    def add(name: str, call: Callable[[argparse.Namespace], int], about: str) -> _Parser:
        made = commands.add_parser(name, help=about, description=about[:1].upper() + about[1:] + ".", parents=[common])
        made.set_defaults(call=call, command=name)
        return made

    _working(add)
    _looking(add)
    _init(add)
    _conf(commands, common)
    return top


def _working(add: _Add) -> None:
    """The commands that change the lake."""
    demo = add("demo", _demo, "watch a year of a real shop go through the whole loop")
    demo.add_argument("--pipeline", metavar="PIPELINE", help="this one alone (default: churn and recommend, over the same files)")
    demo.add_argument("--weeks", type=int, default=14, metavar="N", help="weekly runs after the history (default: 14)")
    _staged(add("run", _stages, "the whole scheduled job: what is due, in order"))
    for verb in VERBS:
        made = _staged(add(verb, _stages, _ABOUT[verb]), as_of=verb not in {"features", "promote"}, search=verb == "features")
        about = "behave as in a scheduled run: train only if the monitoring decided so, and let a refused candidate stop nothing"
        made.add_argument("--scheduled", action="store_true", help=about)
        if verb == "promote":
            made.add_argument("--approve", type=int, metavar="VERSION", help="approve a registered version that passed its gates")
            made.add_argument("--by", metavar="NAME", help="who approves")
            made.add_argument("--candidate", metavar="NAME", help="judge this candidate of the newest training, not the one it chose")
        if verb == "publish":
            made.add_argument("--allow-empty", action="store_true", help="publish a set without an entity, this once")
            about = "publish a set that loses more than publish.redis.max_drop of the entities that readers have, this once"
            made.add_argument("--allow-drop", action="store_true", help=about)
    rollback = add("rollback", _rollback, "put the previous Production version back, and its scores; or what was published before")
    rollback.add_argument("pipeline")
    about = "only Redis goes back, to its previous generation: the model and all tables stay"
    rollback.add_argument("--published", action="store_true", help=about)
    rollback.add_argument("--by", metavar="NAME", help="who decides (default: the user's login)")


def _looking(add: _Add) -> None:
    """The commands that only look."""
    plan = add("plan", _stages, "what a command would do: the same as its --dry-run")
    plan.add_argument("verb", choices=("run", *VERBS), metavar="COMMAND")
    _staged(plan)
    status = add("status", _status, "last runs, cursors, Production version, unscored rows, open alerts, next action")
    status.add_argument("pipeline")
    status.add_argument("--json", action="store_true")
    about = "the newest training's candidates beside the champion and the heuristics, for a person to choose"
    candidates = add("candidates", _candidates, about)
    candidates.add_argument("pipeline")
    candidates.add_argument("--json", action="store_true")
    report = add("report", _report, "the weeks as a table, and one self-contained HTML page of the pipeline")
    report.add_argument("pipeline")
    report.add_argument("--out", type=Path, metavar="FILE", help="where the page goes (default: LAKE/reports/PIPELINE.html)")
    profile = add("profile", _profile, "write a page about a source: types, nulls, distributions, duplicates, outliers, drift")
    profile.add_argument("source", metavar="SOURCE")
    profile.add_argument("--from", dest="start", metavar="DATE", help="the first day whose files are profiled (default: all)")
    profile.add_argument("--to", dest="end", metavar="DATE", help="the day after the last one (default: all)")
    profile.add_argument("--against", metavar="DATE", help="compare the rows from this day on with those before (default: the middle)")
    profile.add_argument("--out", type=Path, metavar="FILE", help="where the page goes (default: LAKE/reports/profile_SOURCE.html)")
    sql = add("sql", _sql, "query the lake's tables and views by name")
    sql.add_argument("query")
    sql.add_argument("--pipeline", default=None, help=argparse.SUPPRESS)
    sql.add_argument("--format", choices=("table", "json", "csv"), default="table")
    get = add("get", _get, "the published score or items of one entity, from Redis, with provenance")
    get.add_argument("pipeline")
    get.add_argument("key", nargs="+", help="the entity's key, one word a key column")
    get.add_argument("--group", default=None, help="whose fallback to take when nothing is published for the key, such as a country")
    get.add_argument("--json", action="store_true")
    add("jars", _jars, "print Delta's jar files, for spark-submit --jars")


def _conf(commands: argparse._SubParsersAction[_Parser], common: _Parser) -> None:
    about = "work on the configuration alone: no Spark, no lake"
    group = commands.add_parser("conf", help=about, description=about[:1].upper() + about[1:] + ".")
    verbs: argparse._SubParsersAction[_Parser] = group.add_subparsers(
        title="commands", metavar="COMMAND", required=True, parser_class=_Parser
    )

    def add(name: str, call: Callable[[argparse.Namespace], int], about: str) -> _Parser:
        made = verbs.add_parser(name, help=about, description=about[:1].upper() + about[1:] + ".", parents=[common])
        made.set_defaults(call=call, command="conf")
        return made

    check = add("check", _conf_check, "name every fault of the pipelines and contracts, with file, line and key")
    check.add_argument("pipeline", nargs="?", metavar="PIPELINE", help="this one alone, with its contract")
    schema = add("schema", _conf_schema, "print the JSON Schema of a kind of file, for an editor's completion")
    schema.add_argument("kind", nargs="?", choices=("pipeline", "settings", "contract"), default="pipeline")
    diff = add(
        "diff", _conf_diff, "name what changed between two configuration folders, and what of it breaks (exit code 3 when something does)"
    )
    diff.add_argument("before", type=Path, metavar="A", help="the folder as it was; `git worktree add ../before REVISION` makes one")
    diff.add_argument("after", type=Path, metavar="B", help="the folder as it is")
    diff.add_argument("--json", action="store_true", help="print the changes as JSON on standard output")


def _init(add: _Add) -> None:
    init = add("init", _init_call, "look at a table and write a pipeline and a contract for it, to edit")
    init.add_argument("pipeline", metavar="NAME", help="the new pipeline's name")
    init.add_argument("--source", required=True, nargs="+", type=Path, metavar="FILE", help="the table: CSV, JSON lines or Parquet")
    init.add_argument("--entity", required=True, nargs="+", metavar="COL", help="the column, or columns, that name whom to predict about")
    init.add_argument("--event-time", required=True, metavar="COL", help="the column that says when each row happened")
    init.add_argument("--timezone", default="UTC", metavar="TZ", help="of the source's days and of times without offset (default: UTC)")
    init.add_argument("--horizon", type=int, metavar="DAYS", help="days to look ahead (default: from the data's usual gap)")
    init.add_argument(
        "--predict", metavar="COL", help="predict a number: the sum of this column over those days (default: whether nothing comes)"
    )


def _staged(parser: _Parser, *, as_of: bool = True, search: bool = False) -> _Parser:
    if search:
        parser.usage = (
            "penstock features [TEXT] [--all-versions] [--json]\n       penstock features PIPELINE --as-of DATE [--dry-run] [--json]"
        )
        about = "with --as-of the pipeline whose rows are made; else words to search names, descriptions, owners and tags by"
        parser.add_argument("pipeline", metavar="PIPELINE|TEXT", nargs="?", help=about)
        parser.add_argument("--all-versions", action="store_true", help="search older versions of a column, too")
    else:
        parser.add_argument("pipeline", metavar="PIPELINE")
    parser.add_argument("--as-of", required=as_of, metavar="DATE", help="the day at whose midnight the run speaks, YYYY-MM-DD")
    parser.add_argument("--dry-run", action="store_true", help="print the plan and change nothing")
    parser.add_argument("--json", action="store_true", help="print the result as JSON on standard output")
    return parser


def _conf_diff(words: argparse.Namespace) -> int:
    from penstock.orchestrate import conf_commands

    return conf_commands.diff(words)


def _stages(words: argparse.Namespace) -> int:
    from penstock.orchestrate import commands

    verb = words.verb if words.command == "plan" else words.command
    verbs = VERBS if verb == "run" else (verb,)
    if getattr(words, "approve", None) is not None:
        return commands.approve(words)
    if words.command == "features" and words.as_of is None and not (words.dry_run or words.scheduled):
        from penstock.orchestrate import catalog_commands

        return catalog_commands.search(words)
    if words.pipeline is None:
        raise UsageError("PIPELINE", got="none", expected="the pipeline whose rows are made", next=f"penstock {verb} PIPELINE --as-of DATE")
    if words.as_of is None:
        raise UsageError("--as-of", got="none", expected="a day as YYYY-MM-DD", next=f"penstock {verb} {words.pipeline} --as-of DATE")
    if words.command == "plan" or words.dry_run:
        return commands.plan(words, verbs)
    return commands.stages(words, verbs)


def _demo(words: argparse.Namespace) -> int:
    from penstock.orchestrate import demo

    return demo.run(words)


def _status(words: argparse.Namespace) -> int:
    from penstock.orchestrate import commands

    return commands.status(words)


def _candidates(words: argparse.Namespace) -> int:
    from penstock.orchestrate import commands

    return commands.candidates(words)


def _report(words: argparse.Namespace) -> int:
    from penstock.orchestrate import commands

    return commands.report(words)


def _sql(words: argparse.Namespace) -> int:
    from penstock.orchestrate import commands

    return commands.sql(words)


def _profile(words: argparse.Namespace) -> int:
    from penstock.profiling import command

    return command.run(words)


def _get(words: argparse.Namespace) -> int:
    from penstock.orchestrate import commands

    return commands.get(words)


def _rollback(words: argparse.Namespace) -> int:
    from penstock.orchestrate import commands

    return commands.rollback(words)


def _conf_check(words: argparse.Namespace) -> int:
    from penstock.orchestrate.conf_check import check_command

    return check_command(words)


def _conf_schema(words: argparse.Namespace) -> int:
    from penstock.orchestrate.conf_schema import schema_command

    return schema_command(words)


def _init_call(words: argparse.Namespace) -> int:
    from penstock.orchestrate.init import init_command

    return init_command(words)


def _jars(_: argparse.Namespace) -> int:
    from penstock.lake.jars import delta_jars
    from penstock.wiring import cache_folder

    print(",".join(str(jar) for jar in delta_jars(cache_folder())))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
