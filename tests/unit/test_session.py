"""The properties of a Spark session that this process starts."""

from __future__ import annotations

from pathlib import Path

from penstock.config.model import SparkSettings
from penstock.lake.session import local_conf

OPTIONS = "spark.driver.extraJavaOptions"


def test_a_local_session_s_java_has_the_options_of_the_settings_and_else_its_own() -> None:
    assert local_conf(SparkSettings(master="local[2]", java_options="-Xss4m"), (), Path("s"))[OPTIONS] == "-Xss4m"
    assert OPTIONS not in local_conf(SparkSettings(master="local[2]"), (), Path("s"))


def test_the_java_of_a_cluster_or_a_platform_is_left_as_it_is() -> None:
    assert OPTIONS not in local_conf(SparkSettings(master="spark://there:7077", java_options="-Xss4m"), (), Path("s"))
    assert OPTIONS not in local_conf(SparkSettings(java_options="-Xss4m"), (), Path("s"))
