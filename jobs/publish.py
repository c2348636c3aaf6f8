"""Publish the scores to the latest and CRM tables and to Redis.

spark-submit jobs/publish.py --pipeline churn --as-of 2011-09-05 [--env ENV] [--lake DIR] [--set key=value]
"""

from penstock.cli import job_main

if __name__ == "__main__":
    raise SystemExit(job_main("publish"))
