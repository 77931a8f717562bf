"""Withdrawals that pay fees are told from mints, also where they look alike."""

from collections.abc import Mapping, Sequence
from random import Random

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from alysd.audit.fees import MAX_STEPS, readings
from alysd.audit.reconcile import reconcile_all
from alysd.audit.records import (
    AlysFindings,
    AlysRecords,
    BitcoinFindings,
    BlockWithdrawals,
    Deposited,
    FederationRecord,
    PegTerms,
)
from alysd.testing.virtual_time import seeded
from alysd.types.hashes import BitcoinHash, EvmAddress, sha256
from alysd.types.peg import OutPoint
from alysd.types.units import GWEI_PER_SAT, Height, Sat
from tests.thorough import cases

ALICE, MINER = EvmAddress(b"\xa1" * 20), EvmAddress(b"\x0e" * 20)
MEMBERS = tuple(EvmAddress(bytes([number]) * 20) for number in (1, 2))
FEDERATIONS = (FederationRecord(b"", MEMBERS, Height(0)),)
GWEI = 10**9
TERMS = PegTerms(peg_out_minimum=Sat(1_000), service_fee=Sat(10), max_fee_rate=500_000)
ENOUGH = {ALICE: 10**15}
Entries = Sequence[tuple[EvmAddress, int]]


