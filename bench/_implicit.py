"""The peer `implicit` in a process of its own, since its environment is another: `PYTHON bench/_implicit.py FOLDER K`, a line a round.

Reads FOLDER/users.npy and items.npy, says `ready`, and for each line on its standard input ranks all users and says how many.
The first answer is left in FOLDER/implicit.npy. Threads of BLAS are set by the environment, as its authors advise.
"""

import sys

import implicit
import numpy as np
from implicit.cpu.topk import topk


def main() -> None:
    """Rank when told to."""
    folder, k = sys.argv[1], int(sys.argv[2])
    users, items = np.load(f"{folder}/users.npy"), np.load(f"{folder}/items.npy")
    print("ready", implicit.__version__, np.__version__, flush=True)
    for at, _ in enumerate(sys.stdin):
        found, _ = topk(items, users, k, num_threads=2)
        if at == 0:  # the round that is compared, not one that is timed
            np.save(f"{folder}/implicit.npy", found)
        print(len(found), flush=True)


if __name__ == "__main__":
    main()
