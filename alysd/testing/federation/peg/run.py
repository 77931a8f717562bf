"""Runs scenarios of a federation with a peg, and checks that everything ends after the faults."""

from collections.abc import Callable, Mapping
from contextlib import nullcontext
from functools import partial

import attrs
import trio

from alysd.testing.federation.peg.bitcoin import MemberBitcoin
from alysd.testing.federation.peg.scenario import BitcoinFault, BitcoinFaultKind, PegScenario
from alysd.testing.federation.peg.world import SimulatedPeg, repeatable_signatures
from alysd.testing.federation.run import rare_collections, run_round
from alysd.testing.federation.shared_work import shared_work
from alysd.testing.federation.simulation import InvariantBroken, SimulatedFederation, open_federation
from alysd.testing.virtual_time import run_virtually

SETTLE_SLOTS = 150
"""The number of slots after the last fault and the last user within which everything ends.

A deposit needs four blocks of Bitcoin, of some four slots each, and a block of Alys. A burn needs a proposal,
which may wait for the confirmation of payments before it, a proof of work (10 slots and more), and then as many
blocks as a deposit.
"""


@attrs.frozen
class PegResult:
    """A federation after its end, the number of slots until everything had ended, and the counts in words."""

    federation: SimulatedFederation
    settled: int
    counts: str


def run_peg_scenario(scenario: PegScenario, *, share: bool = True) -> PegResult:
    """Run a scenario on virtual time. Raises `InvariantBroken`. `share` is as in `run_scenario`."""
    one = scenario.federation

    async def main() -> PegResult:
        async with open_federation(
            one.members, one.seed, quality=one.quality, skews=one.skews, liars=one.liars, peg=scenario.liars
        ) as federation:
            peg = federation.world.peg
            if peg is None:
                raise TypeError("the federation was opened without a peg")
            for number, faults in enumerate(one.rounds):
                more = scenario.bitcoin[number]
                federation.world.history.note("", f"round {number + 1}: {'; '.join(map(str, (*faults, *more)))}")
                ends = [federation.begin(partial(_apply, federation, peg, fault)) for fault in more]
                await run_round(federation, faults, one.calm_slots)
                for end in ends:
                    await end.wait()
            settled = await settle(federation, peg)
            return PegResult(federation, settled, peg.counts())

    with shared_work() if share else nullcontext(), rare_collections(), repeatable_signatures():
        return run_virtually(main, seed=one.seed)


async def settle(federation: SimulatedFederation, peg: SimulatedPeg) -> int:
    """Wait until nothing is left to do. Returns the number of slots."""
    peg.users.busy = False
    federation.world.history.note("", "the users stop: everything has to end")
    left = ["nothing was looked at"]
    for passed in range(SETTLE_SLOTS + 1):
        heads = [one.life.store.forkchoice().safe for one in federation.honest if one.life is not None]
        left = [text for head in heads for text in peg.unsettled(head)]
        if not left:
            return passed
        await federation.slots(1)
    for text in dict.fromkeys(left):
        federation.world.ledger.broken(f"{SETTLE_SLOTS} slots after the last fault: {text}")
    raise InvariantBroken(federation.broken[:3], federation.world.history)


async def _apply(federation: SimulatedFederation, peg: SimulatedPeg, fault: BitcoinFault) -> None:
    seconds = federation.slot_seconds
    await trio.sleep(fault.after * seconds)
    federation.world.history.note("", f"begin of {fault}")
    nodes = [peg.nodes[index] for index in fault.members]
    for node in nodes:
        _FAULTS[fault.kind](node, peg)
    await trio.sleep(fault.slots * seconds)
    for node in nodes:
        _heal(node, peg)
    federation.world.history.note("", f"end of {fault}")


def _heal(node: MemberBitcoin, peg: SimulatedPeg) -> None:
    node.chain = peg.bitcoin
    node.down, node.delay, node.behind, node.pruned, node.downloading = None, 0.0, 0, 0, False
    node.garbage, node.refuse, node.extra = None, None, 0


def _dead(node: MemberBitcoin, _peg: SimulatedPeg) -> None:
    node.down = "connection refused"


def _slow(node: MemberBitcoin, peg: SimulatedPeg) -> None:
    node.delay = peg.users.choices.choice((0.1, 1.0, 9.0))


def _behind(node: MemberBitcoin, peg: SimulatedPeg) -> None:
    node.behind = min(peg.users.choices.choice((1, 2, 5)), peg.bitcoin.height)


def _cut_off(node: MemberBitcoin, peg: SimulatedPeg) -> None:
    node.chain = peg.bitcoin.snapshot()


def _garbage(node: MemberBitcoin, peg: SimulatedPeg) -> None:
    # A block that has a script of the federation is parsed, and found wrong.
    node.garbage = peg.bitcoin.spending.output_script + peg.users.choices.randbytes(50)


def _downloading(node: MemberBitcoin, _peg: SimulatedPeg) -> None:
    node.downloading = True


def _pruned(node: MemberBitcoin, peg: SimulatedPeg) -> None:
    node.pruned = peg.bitcoin.height + 1


def _refusing(node: MemberBitcoin, _peg: SimulatedPeg) -> None:
    node.refuse = "too many unconfirmed transactions"


def _fees(node: MemberBitcoin, peg: SimulatedPeg) -> None:
    node.extra = peg.users.choices.choice((-1_500, 6_000))


_FAULTS: Mapping[BitcoinFaultKind, Callable[[MemberBitcoin, SimulatedPeg], None]] = {
    "dead": _dead,
    "slow": _slow,
    "behind": _behind,
    "cut off": _cut_off,
    "garbage": _garbage,
    "downloading": _downloading,
    "pruned": _pruned,
    "refusing": _refusing,
    "fees": _fees,
}
