"""Judge data quality, drift and realised performance at an as_of, and decide whether to retrain.

spark-submit jobs/monitor.py --pipeline churn --as-of 2011-09-05 [--env ENV] [--lake DIR] [--set key=value]
"""

from penstock.cli import job_main

if __name__ == "__main__":
    raise SystemExit(job_main("monitor"))
