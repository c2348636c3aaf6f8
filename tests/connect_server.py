"""A Spark Connect server with Delta for the clients of a test session: `python connect_server.py PORT SCRATCH`, until its input ends."""

from __future__ import annotations

import os
import sys
from pathlib import Path


def main(port: str, scratch: Path) -> None:
    from pyspark.sql import SparkSession

    from penstock.config.model import SparkSettings
    from penstock.lake.jars import delta_jars
    from penstock.lake.session import local_conf
    from penstock.wiring import cache_folder

    os.environ["PYSPARK_PYTHON"] = sys.executable
    conf = local_conf(SparkSettings(master="local[2]", driver_memory="3g"), delta_jars(cache_folder()), scratch)
    conf |= {
        "spark.plugins": "org.apache.spark.sql.connect.SparkConnectPlugin",
        "spark.connect.grpc.binding.address": "127.0.0.1",
        "spark.connect.grpc.binding.port": port,
        # What a killed client leaves (its session with its plans, a query under way) is kept for three minutes, not for an hour:
        # some hundred clients come and die here.
        "spark.connect.session.manager.defaultSessionTimeout": "180s",
        "spark.connect.session.manager.maintenanceInterval": "10s",
        "spark.connect.execute.manager.detachedTimeout": "20s",
        "spark.connect.execute.manager.maintenanceInterval": "10s",
    }
    builder = SparkSession.builder.appName("penstock-tests")
    for key, value in conf.items():
        builder = builder.config(key, value)
    session = builder.getOrCreate()
    session.sql("SELECT 1").collect()
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    sys.stdin.read()
    session.stop()


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
