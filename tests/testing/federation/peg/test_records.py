"""The records in memory answer exactly like the database on disk, and lose what a crash may lose."""

from pathlib import Path
from tempfile import TemporaryDirectory

from hypothesis import example, given, settings
from hypothesis import strategies as st

from alysd.integrations.lmdb_bitcoin import LmdbBitcoinRecords
from alysd.integrations.payment_record import SignedPayment
from alysd.testing.federation.disk import SimulatedDisk
from alysd.testing.federation.peg.records import MemoryBitcoinRecords, SimulatedRecord
from alysd.testing.virtual_time import seeded
from alysd.types.bitcoin_watch import (
    ConfirmedPayment,
    Expected,
    Finding,
    ReadBlock,
    SpendingDeposit,
    Uncredited,
    found_txid,
)
from alysd.types.federation_update import Holders
from alysd.types.hashes import BitcoinHash, EvmAddress, sha256
from alysd.types.peg import DepositOutput, OutPoint, PegIn, TransactionInput, TransactionOutput
from alysd.types.units import Sat
from alysd.wire.bitcoin_transaction import make_transaction

START = 5


def digest(text: str) -> BitcoinHash:
    return BitcoinHash(sha256(text.encode()))


def finding(kind: str, name: str) -> Finding:
    if kind == "deposit":
        return PegIn(digest(name), digest("block"), EvmAddress(b"\1" * 20), (DepositOutput(0, 0, Sat(7)),))
    if kind == "spending":
        paid = PegIn(digest(name), digest("block"), EvmAddress(b"\1" * 20), (DepositOutput(0, 0, Sat(9)),))
        return SpendingDeposit(paid, (1, 2), tuple(OutPoint(digest(name), at) for at in range(int(name) % 2)))
    if kind == "uncredited":
        return Uncredited(digest(name), digest("block"), Sat(7), "no recipient")
    spent = TransactionInput(OutPoint(digest(name), 0), b"", 0)
    made = make_transaction(2, [spent], [TransactionOutput(Sat(7), b"\x51")], 0)
    return ConfirmedPayment(
        made, digest("block"), tuple(OutPoint(digest(name), at) for at in range(int(name) % 3))
    )


STEPS = st.lists(
    st.one_of(
        st.just("remove"),
        st.just("restart"),
        st.just("lose"),
        st.just("sign"),
        st.just("tell"),
        st.lists(
            st.tuples(st.sampled_from(("deposit", "spending", "uncredited", "payment")), st.integers(0, 9)),
            max_size=3,
        ),
        st.tuples(st.integers(0, 3), st.sampled_from(("deposit", "spending")), st.integers(0, 9)),
    ),
    max_size=12,
)


@settings(max_examples=40, deadline=None)
@example([[], [("deposit", 1)], (0, "deposit", 2)])
@given(STEPS)
def test_both_databases_give_the_same_answers(
    steps: list[str | list[tuple[str, int]] | tuple[int, str, int]],
) -> None:
    everything = [
        finding(kind, str(at)) for kind in ("deposit", "spending", "uncredited", "payment") for at in range(10)
    ]
    txids = list(dict.fromkeys(found_txid(one) for one in everything))
    with TemporaryDirectory() as folder:
        disk = LmdbBitcoinRecords.open(Path(folder), "chain", map_bytes=256 * 1024)
        session = SimulatedDisk().open()
        memory = MemoryBitcoinRecords(session)
        chain: list[tuple[BitcoinHash, list[Finding]]] = []
        for number, step in enumerate(steps):
            if isinstance(step, list):
                taken = {found_txid(one) for _, found in chain for one in found}
                fresh = {found_txid(one): one for kind, at in step if (one := finding(kind, str(at)))}
                found = [one for txid, one in fresh.items() if txid not in taken]
                previous = chain[-1][0] if chain else digest("before")
                block = ReadBlock(
                    START + len(chain), digest(f"block {number}"), previous, 7 * (len(chain) // 2), tuple(found)
                )
                disk.add([block], 2)
                memory.add([block], 2)
                chain.append((block.hash, found))
            elif isinstance(step, tuple):
                place, kind, at = step
                new = finding(kind, str(at))
                taken = {found_txid(one) for _, found in chain for one in found}
                if place >= len(chain) or found_txid(new) in taken:
                    continue
                name, found = chain[place]
                found.append(new)
                previous = chain[place - 1][0] if place else digest("before")
                block = ReadBlock(START + place, name, previous, 7 * (place // 2), tuple(found))
                disk.add_again(block)
                memory.add_again(block)
            elif step == "remove" and chain:
                disk.remove_newest()
                memory.remove_newest()
                chain.pop()
            elif step == "lose":
                lost = [Expected(txids[0], Sat(7)), Expected(txids[-1], None)]
                disk.note_lost(lost)
                memory.note_lost(lost)
            elif step == "tell":
                told = (Holders((b"\1" * 32,)), Holders((b"\2" * 32, b"\3" * 32), number))
                memory.note_told(told)
                disk.note_told(told)
            elif step == "sign":
                some = txids[number % 3 : number % 3 + 2]
                assert memory.note_signed(some, number) == disk.note_signed(some, number)
            elif step == "restart":
                session.sync()
                session = session.disk.open()
                memory = MemoryBitcoinRecords(session)
            assert memory.newest() == disk.newest()
            assert memory.told() == disk.told()
            assert memory.find(txids) == disk.find(txids)
            expected = [Expected(txid, amount) for txid in txids for amount in (None, Sat(7))]
            for highest in (START, START + 2):
                assert memory.lost(b"", highest, 3) == disk.lost(b"", highest, 3)
                assert memory.missing(expected, highest) == disk.missing(expected, highest)
            for after in (0, 2):
                for highest in (START, START + 2):
                    assert memory.deposits(after, highest, 2) == disk.deposits(after, highest, 2)
                assert memory.uncredited(after, 2) == disk.uncredited(after, 2)
                assert memory.spends(after, 3) == disk.spends(after, 3)
            for height in range(START - 1, START + 4):
                assert memory.hash_at(height) == disk.hash_at(height)
                assert memory.median_at(height) == disk.median_at(height)
                assert memory.first_from(height) == disk.first_from(height)
        disk.close()


def test_a_crash_keeps_the_oldest_of_what_was_not_synced() -> None:
    kept: set[int] = set()
    for seed in range(20):
        disk = SimulatedDisk()
        session = disk.open()
        record = SimulatedRecord(session)
        for number in range(3):
            record.add(SignedPayment(digest(str(number)), digest("payment"), 7, Sat(1), ()))
        assert session.dirty
        session.crash(seeded(seed))
        session.sync()
        again = SimulatedRecord(disk.open())
        found = [again.has(digest(str(number))) for number in range(3)]
        assert found == sorted(found, reverse=True)
        kept.add(sum(found))
    assert kept == {0, 1, 2, 3}


def test_the_record_forbids_a_second_payment_from_an_output_unless_the_signer_is_careless() -> None:
    outputs = (OutPoint(digest("coin"), 0),)
    for careless in (False, True):
        record = SimulatedRecord(SimulatedDisk().open(), careless=careless)
        record.add(SignedPayment(digest("version"), digest("payment"), 7, Sat(1), outputs))
        taken = record.other_payment(digest("another"), outputs)
        assert taken == (None if careless else outputs[0])
