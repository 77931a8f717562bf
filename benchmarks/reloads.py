"""Reload the configuration of a running node at random while it makes blocks with transactions.

    python -m benchmarks.reloads [--reloads 300] [--seed 1]

A daemon with the development configuration gets transfers all the time. Its file is replaced by a random one, and
the control socket asks for a reload: with other values of some live options, of which some are invalid, or with a
file that is half written, of another chain, a pipe, or missing. After each, the configuration in force has to be
the last one that was accepted as a whole. The exit status is 1 if it ever is another, and after a missed slot.
"""

import argparse
import os
import random
import statistics
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory

import attrs
import trio

from alysd.testing.daemon import Daemon, daemon
from tests.integration.reload_steps import (
    CHOICES,
    asked,
    random_change,
    send_transactions,
    two_more_blocks,
    with_values,
    written,
)

SPOILED = ("half written", "of another chain", "a pipe", "missing")
"""The kinds of files that are no configuration of this node at all."""

SPOILED_SHARE = 0.2


@attrs.define
class Tally:
    """The reloads so far: their number by kind of file and outcome, the seconds of each, and the mistakes."""

    outcomes: Counter[str] = attrs.field(factory=Counter[str])
    seconds: list[float] = attrs.field(factory=list[float])
    wrong: list[str] = attrs.field(factory=list[str])


def spoil(kind: str, path: Path) -> None:
    """Replace the file at `path` by one that is no configuration of this node."""
    text = path.read_text()
    path.unlink()
    if kind == "half written":
        path.write_text(text[: len(text) // 2] + "\n[log")
    elif kind == "of another chain":
        chain = (path.parent / "chains/dev.toml").read_text().replace('"alys-dev"', '"other"')
        (path.parent / "chains/other.toml").write_text(chain)
        path.write_text(text.replace("chains/dev.toml", "chains/other.toml"))
    elif kind == "a pipe":
        os.mkfifo(path)


def restore(path: Path, accepted: Mapping[str, str]) -> None:
    """Write the last accepted configuration, in place of whatever is there."""
    path.unlink(missing_ok=True)
    with_values(path.parent, accepted)


async def reload_once(
    node: Daemon, path: Path, accepted: Mapping[str, str], rng: random.Random, tally: Tally
) -> Mapping[str, str]:
    """Reload a random file, and compare the configuration in force with the one that must be; return that one."""
    values, valid = random_change(rng, accepted)
    kind = rng.choice(SPOILED) if rng.random() < SPOILED_SHARE else "valid" if valid else "invalid values"
    with_values(path.parent, values)
    if kind in SPOILED:
        spoil(kind, path)
    begun = trio.current_time()
    answer = await asked(node, "reload_config")
    tally.seconds.append(trio.current_time() - begun)
    outcome = answer.get("error", "accepted")
    tally.outcomes[f"{kind}: {outcome}"] += 1
    if (outcome == "accepted") != (kind == "valid"):
        tally.wrong.append(f"{kind}: {answer}")
    accepted = values if kind == "valid" else accepted
    restore(path, accepted)
    if (compared := await asked(node, "compare_config")) != {"changes": []}:
        tally.wrong.append(f"after a file that was {kind}: {compared}")
    return accepted


async def measure(folder: Path, reloads: int, seed: int) -> bool:
    """Print the figures; returns whether all was as it must be."""
    rng, path, tally = random.Random(seed), written(folder / "conf"), Tally()  # noqa: S311  repeatable, no secret
    accepted: Mapping[str, str] = {key: values[0] for key, values in CHOICES.items()}
    with_values(path.parent, accepted)
    async with daemon(folder, config=path) as node:
        await two_more_blocks(node)
        before, began = await node.call("getheadblock"), trio.current_time()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(send_transactions, node)
            for _ in range(reloads):
                accepted = await reload_once(node, path, accepted, rng, tally)
                await trio.sleep(rng.random())  # at any moment of a slot
            nursery.cancel_scope.cancel()
        seconds, after = trio.current_time() - began, await node.call("getheadblock")
        status, metrics = await node.status(), (await node.client.get(f"{node.url}/metrics")).text
        events, stopped = node.events("slot_missed"), await node.stop()
    numbers = dict(line.split() for line in metrics.splitlines() if line.count(" ") == 1)
    missed = status["counts"]["slots_missed"]
    print(f"{reloads} reloads in {seconds:.0f} s, load {os.getloadavg()[0]:.1f}")
    for words, count in sorted(tally.outcomes.items()):
        print(f"  {words:40}{count:6}")
    print(f"a reload: median {statistics.median(tally.seconds):.3f} s, longest {max(tally.seconds):.3f} s")
    print(
        f"blocks: {after['height'] - before['height']}, slots missed: {missed}, transactions: "
        f"{float(numbers['alysd_produced_transactions_total']):,.0f}"
    )
    for event in events:
        print(f"  missed: {event['reason']}")
    print(f"the configuration in force was another than the last accepted one: {len(tally.wrong)} times")
    for words in tally.wrong[:10]:
        print(f"  {words}")
    return not tally.wrong and not missed and stopped == 0


def main() -> int:
    """Read the command line and measure."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--reloads", type=int, default=300, help="how many (300)")
    parser.add_argument("--seed", type=int, default=1, help="of the random choices (1)")
    options = parser.parse_args()
    with TemporaryDirectory() as folder:
        return 0 if trio.run(measure, Path(folder), options.reloads, options.seed) else 1


if __name__ == "__main__":
    raise SystemExit(main())
