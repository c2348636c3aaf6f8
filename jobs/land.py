"""Land the new files of a pipeline's sources under their contracts.

spark-submit jobs/land.py --pipeline churn --as-of 2011-09-05 [--env ENV] [--lake DIR] [--set key=value]
"""

from penstock.cli import job_main

if __name__ == "__main__":
    raise SystemExit(job_main("land"))
