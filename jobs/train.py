"""Train a candidate, when the monitoring decided so.

spark-submit jobs/train.py --pipeline churn --as-of 2011-09-05 [--env ENV] [--lake DIR] [--set key=value]
"""

from penstock.cli import job_main

if __name__ == "__main__":
    raise SystemExit(job_main("train"))
