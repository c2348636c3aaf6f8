"""Names and SQL expressions from configuration: what may stand in them, judged on the text alone.

This is the first of two gates and needs no Spark, so that a configuration is judged as a whole and at once; Spark's
own parser is the second. It is conservative: it refuses some harmless expressions (`extract(DAY FROM x)`) rather than
let one through that reads another table, runs Java, or answers differently when asked twice. Each check raises
ValueError with the fault in words, so that it serves as a validator of configuration values.
"""

from __future__ import annotations

import re

NAME = re.compile(r"[a-z][a-z0-9_]{0,62}")
_TABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_-]{0,254}(\.[A-Za-z_][A-Za-z0-9_-]{0,254}){0,2}", re.ASCII)

_TOKEN = re.compile(
    r"""(?P<space>\s+)
      | (?P<comment>--|/\*|\*/)
      | (?P<string>[rR]'[^']*' | [rR]"[^"]*" | '(?:[^'\\]|\\.|'')*' | "(?:[^"\\]|\\.|"")*")
      | (?P<quoted>`(?:[^`]|``)+`)
      | (?P<number>\d[\w.]*|\.\d\w*)
      | (?P<word>[A-Za-z_]\w*)
      | (?P<sign><=>|<>|!=|>=|<=|==|\|\||&&|->|::|[-+*/%=<>(),.\[\]!~&|^])""",
    re.VERBOSE | re.DOTALL | re.ASCII,
)

# Words that begin or join a query, or that name something outside of the row.
_QUERY_WORDS_TEXT = (
    "select with from table values union intersect except minus join lateral exists insert update delete merge create drop "
    "alter truncate grant revoke call execute copy use set show describe explain cache identifier over"
)

# Functions that run code, reach outside of the row, or do not give the same answer twice.
_REFUSED_FUNCTIONS_TEXT = (
    "java_method reflect try_reflect rand randn random uniform randstr uuid shuffle now curdate current_timestamp current_date "
    "current_time localtimestamp current_timezone unix_timestamp current_user user session_user current_catalog current_database "
    "current_schema version monotonically_increasing_id spark_partition_id input_file_name input_file_block_start "
    "input_file_block_length secret try_secret read_files read_kafka http_request remote_query sql explode explode_outer "
    "posexplode posexplode_outer inline inline_outer stack raise_error assert_true sleep"
)
_QUERY_WORDS = frozenset(_QUERY_WORDS_TEXT.split())
_REFUSED_FUNCTIONS = frozenset(_REFUSED_FUNCTIONS_TEXT.split())
_REFUSED_PREFIXES = ("ai_", "vector_search", "read_", "st_read")

_PAIRS = {")": "(", "]": "["}


def check_identifier(name: str) -> None:
    """Refuses a name of a lake column, table or rule that is not snake_case, begins with no letter or is longer than 63 characters.

    Raises ValueError with the fault in words.
    """
    if not NAME.fullmatch(name):
        raise ValueError(f"got {name!r}, expected a name like customer_id (a-z, 0-9, _; begins with a letter)")


def check_table_name(name: str) -> None:
    """Refuses a catalog's name of a table that is not one to three plain words with dots between.

    Raises ValueError with the fault in words.
    """
    if not _TABLE.fullmatch(name):
        raise ValueError(
            f"got {name!r}, expected a table's name of up to three parts such as crm.public.contacts (letters, digits, _ and -; begins with a letter or _)"
        )


def quote(name: str) -> str:
    """A name between back-ticks, for use in SQL. Raises ValueError for a name that `check_identifier` refuses."""
    check_identifier(name)
    return f"`{name}`"


def check_expression(text: str) -> None:
    """Refuses SQL that is no expression over the columns of one row. Raises ValueError with the first fault in words."""
    tokens = _tokens(text)
    if not tokens:
        raise ValueError("got nothing, expected an SQL expression")
    _check_brackets(tokens)
    for i, (kind, token) in enumerate(tokens):
        called = tokens[i + 1 : i + 2] == [("sign", "(")]
        if called and i and tokens[i - 1] == ("sign", "."):
            raise ValueError(f"got a call of {token!r} by a qualified name, expected a built-in function")
        if kind == "word":
            _check_word(token, called)
        elif kind == "quoted" and called:
            # A quoted name may be a column called like a keyword, but called as a function it is that function all the same.
            _check_word(token.strip("`"), called)


