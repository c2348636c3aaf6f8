"""A connection to Redis, whatever its topology: one server, TLS, behind Sentinels or a cluster; and Redis's errors as ours.

redis://[USER:PASSWORD@]HOST:PORT[/DB]                      one server; an ACL user stands in the address
rediss://…?ssl_ca_certs=FILE                                the same over TLS, every `ssl_…` option as redis-py has it
unix:///PATH                                                a socket of this machine
redis+sentinel://[USER:PASSWORD@]HOST:PORT,HOST:PORT/SERVICE[/DB]   the master that the Sentinels name, asked again after a failover
redis+cluster://[USER:PASSWORD@]HOST:PORT[,HOST:PORT]       each command goes to the master of its slot; rediss+cluster:// over TLS
Options follow a `?`: `socket_timeout` (60 s), `socket_connect_timeout` (5 s) and whatever else redis-py takes.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

import redis
from redis.backoff import ExponentialWithJitterBackoff
from redis.cluster import ClusterNode, RedisCluster
from redis.connection import parse_url
from redis.exceptions import (
    AuthenticationError,
    MaxConnectionsError,
    NoPermissionError,
    OutOfMemoryError,
    ReadOnlyError,
    RedisClusterException,
    RedisError,
    ResponseError,
)
from redis.retry import Retry
from redis.sentinel import Sentinel

from penstock.errors import ServiceError, UsageError

RETRIES = 3


class NoAnswerError(ServiceError):
    """Redis did not answer: nothing more needs to be tried over this connection."""


_TIMEOUTS: dict[str, Any] = {"socket_connect_timeout": 5, "socket_timeout": 60, "protocol": 2}
_LEFT = "Readers see the set before, if Redis is there at all; the scores are in the lake"
Client = redis.Redis
"""What `connect` returns. A cluster's client is another class of redis-py with the same calls; here they share a name."""


def backoff() -> ExponentialWithJitterBackoff:
    """Waits between tries: up to 0.1, 0.2, 0.4 s …, at most 2, by chance shorter, so that many workers do not come back at once."""
    return ExponentialWithJitterBackoff(cap=2, base=0.1)


def connect(url: str) -> Client:
    """A client that has been answered. Raises UsageError for a malformed address, ServiceError when nobody answers; shows no password."""
    with answered(f"Redis at {shown(url)}"):
        try:
            client = _client(url)
        except (ValueError, IndexError):
            # `from None`: the library's message may quote a part of the address, and with it the password
            raise UsageError(
                "Redis address",
                got="a malformed address",
                expected="redis://, rediss://, unix://, redis+sentinel://HOST:PORT/SERVICE or redis+cluster://HOST:PORT",
            ) from None
        for node in masters(client):
            node.ping()
    return client


def _client(url: str) -> Client:
    scheme, _, rest = url.partition("://")
    retry = Retry(backoff(), RETRIES)
    if scheme not in {"redis+sentinel", "redis+cluster", "rediss+cluster"}:
        return redis.Redis.from_url(url, **_TIMEOUTS, retry=retry)
    authority, _, tail = rest.partition("/") if "/" in rest else (rest.partition("?")[0], "", "?" + rest.partition("?")[2])
    user, at, places = authority.rpartition("@")
    hosts = [_host_port(place) for place in places.split(",")]
    if scheme == "redis+sentinel":
        path, _, options = tail.partition("?")
        service, _, db = path.partition("/")
        if not service:
            raise ValueError("no service")
        given = {**_TIMEOUTS, **_options(f"redis://{user}{at}{hosts[0][0]}:{hosts[0][1]}/{db or 0}?{options}")}
        asking = {k: given[k] for k in ("socket_connect_timeout", "socket_timeout")}
        sentinel = Sentinel(hosts, sentinel_kwargs={**asking, "protocol": 2, "retry": Retry(backoff(), 1)}, **given)  # type: ignore[no-untyped-call]
        found: Client = sentinel.master_for(service, retry=retry)  # type: ignore[no-untyped-call]
        return found
    plain = "rediss" if scheme.startswith("rediss") else "redis"
    given = {**_TIMEOUTS, **_options(f"{plain}://{user}{at}{hosts[0][0]}:{hosts[0][1]}/{tail}")}
    given.pop("db", None)
    if plain == "rediss":
        given.pop("connection_class", None)
        given["ssl"] = True
    nodes = [ClusterNode(host, port) for host, port in hosts]  # type: ignore[no-untyped-call]
    cluster: Any = RedisCluster(startup_nodes=nodes, retry=retry, **given)
    return cluster  # type: ignore[no-any-return]


