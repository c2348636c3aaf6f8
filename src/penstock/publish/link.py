"""Sends packed commands over redis-py's own connections (TLS, users and Sentinels as redis-py does them) and counts every reply.

A window of payloads is on its way at a time: the next are packed while Redis works on the last, and the memory is bounded.
A connection that breaks is opened anew and what had no reply is sent again, which is safe since HSET can be repeated; so
is a payload that met a slot which has moved to another node.
"""

from __future__ import annotations

import time
from collections import deque
from dataclasses import dataclass, field
from itertools import pairwise
from types import TracebackType
from typing import Any, Self

from redis import exceptions as faults
from redis.crc import key_slot

from penstock.errors import RefusedError
from penstock.publish.connect import RETRIES, Client, ask, backoff, clustered
from penstock.publish.generation import Target
from penstock.publish.layout import Keyspace
from penstock.publish.lua import TOUCH
from penstock.publish.wire import Packed

WINDOW = 3
_AGAIN = (faults.ConnectionError, faults.AskError, faults.TryAgainError, faults.ClusterDownError)
"""Met with new connections and what had no reply sent again: a lost connection, a slot that has moved (MOVED is an ASK to redis-py) or is moving."""


@dataclass
class _Lane:
    """One connection, and which replies are still to come on it, in order: a payload's number and how many, or a fence check (-1, 1)."""

    pool: Any
    connection: Any
    due: deque[tuple[int, int]] = field(default_factory=deque)


@dataclass
class _Payload:
    number: int
    packed: Packed
    lanes: list[_Lane] | None = None
    """Where it was sent; None when it has to be sent, again or for the first time."""


class Link:
    """Writes payloads under one claim; `added` counts new fields by the replies. Raises RefusedError when a newer lease has begun."""

    def __init__(self, client: Client, target: Target) -> None:
        """`client` says where to connect and how; the link's connections are its own until `close`."""
        self._client: Any = client
        self._target = target
        self._cluster = clustered(client)
        self._lanes: dict[int, _Lane] = {}
        self._window: deque[_Payload] = deque()
        self._sent = 0
        self.added = 0

    def write(self, packed: Packed) -> None:
        """Send, and read the replies of what was sent WINDOW payloads before."""
        if packed.payload:
            self._window.append(_Payload(self._sent, packed))
            self._sent += 1
            self._advance(WINDOW)

    def finish(self) -> None:
        """Read all replies that are due, then check the fence a last time."""
        self._advance(0)
        held, known = ask(self._client, "EVAL", TOUCH, 3, *self._target.control())
        self._hold(held, known)

    def close(self) -> None:
        """Give the connections back; one with replies still due is cut, so that nobody reads them as answers of his own."""
        for lane in self._lanes.values():
            if lane.due:
                lane.connection.disconnect()
            lane.pool.release(lane.connection)
        self._lanes = {}

    def __enter__(self) -> Self:
        """The link itself."""
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Close."""
        self.close()

    def _advance(self, open_payloads: int) -> None:
        """Send what is unsent and read replies until so many payloads are without theirs, over new connections where one broke."""
        wait, failures = backoff(), 0
        while True:
            try:
                if failures and self._cluster:
                    self._client.nodes_manager.initialize()  # a node has died, or slots have moved
                for payload in self._window:
                    if payload.lanes is None:
                        self._send(payload)
                while len(self._window) > open_payloads:
                    self._settle(self._window[0])
                    self._window.popleft()
            except faults.AuthenticationError:
                raise
            except _AGAIN:
                failures += 1
                if failures > RETRIES:
                    raise
                self._begin_again()
                time.sleep(wait.compute(failures))
            else:
                return

    def _begin_again(self) -> None:
        for lane in self._lanes.values():
            lane.connection.disconnect()
        self.close()
        for payload in self._window:
            payload.lanes = None

    def _send(self, payload: _Payload) -> None:
        """To one server as it is; in a cluster each command to the master of its bucket's slot."""
        packed = payload.packed
        if not self._cluster:
            parts = {id(self._client): (self._client.connection_pool, [packed.payload], len(packed.buckets))}
        else:
            parts = self._by_node(packed)
        payload.lanes = []
        for name, (pool, pieces, commands) in parts.items():
            lane = self._lane(name, pool)
            lane.connection.send_packed_command([b"".join(pieces)] if len(pieces) > 1 else pieces)
            lane.due.append((payload.number, commands))
            payload.lanes.append(lane)

    def _by_node(self, packed: Packed) -> dict[int, tuple[Any, list[bytes], int]]:
        parts: dict[int, tuple[Any, list[bytes], int]] = {}
        target, view = self._target, memoryview(packed.payload)
        for bucket, (first, last) in zip(packed.buckets.tolist(), pairwise(packed.bounds.tolist()), strict=True):
            pool = self._pool(target.keys.bucket(target.claim.generation, bucket))
            _, pieces, commands = parts.get(id(pool), (pool, [], 0))
            pieces.append(view[first:last])  # type: ignore[arg-type]
            parts[id(pool)] = (pool, pieces, commands + 1)
        return parts

    def _pool(self, name: str) -> Any:
        if not self._cluster:
            return self._client.connection_pool
        node = self._client.nodes_manager.get_node_from_slot(key_slot(name.encode()))
        return self._client.get_redis_connection(node).connection_pool

    def _lane(self, name: int, pool: Any) -> _Lane:
        if name not in self._lanes:
            self._lanes[name] = _Lane(pool, pool.get_connection())
        return self._lanes[name]

    def _settle(self, payload: _Payload) -> None:
        """Read a payload's replies on all its lanes, then ask for the fence: what was written is on the list by then."""
        added = 0
        for lane in payload.lanes or ():
            while lane.due:
                number, commands = lane.due[0]
                if number > payload.number:
                    break
                added += self._fence(lane) if number < 0 else sum(_reply(lane) for _ in range(commands))
                lane.due.popleft()
        self.added += added
        pool = self._pool(self._target.keys.pointer)
        lane = self._lane(id(pool) if self._cluster else id(self._client), pool)
        lane.connection.send_command("EVAL", TOUCH, 3, *self._target.control())
        lane.due.append((-1, 1))

    def _fence(self, lane: _Lane) -> int:
        self._hold(*lane.connection.read_response())
        return 0

    def _hold(self, held: int, known: int) -> None:
        if held != 1:
            raise overtaken(self._target.keys, self._target.claim.fence, known)


def _reply(lane: _Lane) -> int:
    added: int = lane.connection.read_response()
    return added


def overtaken(keys: Keyspace, fence: int, known: int) -> RefusedError:
    """Somebody with a newer lease was there."""
    return RefusedError(
        f"publish of {keys.pipeline}",
        got=f"lease {fence}",
        expected=f"{known} or later, or no other publisher meanwhile",
        left="Somebody with a newer lease has taken over; readers see their set or the one before",
        next=f"penstock status {keys.pipeline}",
    )
