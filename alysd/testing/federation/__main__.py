"""Run simulated federations: `python -m alysd.testing.federation --seed 7 --members 4 --minutes 10`.

With `--peg` the chain has a peg, users use it, and Bitcoin has faults too.
"""

import argparse
import sys
import time
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path

from alysd.testing.federation.peg.run import run_peg_scenario
from alysd.testing.federation.peg.scenario import PegScenario, draw_peg_scenario
from alysd.testing.federation.run import run_scenario
from alysd.testing.federation.scenario import FederationScenario, draw_scenario
from alysd.testing.federation.simulation import InvariantBroken, SimulatedFederation
from alysd.testing.federation.weakened import without_lock


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the seeds that the arguments name. The exit status is 1 if one of them broke an invariant."""
    parser = argparse.ArgumentParser("python -m alysd.testing.federation", description=__doc__)
    parser.add_argument("--seed", type=int, default=1, help="the first seed")
    parser.add_argument("--seeds", type=int, default=1, help="the number of seeds")
    parser.add_argument("--members", type=int, default=4, help="the number of members")
    parser.add_argument("--minutes", type=float, default=10.0, help="minutes of chain time per seed")
    parser.add_argument("--peg", action="store_true", help="a chain with a peg, over a fake Bitcoin with faults")
    parser.add_argument("--history", action="store_true", help="print everything that happened")
    parser.add_argument("--log", type=Path, help="a file of the seeds without violation: they are not run again")
    parser.add_argument("--without-lock", action="store_true", help="let the members ignore their locks")
    options = parser.parse_args(arguments)
    with without_lock() if options.without_lock else nullcontext():
        return run_all(options)


def run_all(options: argparse.Namespace) -> int:
    """Run the seeds, except those in the file of `options.log`, and return the exit status."""
    passed = 0
    for seed in range(options.seed, options.seed + options.seeds):
        name = f"--seed {seed} --members {options.members} --minutes {options.minutes:g}" + " --peg" * options.peg
        name += " --without-lock" * options.without_lock
        if options.log is not None and options.log.exists() and name in options.log.read_text().splitlines():
            passed += 1
            continue
        scenario = (draw_peg_scenario if options.peg else draw_scenario)(seed, options.members, options.minutes)
        if run(scenario, name, full=options.history):
            passed += 1
            if options.log is not None:
                with options.log.open("a") as log:
                    log.write(f"{name}\n")
    print(f"{passed} of {options.seeds} seeds broke no invariant")
    return 0 if passed == options.seeds else 1


def run(scenario: FederationScenario | PegScenario, name: str, *, full: bool) -> bool:
    """Run one scenario, print the result and, with `full`, the history. Returns whether no invariant was broken.

    `name` has the arguments that give the scenario.
    """
    begun = time.process_time()
    seed = name.split()[1]
    try:
        federation, peg = _run(scenario)
    except InvariantBroken as error:
        print(f"{scenario}\n{error}" if not full else f"{scenario}\n{error.history.shown()}\n{error}")
        print(
            f"seed {seed} BROKE an invariant; replay: python -m alysd.testing.federation {name} --history",
            flush=True,
        )
        return False
    history, busy = federation.world.history, time.process_time() - begun
    seconds = history.lines[-1].time
    if full:
        print(f"{scenario}\n{history.shown()}")
    speed = f"{seconds / 60:.1f} minutes of the chain, {seconds / busy:.0f} times as fast as real time"
    blocks = f"{len(federation.world.ledger.committed) - 1} blocks committed"
    recovery = f"slowest recovery {max(federation.recoveries)} slots"
    print(f"seed {seed}: {speed}; {blocks}, {recovery}{peg}; history {history.digest[:16]}", flush=True)
    return True


def _run(scenario: FederationScenario | PegScenario) -> tuple[SimulatedFederation, str]:
    """The federation after its end, and the history of its peg."""
    if isinstance(scenario, FederationScenario):
        return run_scenario(scenario), ""
    result = run_peg_scenario(scenario)
    return result.federation, f"; {result.counts}; all ended within {result.settled} slots"


if __name__ == "__main__":
    sys.exit(main())
