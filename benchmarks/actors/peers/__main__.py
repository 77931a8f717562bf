"""Does one job of one peer in this process, and prints its figures as JSON.

python -m benchmarks.actors.peers nurseries tell
"""

import argparse
import gc
import json
import logging

from benchmarks.actors.measuring import FULL, QUICK
from benchmarks.actors.peers import PEERS
from benchmarks.actors.rows import JOBS


def main() -> None:
    """Measure, and print the figures."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("peer", choices=[peer.module for peer in PEERS])
    parser.add_argument("job", choices=JOBS)
    parser.add_argument("--quick", action="store_true")
    options = parser.parse_args()
    logging.disable(logging.CRITICAL)  # for all peers, so that a crash is measured without the time of printing it
    module = next(peer for peer in PEERS if peer.module == options.peer).load()
    gc.collect()
    figures = module.measure(options.job, QUICK if options.quick else FULL)
    print(json.dumps(figures or {}))


if __name__ == "__main__":
    main()
