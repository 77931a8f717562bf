"""The ledger finds each violation of the rules, and none where there is none."""

import attrs

from alysd.testing.federation.ledger import SignatureLedger
from alysd.types.block import Block
from alysd.types.chain import ChainState
from alysd.types.hashes import BlockHash
from alysd.types.units import Height, Slot
from tests.integrations.stored_blocks import HAND


@attrs.define
class Written:
    """A ledger of four members, of which the last is Byzantine."""

    broken: list[str] = attrs.field(factory=list[str])
    ledger: SignatureLedger = attrs.field(init=False)
    states: dict[str, ChainState] = attrs.field(factory=lambda: {"genesis": HAND.genesis_state})

    def __attrs_post_init__(self) -> None:
        self.ledger = SignatureLedger(HAND.genesis.hash, 4, {3}, self.broken.append)

    def signs(self, name: str, parent: str, slot: int, members: str) -> None:
        """The members approve the block `name`."""
        above = self.states[parent]
        height, identity = Height(above.height + 1), BlockHash(name.encode().ljust(32))
        payload = attrs.evolve(HAND.genesis.block.payload, block_number=height)
        block = Block(above.hash, Slot(slot), payload)
        self.states[name] = attrs.evolve(above, hash=identity, height=height, slot=Slot(slot))
        for member in members:
            self.ledger.signed(int(member), block, identity)

    def shows(self, member: int, safe: str, final: str, life: object = 1) -> None:
        self.ledger.moved(member, life, self.states[safe], self.states[final])


def test_a_chain_without_faults_breaks_nothing() -> None:
    one = Written()
    one.signs("a", "genesis", 1, "012")
    one.signs("b", "a", 2, "0123")
    one.shows(0, "a", "genesis")
    one.signs("c", "b", 3, "123")
    one.shows(1, "b", "a")
    one.signs("c", "b", 3, "123")
    assert one.broken == []
    assert one.ledger.committed == [one.states[name].hash for name in ("genesis", "a", "b")]
    assert one.ledger.committed_slot == {0: 1, 1: 2}


def test_a_block_is_committed_by_a_child_of_the_next_slot_only() -> None:
    one = Written()
    one.signs("a", "genesis", 1, "012")
    one.signs("b", "a", 3, "012")
    one.shows(0, "a", "genesis")
    assert "shows block 1" in one.broken[0]


def test_two_committed_blocks_that_conflict_are_found() -> None:
    one = Written()
    one.signs("a", "genesis", 1, "012")
    one.signs("b", "a", 2, "012")
    for slot, name, parent in ((3, "x", "genesis"), (4, "y", "x")):
        one.signs(name, parent, slot, "123")
    assert any("the two conflict" in words for words in one.broken)
    assert any("its lock is slot 1" in words for words in one.broken)


def test_a_slot_signed_twice_and_a_slot_before_the_last_are_found_except_of_liars() -> None:
    one = Written()
    one.signs("a", "genesis", 2, "03")
    one.signs("b", "genesis", 2, "03")
    one.signs("c", "genesis", 1, "03")
    assert len(one.broken) == 2
    assert all("member 0 approved" in words for words in one.broken)


def test_an_unapproved_parent_is_found() -> None:
    one = Written()
    one.signs("a", "genesis", 1, "0")
    one.signs("b", "a", 2, "0")
    assert "whose parent is not approved" in one.broken[0]


def test_a_node_that_goes_back_is_found_unless_it_is_another_life() -> None:
    one = Written()
    one.signs("a", "genesis", 1, "012")
    one.signs("b", "a", 2, "012")
    one.shows(0, "a", "a")
    one.shows(0, "genesis", "genesis", life=2)
    one.shows(3, "b", "b")
    assert one.broken == []
    one.shows(0, "a", "genesis", life=1)
    assert "went back" in one.broken[0]
