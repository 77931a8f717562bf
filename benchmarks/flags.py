"""Measures the evaluation of a feature flag: `python -m benchmarks.flags`. The bound is 1 µs."""

import timeit

from alysd.config.flags import Flags

EVALUATIONS = 1_000_000


def main() -> None:
    """Print the time of one evaluation, for a flag that is looked up by its name and for one that is kept."""
    flags = Flags()
    flags["engine_compare"].use(25)
    kept = flags["engine_compare"]
    for words, call in (
        ("by name", lambda: flags["engine_compare"].on(1_234_567)),
        ("kept", lambda: kept.on(1_234_567)),
    ):
        best = min(timeit.repeat(call, number=EVALUATIONS, repeat=5)) / EVALUATIONS
        print(f"{words}: {best * 1e6:.2f} µs")


if __name__ == "__main__":
    main()
