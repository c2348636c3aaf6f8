"""Where Redis is, as one address: a server, the sentinels that know it, or the nodes of a cluster; pure and import-light.

redis://USER:PASSWORD@HOST:PORT/DB, rediss://… with TLS, unix://PATH         one server
redis+sentinel://USER:PASSWORD@HOST:PORT,HOST:PORT/SERVICE/DB                the server that the sentinels name now
redis+cluster://USER:PASSWORD@HOST:PORT,HOST:PORT                            a cluster, by any of its nodes
rediss+sentinel://… and rediss+cluster://… are the same with TLS. User and password are those of the data's servers; those of
the sentinels themselves are `?sentinel_username=…&sentinel_password=…`. Options of the connection follow the `?` as well, such as
`socket_timeout=5` or `ssl_ca_certs=PATH`: for one server whatever redis-py takes, for the others those of `OPTIONS`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal
from urllib.parse import parse_qsl, unquote, urlsplit

from penstock.errors import UsageError

Kind = Literal["server", "sentinel", "cluster"]
_KINDS: Mapping[str, Kind] = {
    "redis": "server",
    "rediss": "server",
    "unix": "server",
    "redis+sentinel": "sentinel",
    "rediss+sentinel": "sentinel",
    "redis+cluster": "cluster",
    "rediss+cluster": "cluster",
}
_PORTS: Mapping[Kind, int] = {"server": 6379, "sentinel": 26379, "cluster": 6379}
OPTIONS = frozenset({
    "socket_timeout", "socket_connect_timeout", "socket_keepalive", "health_check_interval", "max_connections", "client_name",
    "ssl_ca_certs", "ssl_ca_path", "ssl_certfile", "ssl_keyfile", "ssl_cert_reqs", "ssl_check_hostname",
})  # fmt: skip
_SENTINEL = {"sentinel_username", "sentinel_password"}


@dataclass(frozen=True, slots=True)
class Address:
    """One address, taken apart; its `repr` shows no password.

    Of a `server`, `url` is for `Redis.from_url`, which knows more options. Of the others, `nodes` are the sentinels or some
    nodes of the cluster, `service` and `db` a sentinel's, `credentials` keywords that redis's clients take for the data's
    servers, `sentinel_credentials` for the sentinels, and `options` texts for `redis.connection.parse_url` to understand.
    """

    kind: Kind
    shown: str
    url: str = field(repr=False)
    nodes: tuple[tuple[str, int], ...] = ()
    service: str = ""
    db: int = 0
    credentials: Mapping[str, str] = field(default_factory=dict, repr=False)
    tls: bool = False
    options: Mapping[str, str] = field(default_factory=dict)
    sentinel_credentials: Mapping[str, str] = field(default_factory=dict, repr=False)


def parse(url: str) -> Address:
    """The address in `url`. UsageError, which quotes nothing of it, for a malformed one."""
    try:
        return _parsed(url)
    except (ValueError, KeyError):
        # `from None`: the cause may quote a part of the address, and with it the password
        raise UsageError(
            "Redis address",
            got="a malformed address",
            expected="redis://, rediss://, unix://, redis+sentinel://HOST:PORT,HOST:PORT/SERVICE or redis+cluster://HOST:PORT",
        ) from None


def _parsed(url: str) -> Address:
    parts = urlsplit(url)
    kind = _KINDS[parts.scheme]
    login, _, hosts = parts.netloc.rpartition("@")
    shown = f"{parts.scheme}://{parts.path if parts.scheme == 'unix' else hosts + parts.path}"
    if kind == "server":
        if parts.scheme != "unix":
            _host_and_port(hosts, kind)
        return Address(kind, shown, url)
    nodes = tuple(_host_and_port(one, kind, named=True) for one in hosts.split(","))
    options = dict(parse_qsl(parts.query, keep_blank_values=True, strict_parsing=bool(parts.query)))
    if set(options) - OPTIONS - (_SENTINEL if kind == "sentinel" else set()):
        raise ValueError
    service, db = _service_and_db(parts.path) if kind == "sentinel" else ("", 0)
    if kind == "cluster" and parts.path not in {"", "/", "/0"}:
        raise ValueError  # a cluster has database 0 alone
    return Address(
        kind,
        shown,
        url,
        nodes,
        service,
        db,
        _login(login),
        parts.scheme.startswith("rediss"),
        {name: value for name, value in options.items() if name in OPTIONS},
        {name.removeprefix("sentinel_"): value for name, value in options.items() if name in _SENTINEL},
    )


def _host_and_port(text: str, kind: Kind, *, named: bool = False) -> tuple[str, int]:
    one = urlsplit(f"//{text}")
    if named and not one.hostname:
        raise ValueError
    return one.hostname or "localhost", one.port or _PORTS[kind]


def _service_and_db(path: str) -> tuple[str, int]:
    service, _, db = path.removeprefix("/").partition("/")
    if not service:
        raise ValueError
    return unquote(service), int(db or "0")


def _login(text: str) -> dict[str, str]:
    user, _, password = text.partition(":")
    return {name: unquote(value) for name, value in (("username", user), ("password", password)) if value}
