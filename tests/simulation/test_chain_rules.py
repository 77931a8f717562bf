"""All rules together: blocks are made, encoded, validated, placed, and made final."""

from collections.abc import Sequence

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from alysd.consensus.approval import committed
from alysd.consensus.aura import halted
from alysd.consensus.federation import approval_message
from alysd.consensus.fork_choice import Tree
from alysd.consensus.genesis import genesis_block, genesis_state
from alysd.consensus.validity import apply_block, check_block
from alysd.consensus.violations import HaltedWithoutWork
from alysd.integrations import bls
from alysd.testing.blocks import FIRST_SLOT, make_block, make_header, make_payload, make_spec
from alysd.types.auxpow import AuxPowHeader
from alysd.types.block import Approvals, Block, SignedBlock
from alysd.types.chain import ChainState, ReceivedBlock
from alysd.types.chain_spec import ChainContext, ChainSpec
from alysd.types.units import Slot, Wei
from alysd.wire.block_ssz import block_hash, decode_block, encode_block

SECRETS = [(place + 1).to_bytes(32, "big") for place in range(3)]


class Node:
    """Imports bytes as a node does, without anything beside the rules."""

    def __init__(self, spec: ChainSpec) -> None:
        block = genesis_block(spec, make_payload())
        self.spec = spec
        self.genesis = block_hash(block)
        self.context = ChainContext(spec, self.genesis)
        self.tree = Tree((genesis_state(self.context, block.payload),), self.genesis)
        self.books = {self.genesis: (0, 0)}  # by block: wei paid, and minted, on its branch

    def sign(self, block: Block) -> SignedBlock:
        identity = block_hash(block)
        message = approval_message(self.genesis, identity)
        approvals = Approvals((True,) * 3, bls.aggregate([bls.sign(secret, message) for secret in SECRETS]))
        return SignedBlock(identity, block, approvals)

    def take(self, data: bytes, fees: int) -> ChainState:
        signed = decode_block(data)
        parent = self.tree.get(signed.block.parent_hash)
        assert parent is not None
        ancestry = self.tree.ancestry(parent.hash)
        now = float(2 * signed.block.slot)
        received = ReceivedBlock(signed, len(data))
        check_block(received, parent, ancestry, self.context, now, bls.verify_aggregate)
        state = apply_block(parent, signed, Wei(fees), ancestry).state
        self.tree.adopt(state)
        paid, minted = self.books[parent.hash]
        minted += sum(10**9 * one.amount for one in signed.block.payload.withdrawals)
        assert minted <= paid
        self.books[state.hash] = (paid + fees, minted)
        return state

    def make(self, parent: ChainState, slot: int, header: AuxPowHeader | None = None) -> bytes:
        return encode_block(self.sign(make_block(parent, Slot(FIRST_SLOT + slot), self.spec, header)))

    def work(self, parent: ChainState, length: int) -> AuxPowHeader | None:
        ancestry: Sequence[ChainState] = self.tree.ancestry(parent.hash)
        covered = len(committed(ancestry[: length + 1]))
        return make_header(parent, ancestry, self.spec, covered) if covered else None


def new_node(**changes: int) -> Node:
    spec = make_spec(3, bits=0x207FFFFF, **changes)
    return Node(attrs.evolve(spec, authorities=tuple(bls.public_key(secret) for secret in SECRETS)))


def test_a_chain_with_a_proof_every_ten_blocks_becomes_final_and_pays() -> None:
    node = new_node()
    state = node.tree.tip.head
    for slot in range(45):
        header = node.work(state, 10) if slot % 10 == 9 else None
        state = node.take(node.make(state, slot, header), fees=10**15)
        assert node.tree.tip.head == state
    # Proofs in blocks 10, 20, 30 and 40 each cover the committed blocks, all but the newest block before them.
    assert node.tree.tip.finalized.height == 38
    # The last of them paid for the 39 blocks before it, all but what rounding left.
    assert 39 * 10**15 - node.books[state.hash][1] < 16 * 10**9
    assert state.next_withdrawal == 16


def test_a_chain_without_work_halts_and_work_sets_it_going() -> None:
    node = new_node(max_blocks_without_auxpow=5)
    state = node.tree.tip.head
    for slot in range(6):
        state = node.take(node.make(state, slot), fees=0)
    assert halted(state, node.spec)
    with pytest.raises(HaltedWithoutWork):
        node.take(node.make(state, 6), fees=0)
    state = node.take(node.make(state, 7, node.work(state, 6)), fees=0)
    assert not halted(state, node.spec)
    node.take(node.make(state, 8), fees=0)


@settings(max_examples=15)
@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 3), st.integers(1, 6)), min_size=5, max_size=25))
def test_forks_and_proofs_in_any_order_keep_the_books(history: list[tuple[int, int, int]]) -> None:
    """Along every branch, what is minted never exceeds what was paid, and no honest block is refused."""
    node = new_node()
    recent = [node.tree.tip.head]
    for slot, (back, chance, length) in enumerate(history):
        parent = recent[-1 - back % len(recent)]
        header = node.work(parent, length) if chance == 0 else None
        state = node.take(node.make(parent, slot, header), fees=10**12)
        recent = [one for one in (*recent, state)[-3:] if node.tree.get(one.hash)]
        assert recent
        assert node.tree.tip.head.last_final_height <= node.tree.tip.finalized.height
        paid, minted = node.books[state.hash]
        assert 0 <= paid - state.unpaid_fees - minted < 10**9 * max(1, state.next_withdrawal)
