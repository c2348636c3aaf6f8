"""Feast materialises rows to a redis-server: `python _feast_peer.py PORT ROWS FOLDER`, in an environment with feast[redis]; prints JSON.

A float, two texts and two whole numbers an entity, as a score has; read from a Parquet file by Feast's local engine. Three times, into an empty server.
"""

from __future__ import annotations

import json
import sys
import time
from datetime import UTC, datetime, timedelta
from importlib.metadata import version
from pathlib import Path

import pandas as pd
import redis
from feast import Entity, FeatureStore, FeatureView, Field, FileSource, RepoConfig, ValueType
from feast.types import Float64, Int64, String

if __name__ == "__main__":
    port, rows, folder = int(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3])
    folder.mkdir()
    at = datetime(2011, 9, 5, tzinfo=UTC)
    table = pd.DataFrame({"customer": [str(17_000_000 + n) for n in range(rows)], "score": [n % 10_000 / 10_000 for n in range(rows)]})
    table = table.assign(band="medium", version="3", as_of=1315180800, scored_at=1315180800, event_timestamp=at)
    table.to_parquet(folder / "scores.parquet")
    online = {"type": "redis", "connection_string": f"localhost:{port}"}
    config = RepoConfig(
        project="bench", provider="local", registry=str(folder / "registry.db"), online_store=online, entity_key_serialization_version=3
    )
    store = FeatureStore(config=config)
    customer = Entity(name="customer", join_keys=["customer"], value_type=ValueType.STRING)
    kinds = {"score": Float64, "band": String, "version": String, "as_of": Int64, "scored_at": Int64}
    view = FeatureView(
        name="scores",
        entities=[customer],
        ttl=timedelta(days=36_500),
        schema=[Field(name=name, dtype=kind) for name, kind in kinds.items()],
        source=FileSource(path=str(folder / "scores.parquet"), timestamp_field="event_timestamp"),
    )
    store.apply([customer, view])
    seconds = []
    client = redis.Redis(port=port)
    for _ in range(3):
        client.flushall()
        empty = client.info("memory")["used_memory"]
        began = time.perf_counter()
        store.materialize(at - timedelta(days=1), at + timedelta(days=1))
        seconds.append(round(time.perf_counter() - began, 3))
    found = store.get_online_features(features=["scores:score", "scores:band"], entity_rows=[{"customer": "17000017"}]).to_dict()
    assert (found["score"], found["band"]) == ([0.0017], ["medium"]), found
    memory = round((client.info("memory")["used_memory"] - empty) / rows, 1)
    print(json.dumps({"feast": version("feast"), "rows": rows, "materialize_s": seconds, "keys": client.dbsize(), "bytes_a_row": memory}))
