"""Run four daemons joined by slow links, and tell what their chain does: undisturbed, with full blocks, in faults.

    python -m benchmarks.federation [--only quiet full heavy faults] [--minutes 30] [--clients] [--folder DIR]

"quiet" is the time without faults and with empty blocks, "full" the same with blocks of 200 KB, and "heavy" with
blocks whose contracts compute as long as a block may take to build. "faults" takes some fifteen minutes. With
--clients, member 2 uses geth and member 3 EthereumJS.
"""

import argparse
import json
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack
from pathlib import Path

import trio

from alysd.commands.federation_files import open_federation
from alysd.testing import components
from alysd.testing.components import ExecutionProcess
from benchmarks.federation.chains import chain_of, conflicts, finality_conflicts
from benchmarks.federation.faults import NAMES, Faults, slot_at
from benchmarks.federation.feeder import FULL, HEAVY, Feeder
from benchmarks.federation.folders import add_folder, run_in_folder
from benchmarks.federation.members import Federation, federation
from benchmarks.federation.report import fault_rows, filled, latency, missed_slots
from benchmarks.federation.watch import Watch, level

PARTS = ("quiet", "full", "heavy", "faults")
LOADS = {"full": FULL, "heavy": HEAVY}
MEMBERS = 4
START_SECONDS = 240.0
"""The longest wait for the first common blocks: four daemons start within 20 s on an idle machine."""

JWT = bytes(range(32))


async def measure(options: argparse.Namespace, folder: Path) -> bool:
    """Run the parts and print their tables; returns whether the chains of all members agree."""
    async with AsyncExitStack() as stack:
        open_federation(folder / "federation", MEMBERS)
        settings = await client_settings(folder, stack) if options.clients else {}
        running = await stack.enter_async_context(
            federation(folder / "federation", MEMBERS, options.delay / 1000, options.jitter / 1000, settings)
        )
        watch = Watch(running)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(watch.run)
            if not await watch.until(lambda newest: level(newest, range(1, MEMBERS + 1), 4), START_SECONDS):
                raise TimeoutError(f"no common blocks after {START_SECONDS:.0f} s: see the logs in {folder}")
            for part in options.only:
                print(f"\n## {part}\n", flush=True)
                await _part(part, running, watch, 60 * options.minutes, options.faults)
            safe = await _safety(running, watch)
            nursery.cancel_scope.cancel()
        return safe


async def _part(part: str, running: Federation, watch: Watch, seconds: float, faults: Sequence[str]) -> None:
    if part == "faults":
        outcomes = await Faults(running, watch).run(faults, lambda outcome: print(f"… {outcome}", flush=True))
        print(fault_rows(outcomes, await chain_of(running.members[1]), MEMBERS), flush=True)
        return
    watch.slots.clear()
    watch.waited.clear()
    watch.loads.clear()
    first = slot_at(time.time()) + 1
    with trio.move_on_after(seconds):
        if part in LOADS:
            await Feeder(running, LOADS[part]).run()
        await trio.sleep_forever()
    end = slot_at(time.time()) - 2
    chain = await chain_of(running.members[1])
    print(missed_slots(running, watch, chain, first, end))
    print(filled(chain.transactions_between(first, end)))
    slots = {slot: records for slot, records in watch.slots.items() if first <= slot < end}
    print(latency(slots, MEMBERS), flush=True)


async def _safety(running: Federation, watch: Watch) -> bool:
    members = list(running.members.values())
    chains = [await chain_of(member) for member in members]
    problems = [*conflicts(chains, watch.samples), *await finality_conflicts(members)]
    heights = ", ".join(str(len(chain.hashes) - 1) for chain in chains)
    print(f"\nheads {heights}; {len(watch.samples)} looks at the members; conflicts: {len(problems)}")
    for problem in problems:
        print(f"- {problem}")
    return not problems


async def client_settings(folder: Path, stack: AsyncExitStack) -> dict[int, Sequence[str]]:
    """Start geth for member 2 and EthereumJS for member 3; returns the options of these members.

    The federation's files must be in `folder`.
    """
    genesis = json.loads((folder / "federation/chain/chain.genesis.json").read_text())
    geth = await stack.enter_async_context(components.geth(folder, genesis, JWT))
    ethereumjs = await stack.enter_async_context(components.ethereumjs(folder, genesis, JWT))
    return {2: _settings(geth), 3: _settings(ethereumjs)}


def _settings(client: ExecutionProcess) -> Sequence[str]:
    return (
        "engine.mode=engine-api",
        f"engine.url={client.eth_url}",
        f"engine.engine_url={client.engine_url}",
        f"engine.jwt_secret_file={client.jwt_file}",
    )


def main() -> int:
    """Read the command line and measure; the exit status is 1 if the chains of two members conflict."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--only", nargs="+", choices=PARTS, default=PARTS, help="the parts to run (all)")
    parser.add_argument("--minutes", type=float, default=30, help="minutes of each part but the faults (30)")
    parser.add_argument("--delay", type=float, default=50, help="milliseconds between two members (50)")
    parser.add_argument("--jitter", type=float, default=20, help="milliseconds, more or less (20)")
    parser.add_argument("--clients", action="store_true", help="geth for member 2, EthereumJS for member 3")
    parser.add_argument("--faults", nargs="+", choices=NAMES, default=NAMES, help="the faults to do (all)")
    add_folder(parser)
    options = parser.parse_args()
    return run_in_folder(measure, options)


if __name__ == "__main__":
    raise SystemExit(main())