def normalised(text: str) -> str:
    """An expression without its layout: two texts that differ in white space between tokens alone give the same.

    Nothing else is taken out: upper and lower case or a needless bracket stay, and are another text.
    """
    return " ".join(token for _, token in _tokens(text))


def names_in(text: str) -> frozenset[str]:
    """The words of an expression that may be columns, in lower case: not what is called, nor what stands in quotes for text."""
    tokens = _tokens(text)
    called = {i for i in range(len(tokens) - 1) if tokens[i + 1] == ("sign", "(")}
    words = (token for i, (kind, token) in enumerate(tokens) if kind == "word" and i not in called)
    quoted = (token.strip("`") for kind, token in tokens if kind == "quoted")
    return frozenset(name.lower() for name in (*words, *quoted))


def _tokens(text: str) -> list[tuple[str, str]]:
    tokens: list[tuple[str, str]] = []
    position = 0
    while position < len(text):
        match = _TOKEN.match(text, position)
        if match is None:
            raise ValueError(f"got {text[position]!r} at character {position + 1}, expected an SQL expression over this row's columns")
        kind = match.lastgroup or ""
        if kind == "comment":
            raise ValueError(f"got a comment at character {position + 1}, expected an SQL expression without comments")
        if kind != "space":
            tokens.append((kind, match.group()))
        position = match.end()
    return tokens


def _check_brackets(tokens: list[tuple[str, str]]) -> None:
    open_brackets: list[str] = []
    for kind, token in tokens:
        if kind == "sign" and token in {"(", "["}:
            open_brackets.append(token)
        elif kind == "sign" and token in _PAIRS and (not open_brackets or open_brackets.pop() != _PAIRS[token]):
            raise ValueError(f"got {token!r} without its opening bracket, expected balanced brackets")
    if open_brackets:
        raise ValueError(f"got {open_brackets[-1]!r} that is never closed, expected balanced brackets")


def _check_word(token: str, called: bool) -> None:
    word = token.lower()
    if word in _QUERY_WORDS:
        raise ValueError(f"got the word {token!r}, expected an expression over this row alone (no query, no window)")
    if word in _REFUSED_FUNCTIONS and (called or word.startswith(("current_", "local"))):
        raise ValueError(
            f"got {token!r}, which runs code, reaches outside of the row or differs from call to call; expected another function"
        )
    if called and word.startswith(_REFUSED_PREFIXES):
        raise ValueError(f"got {token!r}, which reaches outside of the row; expected another function")


# Words of Spark's expressions that name no column; those that begin a query are refused before.
_GRAMMAR_TEXT = (
    "and or not in is null true false like ilike rlike regexp between case when then else end as cast try_cast distinct all any some "
    "div escape filter where interval year years quarter quarters month months week weeks day days hour hours minute minutes second "
    "seconds millisecond milliseconds microsecond microseconds date timestamp timestamp_ntz boolean tinyint smallint int integer bigint "
    "long float real double string binary varchar decimal array map struct collate both leading trailing nulls first last ignore "
    "respect order by asc desc within group to at zone time local nan unknown"
)
GRAMMAR = frozenset(_GRAMMAR_TEXT.split()) | _QUERY_WORDS


def columns_named(text: str) -> tuple[str, ...]:
    """The names in an expression that can only be columns, in order and each once; fields after a dot, functions and lambda arguments are none.

    A word of the grammar may be a column all the same and is not told unless it is quoted. Raises ValueError as `check_expression` does.
    """
    tokens = _tokens(text)
    ahead = [*tokens[1:], ("", "")]
    arguments = {token.lower() for (_, token), after in zip(tokens, ahead, strict=True) if after[1] == "->"}
    for at, found_at in enumerate(tokens):
        if found_at == ("sign", "->") and at and tokens[at - 1][1] == ")":  # (a, b) -> …
            begin = max(i for i in range(at) if tokens[i][1] == "(")
            arguments |= {word.lower() for kind, word in tokens[begin:at] if kind == "word"}
    found = dict[str, None]()
    for before, (kind, token), after in zip([("", ""), *tokens], tokens, ahead, strict=False):
        if before[1] == "." or after[1] == "(" or token.lower() in arguments:
            continue
        if kind == "quoted":
            found[token[1:-1]] = None
        elif kind == "word" and token.lower() not in GRAMMAR:
            found[token] = None
    return tuple(found)
