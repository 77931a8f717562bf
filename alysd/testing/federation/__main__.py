"""Run simulated federations: `python -m alysd.testing.federation --seed 7 --members 4 --minutes 10`."""

import argparse
import sys
import time

from alysd.testing.federation.run import run_scenario
from alysd.testing.federation.scenario import draw_scenario
from alysd.testing.federation.simulation import InvariantBroken


def main() -> int:
    """Run the seeds that the arguments name. The exit status is 1 if one of them broke an invariant."""
    parser = argparse.ArgumentParser("python -m alysd.testing.federation", description=__doc__)
    parser.add_argument("--seed", type=int, default=1, help="the first seed")
    parser.add_argument("--seeds", type=int, default=1, help="the number of seeds")
    parser.add_argument("--members", type=int, default=4, help="the number of members")
    parser.add_argument("--minutes", type=float, default=10.0, help="minutes of chain time per seed")
    parser.add_argument("--history", action="store_true", help="print everything that happened")
    options = parser.parse_args()
    seeds = range(options.seed, options.seed + options.seeds)
    passed = [run(seed, options.members, options.minutes, full=options.history) for seed in seeds]
    print(f"{passed.count(True)} of {len(passed)} seeds broke no invariant")
    return 0 if all(passed) else 1


def run(seed: int, members: int, minutes: float, *, full: bool) -> bool:
    """Run one seed, print the result and, with `full`, the history. Returns whether no invariant was broken."""
    scenario = draw_scenario(seed, members, minutes)
    begun = time.process_time()
    try:
        history = run_scenario(scenario).world.history
    except InvariantBroken as error:
        print(f"{scenario}\n{error}" if not full else f"{scenario}\n{error.history.shown()}\n{error}")
        replay = f"--seed {seed} --members {members} --minutes {minutes:g} --history"
        print(f"seed {seed} BROKE an invariant; replay: python -m alysd.testing.federation {replay}", flush=True)
        return False
    seconds, busy = history.lines[-1].time, time.process_time() - begun
    if full:
        print(f"{scenario}\n{history.shown()}")
    speed = f"{seconds / 60:.1f} minutes of the chain, {seconds / busy:.0f} times as fast as real time"
    print(f"seed {seed}: {speed}; history {history.digest[:16]}", flush=True)
    return True


if __name__ == "__main__":
    sys.exit(main())