@attrs.define
class Chain:
    """A chain as the rules make it. `minted` are the true mints, in order."""

    blocks: list[BlockWithdrawals] = attrs.field(factory=list[BlockWithdrawals])
    sums: list[tuple[Height, int]] = attrs.field(factory=list[tuple[Height, int]])
    minted: list[tuple[int, EvmAddress, int]] = attrs.field(factory=list[tuple[int, EvmAddress, int]])
    unpaid: int = 0
    height: int = 0

    def add(self, *mints: tuple[EvmAddress, int], fees: int = 0, proof: bool = False) -> Entries:
        """A block with these mints in gwei and priority fees in wei; returns its fee withdrawals."""
        self.height += 1
        paid: list[tuple[EvmAddress, int]] = []
        if proof:
            paid = shares(self.unpaid)
            self.unpaid = 0
        if paid or mints:
            self.blocks.append(BlockWithdrawals(Height(self.height), (*paid, *mints)))
        self.minted += [(self.height, to, gwei // GWEI_PER_SAT) for to, gwei in mints]
        if fees:
            self.sums.append((Height(self.height), fees + (self.sums[-1][1] if self.sums else 0)))
        self.unpaid += fees
        return paid

    @property
    def records(self) -> AlysRecords:
        return AlysRecords(Height(self.height), (), tuple(self.blocks), tuple(self.sums), Sat(0))

    def read_as(self, federations: Sequence[FederationRecord]) -> AlysFindings:
        return next(iter(readings(self.records, federations, ENOUGH)))

    def read(self, most: Mapping[EvmAddress, int] = ENOUGH) -> list[AlysFindings]:
        return list(readings(self.records, FEDERATIONS, most))


def shares(unpaid: int) -> list[tuple[EvmAddress, int]]:
    """The fee withdrawals of section "Fees" of docs/protocol.md."""
    each = unpaid * 20 // (100 * GWEI * len(MEMBERS))
    found = [(MINER, unpaid * 80 // (100 * GWEI)), *((one, each) for one in MEMBERS)]
    return [(to, gwei) for to, gwei in found if gwei]


def mints(found: AlysFindings) -> list[tuple[int, EvmAddress, int]]:
    return [(one.block, one.recipient, one.amount) for one in found.withdrawals]


def test_fees_are_told_from_mints() -> None:
    chain = Chain()
    chain.add(fees=1_000 * GWEI)
    chain.add((ALICE, 50))
    chain.add((ALICE, 70), fees=100 * GWEI, proof=True)
    chain.add(proof=True)
    found = chain.read()[0]
    assert [one.amount for one in found.withdrawals] == [5, 7]
    assert found.fees == 1_100
    assert not found.problems


def test_the_fees_go_to_the_addresses_of_the_federation_in_force() -> None:
    """From the height of a change on, other members get them, and maybe more of these."""
    later = tuple(EvmAddress(bytes([number]) * 20) for number in (1, 3, 4))
    chain = Chain()
    chain.add(fees=1_000 * GWEI)
    chain.add(fees=1_000 * GWEI, proof=True)
    chain.height += 1
    chain.blocks.append(BlockWithdrawals(Height(3), ((MINER, 800), *((one, 66) for one in later))))
    changed = (*FEDERATIONS, FederationRecord(b"", later, Height(3)))
    assert (chain.read_as(changed).withdrawals, chain.read_as(changed).fees) == ((), 800 + 200 + 800 + 198)
    assert chain.read_as(FEDERATIONS).problems, "the later members get gwei that nothing explains"
    too_late = (*FEDERATIONS, FederationRecord(b"", later, Height(4)))
    assert chain.read_as(too_late).problems


def test_a_proof_without_fees_to_pay_is_not_seen_and_confuses_nothing() -> None:
    """The fees of the second block are too small to be paid; the third may have taken them with it, or not."""
    chain = Chain()
    chain.add(fees=GWEI)
    chain.add(proof=True)
    chain.add(fees=10 * GWEI)
    chain.add(proof=True)
    assert [(found.withdrawals, found.fees) for found in chain.read()] == [((), 10)] * 2


def test_withdrawals_that_are_neither_fees_nor_whole_sat_are_a_problem() -> None:
    chain = Chain()
    chain.add(fees=1_000 * GWEI)
    chain.add((MINER, 791), *((member, 100) for member in MEMBERS))
    (found,) = chain.read()
    assert (len(found.withdrawals), found.fees) == (3, 0)
    assert "block 2 mints 791 gwei" in found.problems[0]
    assert "neither fees nor whole sat" in found.problems[0]


def disguised() -> Chain:
    """Three deposits that are minted in a block as the unpaid fees would be, and the fees one block later."""
    chain = Chain()
    chain.add(fees=10**5 * GWEI)
    chain.add(*shares(chain.unpaid), fees=100 * GWEI)
    chain.add(proof=True, fees=7 * GWEI)
    chain.add(proof=True)
    return chain


@pytest.mark.parametrize("missing", [0, 1])
def test_mints_that_look_like_the_fees_are_told_by_the_deposits(missing: int) -> None:
    """The audit took them for the fees, and the fees for mints without deposits: it failed for ever."""
    chain = disguised()
    deposits = [
        Deposited(BitcoinHash(sha256(to)), 1, to, Sat(gwei // GWEI_PER_SAT - missing))
        for to, gwei in chain.blocks[0].entries
    ]
    held = sum(one.amount for one in deposits)
    coins = {OutPoint(deposits[0].txid, 0): Sat(held)}
    bitcoin = BitcoinFindings(9, tuple(deposits), (), (), coins, ())
    report, found = reconcile_all(bitcoin, chain.records, TERMS, {}, FEDERATIONS)
    assert report.equal is (not missing)
    if not missing:
        assert (report.open, found.fees) == (0, 100_100 + 5)
        assert {one.block for one in found.withdrawals} == {2}


@settings(max_examples=cases(150, 5_000), deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_the_true_reading_is_always_among_the_readings(seed: int) -> None:
    """Fees of all sizes, proofs that cannot be seen, and mints of exactly the unpaid fees."""
    random = seeded(seed)
    chain = Chain()
    for _ in range(random.randint(1, 12)):
        made: Entries = ()
        if random.random() < 0.5:
            made = [(ALICE, 10 * random.randint(1, 3)) for _ in range(random.randint(1, 2))]
        elif random.random() < 0.5:
            made = [one for one in shares(chain.unpaid) if not one[1] % GWEI_PER_SAT]
        fees = random.choice((0, 1, GWEI, GWEI + GWEI // 4, 50 * GWEI, 100 * GWEI, 1_000 * GWEI))
        chain.add(*made, fees=fees, proof=random.random() < 0.4)
    most = {ALICE: 10**9, MINER: 10**9, **dict.fromkeys(MEMBERS, 10**9)}
    found = chain.read(most)
    assert chain.minted in [mints(one) for one in found]
    total = sum(gwei for block in chain.blocks for _, gwei in block.entries)
    for one in found[:-1]:
        assert one.fees + GWEI_PER_SAT * sum(mint.amount for mint in one.withdrawals) == total
        assert not one.problems


def test_nobody_mints_more_than_the_unpaid_fees_by_calling_it_fees() -> None:
    """Fees that were paid once are not unpaid any more."""
    chain = Chain()
    chain.add(fees=1_000 * GWEI)
    fees = chain.add(proof=True)
    chain.add(*fees)
    found = chain.read({})
    assert all(len(one.withdrawals) == len(fees) for one in found)
    assert all(one.fees == sum(gwei for _, gwei in fees) for one in found)


def test_many_blocks_that_look_alike_end_the_search() -> None:
    """Each of them may or may not be fees, and the last one is neither."""
    chain = Chain()
    random = Random(1)  # noqa: S311  a fixed order
    for _ in range(60):
        chain.add(fees=10**3 * GWEI * random.randint(1, 9))
        chain.add(*shares(chain.unpaid))
    chain.add((MINER, 3))
    most = {MINER: 10**15, **dict.fromkeys(MEMBERS, 10**15)}
    assert len(chain.blocks) * 2 < MAX_STEPS
    (found,) = chain.read(most)
    assert "mints 3 gwei" in found.problems[0]