def _options(url: str) -> dict[str, Any]:
    """What redis-py reads from an address, without the place."""
    found: dict[str, Any] = dict(parse_url(url))  # type: ignore[no-untyped-call]
    return {k: v for k, v in found.items() if k not in {"host", "port"}}


def _host_port(place: str) -> tuple[str, int]:
    host, _, port = place.rpartition(":")
    return host, int(port)


def clustered(client: Client) -> bool:
    """Is this the client of a cluster?"""
    return isinstance(client, RedisCluster)


def masters(client: Client) -> list[Client]:
    """A plain client for each server that takes writes."""
    if not clustered(client):
        return [client]
    cluster: Any = client
    return [cluster.get_redis_connection(node) for node in cluster.get_primaries()]


def preflight(client: Client, needed: int) -> tuple[str, ...]:
    """Can these servers take `needed` more bytes together and keep them? Raises ServiceError when not; returns what could not be asked.

    A replica, an evicting policy (it would make holes in a set) and too little room under `maxmemory` are refused.
    """
    nodes = masters(client)
    return tuple(dict.fromkeys(said for node in nodes for said in _node_preflight(node, needed // len(nodes))))


def _node_preflight(node: Client, needed: int) -> tuple[str, ...]:
    left = "The pointer did not move; readers see the set before"
    try:
        role = ask(node, "ROLE")[0]
        memory: Any = node.info("memory")
    except NoPermissionError:
        return ("Role and memory of Redis were not checked: the user may not run ROLE and INFO.",)
    role = role.decode() if isinstance(role, bytes) else role
    if role != "master":
        raise ServiceError("role of the Redis server", got=role, expected="master", left=left, next="give the primary's address")
    limit, policy = int(memory.get("maxmemory", 0)), str(memory.get("maxmemory_policy", "unknown"))
    if limit and policy.startswith("allkeys"):
        raise ServiceError("maxmemory-policy of Redis", got=policy, expected="noeviction or volatile-*", left=left, next="change it")
    room = max(limit - int(memory["used_memory"]), 0)
    if limit and room < needed:
        raise ServiceError("memory of Redis", got=f"room for {room} bytes", expected=f"about {needed}", left=left, next="raise maxmemory")
    return ()


def ask(client: Client, *command: Any) -> Any:
    """The reply to one command, as Redis gives it; on a pipeline, the command is queued."""
    return client.execute_command(*command)  # type: ignore[no-untyped-call]


def table(client: Client, name: str) -> dict[bytes, bytes]:
    """A hash, whole."""
    found: dict[bytes, bytes] = ask(client, "HGETALL", name)
    return found


def out_of_memory(error: Exception) -> bool:
    """Before Redis 7 a script's error carries the code inside its text."""
    return isinstance(error, OutOfMemoryError) or "-OOM " in str(error)


def shown(url: str) -> str:
    """The address without user, password and options."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.path if parts.scheme == 'unix' else parts.netloc.rpartition('@')[2] + parts.path}"


@contextmanager
def answered(doing: str) -> Iterator[None]:
    """Redis's own errors as ours, by who has to act."""
    try:
        yield
    except AuthenticationError as error:
        raise ServiceError(doing, got="a wrong user or password", left=_LEFT, next="correct the address in the environment") from error
    except ResponseError as error:
        raise _refusal(doing, error) from error
    except (RedisError, RedisClusterException) as error:
        hint = "start Redis or correct its address, then publish again"
        if isinstance(error, MaxConnectionsError):
            hint = "raise max_connections in the address"
        raise NoAnswerError(doing, got=f"no answer ({type(error).__name__})", expected="an answer", left=_LEFT, next=hint) from error


def _refusal(doing: str, error: ResponseError) -> ServiceError:
    text = str(error)
    if out_of_memory(error):
        return ServiceError(doing, got="Redis is out of memory", left=_LEFT, next="raise maxmemory, then publish again")
    hint = "read the answer of Redis above"
    if "WRONGTYPE" in text:
        hint = "a key of another type stands there; delete it"
    elif isinstance(error, NoPermissionError) or "NOPERM" in text or "can't run this command" in text:  # the last from inside a script
        hint = "give the user of the address the rights that docs/redis.md lists"
    elif isinstance(error, ReadOnlyError) or "READONLY" in text:
        hint = "give the primary's address, or the Sentinels'"
    return ServiceError(doing, got=f"the answer {text[:200]!r}", left=_LEFT, next=hint)
