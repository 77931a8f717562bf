"""The contract of `ports.Store`: what every implementation does, the database on disk and the one in memory."""

from collections.abc import Generator
from pathlib import Path

import attrs
import pytest

from alysd.consensus.auxpow import aux_hash
from alysd.errors import Corrupt, NoProof, NotFinal
from alysd.integrations.lmdb_store import LmdbStore
from alysd.peg.operations import LedgerView
from alysd.ports import Store
from alysd.testing.blocks import MINER, make_header
from alysd.testing.chain import chain_spec
from alysd.testing.federation.disk import SimulatedDisk
from alysd.testing.federation.memory_store import MemoryStore
from alysd.types.chain import ChainState, ExecutedBlock, FinalityProof, Forkchoice, PlacedBlock
from alysd.types.federation_update import FederationUpdate
from alysd.types.hashes import AuxHash, BitcoinHash, BlockHash
from alysd.types.peg import Payment, PaymentVersion
from alysd.types.peg_history import PaidRequest, Refunded
from alysd.types.tables import EntryChange, Proof, Table
from alysd.types.units import Height, Sat, Slot
from alysd.wire.block_ssz import block_hash, encode_block
from tests.integrations.stored_blocks import HAND, child, placement
from tests.samples import evidence


@pytest.fixture(params=["lmdb", "memory"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Generator[Store]:
    if request.param == "lmdb":
        opened: Store = LmdbStore.open(tmp_path / "chain", HAND.genesis, HAND.genesis_state)
    else:
        opened = MemoryStore(HAND.genesis, HAND.genesis_state, SimulatedDisk().open())
    yield opened
    opened.close()


def test_a_new_database_holds_the_genesis_block(store: Store) -> None:
    assert store.block_by_height(Height(0)) == HAND.genesis
    assert store.block_by_hash(HAND.genesis.hash) == HAND.genesis
    chain = store.load_chain()
    assert chain.states == (HAND.genesis_state,)
    assert chain.final == HAND.genesis.hash


def test_a_block_off_the_canonical_branch_is_kept_but_has_no_height(store: Store) -> None:
    signed, state = child(HAND.genesis_state, 5)
    store.commit_blocks([(ExecutedBlock(signed, state, ()), placement(HAND.genesis_state))])
    assert store.block_by_hash(signed.hash) == signed
    assert store.block_by_height(Height(1)) is None
    assert state in store.load_chain().states


def test_several_blocks_are_committed_in_order(store: Store) -> None:
    one, state_one = child(HAND.genesis_state, 5)
    two, state_two = child(state_one, 6)
    placed = [(one, state_one), (two, state_two)]
    store.commit_blocks([(ExecutedBlock(*each, ()), placement(each[1], each[1])) for each in placed])
    assert store.commits == 2
    assert [block.hash for block in store.canonical_range(Height(1), 10)] == [one.hash, two.hash]
    assert store.forkchoice().head == state_two


def test_a_shorter_branch_that_wins_leaves_no_higher_canonical_block(store: Store) -> None:
    one, state_one = child(HAND.genesis_state, 5)
    two, state_two = child(state_one, 6)
    other, state_other = child(HAND.genesis_state, 7)
    store.commit_blocks([(ExecutedBlock(one, state_one, ()), placement(state_one, state_one))])
    store.commit_blocks([(ExecutedBlock(two, state_two, ()), placement(state_two, state_two))])
    store.commit_blocks([(ExecutedBlock(other, state_other, ()), placement(state_other, state_other))])
    assert store.block_by_height(Height(1)) == other
    assert store.block_by_height(Height(2)) is None
    assert [block.hash for block in store.canonical_range(Height(0), 10)] == [HAND.genesis.hash, other.hash]


def test_a_block_is_read_with_its_place_in_the_chain(store: Store) -> None:
    """A pool pays its miners by what it reads here."""
    assert store.commits == 0
    one, state_one = child(HAND.genesis_state, 5)
    store.commit_blocks([(ExecutedBlock(one, state_one, ()), placement(state_one, state_one))])
    two, state_two = child(state_one, 6)
    work = AuxHash(b"\x07" * 32)
    proof = Proof(two.hash, Height(2), work)
    changes = (EntryChange(Table.PROOFS, one.hash, proof), EntryChange(Table.WORKS, work, proof))
    final = placement(state_two, state_two, final=state_one)
    store.commit_blocks([(ExecutedBlock(two, state_two, changes), final)])
    off, state_off = child(state_one, 7)
    store.commit_blocks([(ExecutedBlock(off, state_off, ()), placement(state_two, final=state_one))])
    assert store.commits == 3
    tip = Forkchoice(head=state_two, safe=state_one, finalized=state_one)
    assert store.forkchoice() == tip
    assert store.placed_by_height(None) == PlacedBlock(two, tip, True, None, None)
    assert store.placed_by_height(Height(1)) == PlacedBlock(one, tip, True, proof, None)
    assert store.placed_by_height(Height(3)) is None
    assert store.placed_by_hash(off.hash, False) == PlacedBlock(off, tip, False, None, None)
    assert store.placed_by_hash(BlockHash(work), True) == PlacedBlock(two, tip, True, None, None)
    assert store.placed_by_hash(BlockHash(work), False) is None


def finalizing(store: Store, *, work: AuxHash | None = None) -> tuple[list[ChainState], FinalityProof]:
    """Store three blocks. The third includes a proof for the first two, or for `work`."""
    one, state_one = child(HAND.genesis_state, 5)
    two, state_two = child(state_one, 6)
    header = make_header(state_two, [state_one, state_two], chain_spec(), 2)
    assert header.auxpow is not None
    plain, _ = child(state_two, 7)
    block = attrs.evolve(plain.block, auxpow_header=header)
    three = attrs.evolve(plain, block=block, hash=block_hash(block))
    state_three = attrs.evolve(state_two, hash=three.hash, parent_hash=two.hash, height=Height(3), slot=Slot(7))
    proof = Proof(three.hash, Height(3), work or aux_hash([one.hash, two.hash], MINER))
    changes = tuple(EntryChange(Table.PROOFS, each.hash, proof) for each in (one, two))
    store.commit_blocks([(ExecutedBlock(one, state_one, ()), placement(state_one, state_one))])
    store.commit_blocks([(ExecutedBlock(two, state_two, ()), placement(state_two, state_two))])
    store.commit_blocks(
        [(ExecutedBlock(three, state_three, changes), placement(state_three, state_three, final=state_two))]
    )
    expected = FinalityProof((one.hash, two.hash), header, header.auxpow, proof)
    return [state_one, state_two, state_three], expected


def test_the_proof_of_finality_is_read_with_the_hashes_of_its_range(store: Store) -> None:
    """Nobody could check the proof without the hashes of all blocks that it covers."""
    states, expected = finalizing(store)
    assert [store.finality_proof(state.hash) for state in states[:2]] == [expected, expected]
    with pytest.raises(NotFinal, match="at height 3 is not final: the last final block has height 2"):
        store.finality_proof(states[2].hash)
    with pytest.raises(NoProof, match="genesis block"):
        store.finality_proof(HAND.genesis.hash)
    assert store.finality_proof(BlockHash(b"\x77" * 32)) is None
    off, state_off = child(HAND.genesis_state, 8)
    store.commit_blocks([(ExecutedBlock(off, state_off, ()), placement(states[2], final=states[1]))])
    with pytest.raises(NoProof, match="abandoned"):
        store.finality_proof(off.hash)


def test_a_proof_that_is_not_for_the_blocks_of_its_range_is_damage(store: Store) -> None:
    states, _ = finalizing(store, work=AuxHash(b"\x07" * 32))
    with pytest.raises(Corrupt, match="does not include the proof of the work 0707"):
        store.finality_proof(states[0].hash)


def test_what_is_below_the_final_blocks_own_final_block_is_not_loaded(store: Store) -> None:
    state, states = HAND.genesis_state, [HAND.genesis_state]
    for slot in range(1, 7):
        signed, state = child(state, slot, last_final=states[slot // 3].hash, last_final_height=Height(slot // 3))
        states.append(state)
        store.commit_blocks([(ExecutedBlock(signed, state, ()), placement(state, state, final=states[slot // 2]))])
    chain = store.load_chain()
    assert chain.final == states[3].hash
    assert chain.states == tuple(states[1:])


def test_a_range_is_bounded_by_count_and_by_the_head(store: Store) -> None:
    state = HAND.genesis_state
    for slot in range(1, 6):
        signed, state = child(state, slot)
        store.commit_blocks([(ExecutedBlock(signed, state, ()), placement(state, state))])
    heights = [block.block.height for block in store.canonical_range(Height(2), 3)]
    assert heights == [2, 3, 4]
    assert [block.block.height for block in store.canonical_range(Height(4), 9)] == [4, 5]
    assert store.canonical_range(Height(6), 9) == ()


def test_stored_blocks_are_read_as_they_are_encoded_up_to_a_size(store: Store) -> None:
    """Peers get them: decoding and hashing them took a whole core."""
    state, blocks = HAND.genesis_state, [HAND.genesis]
    for slot in range(1, 6):
        signed, state = child(state, slot)
        store.commit_blocks([(ExecutedBlock(signed, state, ()), placement(state, state))])
        blocks.append(signed)
    encoded = tuple(encode_block(one) for one in blocks)
    every = sum(map(len, encoded))
    assert store.encoded_range(Height(0), 9, every) == encoded
    assert store.encoded_range(Height(2), 3, every) == encoded[2:5]
    assert store.encoded_range(Height(6), 9, every) == store.encoded_range(Height(2**64 - 1), 1, every) == ()
    assert store.encoded_range(Height(1), 9, len(encoded[1])) == encoded[1:3]
    assert store.encoded_range(Height(1), 9, len(encoded[1]) - 1) == encoded[1:2]
    hashes = [blocks[4].hash, BlockHash(bytes(32)), blocks[1].hash]
    assert store.encoded_blocks(hashes, every) == (encoded[4], encoded[1])
    assert store.encoded_blocks(hashes, 0) == (encoded[4],)


def test_entries_become_readable_when_their_block_is_final_and_only_then(store: Store) -> None:
    key, gone = b"\x07" * 32, b"\x08" * 32
    one, state_one = child(HAND.genesis_state, 5)
    two, state_two = child(state_one, 6)
    other, state_other = child(HAND.genesis_state, 7)
    here, there = Proof(one.hash, Height(1), AuxHash(bytes(32))), Proof(other.hash, Height(1), AuxHash(bytes(32)))
    write = (EntryChange(Table.PROOFS, key, here), EntryChange(Table.PROOFS, gone, here))
    store.commit_blocks([(ExecutedBlock(one, state_one, write), placement(state_one, state_one))])
    wrong = (EntryChange(Table.PROOFS, key, there),)
    store.commit_blocks([(ExecutedBlock(other, state_other, wrong), placement(state_one))])
    assert store.final_entries([(Table.PROOFS, key), (Table.PROOFS, gone)]) == (None, None)
    assert store.load_chain().changes == {one.hash: write, other.hash: wrong}

    delete = (EntryChange(Table.PROOFS, gone, None),)
    final = placement(state_two, state_two, final=state_one)
    store.commit_blocks([(ExecutedBlock(two, state_two, delete), final)])
    assert store.final_entries([(Table.PROOFS, key), (Table.PROOFS, gone)]) == (here, here)
    assert store.load_chain().changes == {two.hash: delete}
    assert store.forkchoice().finalized == state_one

    store.commit_blocks([(ExecutedBlock(two, state_two, delete), placement(state_two, final=state_two))])
    assert store.final_entries([(Table.PROOFS, key), (Table.PROOFS, gone)]) == (here, None)
    assert store.load_chain().changes == {}
    # The same block once more, now that it is final: nothing is left to apply.
    store.commit_blocks([(ExecutedBlock(two, state_two, delete), placement(state_two, final=state_two))])
    assert store.load_chain().changes == {}


def test_an_unknown_hash_is_none(store: Store) -> None:
    assert store.block_by_hash(BlockHash(bytes(32))) is None


def test_evidence_is_kept_once_in_the_order_of_its_slots(store: Store) -> None:
    """A member that has lied would look honest after a restart."""
    later, earlier = evidence(9, 0, 2), evidence(7, 1)
    for one in (later, earlier, later):
        store.keep_evidence(one)
    assert store.evidence() == (earlier, later)


def test_changes_of_the_federation_that_wait_replace_those_before(store: Store) -> None:
    """A change that governance has sent once would be lost with a restart."""
    first, second = (FederationUpdate(1, Height(height), "members") for height in (500, 600))
    assert store.updates() == ()
    store.keep_updates((first, second))
    assert store.updates() == (first, second)
    store.keep_updates((second,))
    assert store.updates() == (second,)


def test_the_ledger_is_read_as_of_the_head_and_of_the_final_block(store: Store) -> None:
    """An operation of an abandoned branch must not be shown, nor the payment of a block that is undone."""
    key, other = b"\0" * 7 + b"\x01", b"\0" * 7 + b"\x02"
    one, state_one = child(HAND.genesis_state, 5)
    refunded = EntryChange(Table.REFUNDED, key, Refunded(Height(1)))
    store.commit_blocks([(ExecutedBlock(one, state_one, (refunded,)), placement(state_one, state_one))])
    two, state_two = child(state_one, 6)
    again = EntryChange(Table.REFUNDED, other, Refunded(Height(2)))
    gone = EntryChange(Table.REFUNDED, key, None)
    store.commit_blocks([(ExecutedBlock(two, state_two, (again, gone)), placement(state_two, state_two))])
    aside, state_aside = child(state_one, 5 + 4)
    wrong = EntryChange(Table.REFUNDED, other, Refunded(Height(9)))
    store.commit_blocks([(ExecutedBlock(aside, state_aside, (wrong,)), placement(state_two))])

    def read(view: LedgerView) -> tuple[object, ...]:
        found = (view.get(Table.REFUNDED, name) for name in (key, other))
        return (*found, view.get_final(Table.REFUNDED, other), view.payments(), view.state_at(Height(1)))

    assert store.read_ledger(read) == (None, Refunded(Height(2)), None, [], state_one)


def test_the_payments_are_those_of_the_heads_branch(store: Store) -> None:
    """One that a block has confirmed would be shown as on its way, and one of another branch as proposed."""

    def payment(name: int, *, gone: bool = False) -> EntryChange:
        txid = BitcoinHash(bytes([name]) * 32)
        made = Payment((), (), Sat(0), 0, Sat(0), (PaymentVersion(txid, Sat(name), None),))
        return EntryChange(Table.PAYMENTS, txid, None if gone else made)

    one, state_one = child(HAND.genesis_state, 5)
    # The names of the tables around it, whose entries are no payments.
    beside = (
        EntryChange(Table.PAID, bytes(8), PaidRequest(BitcoinHash(bytes(32)), Height(1), Sat(1))),
        EntryChange(Table.PROOFS, bytes(32), Proof(state_one.hash, Height(1), AuxHash(bytes(32)))),
    )
    store.commit_blocks([(ExecutedBlock(one, state_one, (payment(3), payment(1), *beside)), placement(state_one))])
    two, state_two = child(state_one, 6)
    changed = (payment(1, gone=True), payment(2))
    store.commit_blocks([(ExecutedBlock(two, state_two, changed), placement(state_two, state_one, state_two))])
    aside, state_aside = child(state_one, 9)
    store.commit_blocks([(ExecutedBlock(aside, state_aside, (payment(4),)), placement(state_two))])
    fees = store.read_ledger(lambda view: [payment.versions[0].fee for payment in view.payments()])
    assert fees == [2, 3]
