"""The invariants of a federation, checked at every signature and at every move of a node's head.

The ledger sees every signature that leaves a machine, also those of Byzantine members. So it knows all approved
and committed blocks, whether or not any node knows them. docs/protocol.md has the rules, in the sections "The
approval rule" and "Committed blocks".
"""

from collections.abc import Callable, Collection

import attrs

from alysd.consensus.approval import commits
from alysd.types.block import Block
from alysd.types.chain import ChainState
from alysd.types.hashes import BlockHash, displayed
from alysd.types.units import Height, Slot


@attrs.frozen
class _Block:
    hash: BlockHash
    parent: BlockHash
    slot: Slot
    height: Height

    def __str__(self) -> str:
        return f"block {self.height} {displayed(self.hash)[:8]} of slot {self.slot}"


@attrs.frozen
class _Approved:
    """The last block that a member has approved.

    `lock` is the highest slot of the parents of all blocks that the member has approved.
    """

    slot: Slot
    block: BlockHash
    lock: Slot


@attrs.define(eq=False)
class SignatureLedger:
    """Records all signatures and shown blocks. Members in `byzantine` may lie. `broken` takes the violations."""

    genesis: BlockHash
    quorum: int
    byzantine: Collection[int]
    broken: Callable[[str], object]
    committed: list[BlockHash] = attrs.field(init=False)
    committed_slot: dict[int, Slot] = attrs.field(factory=dict[int, Slot])
    """The slot of the newest committed block that each member has shown."""
    _blocks: dict[BlockHash, _Block] = attrs.field(factory=dict[BlockHash, _Block])
    _children: dict[BlockHash, list[_Block]] = attrs.field(factory=dict[BlockHash, list[_Block]])
    _signers: dict[BlockHash, set[int]] = attrs.field(factory=dict[BlockHash, set[int]])
    _last: dict[int, _Approved] = attrs.field(factory=dict[int, _Approved])
    _shown: dict[object, tuple[Height, Height]] = attrs.field(factory=dict[object, tuple[Height, Height]])

    def __attrs_post_init__(self) -> None:
        self.committed = [self.genesis]
        self._blocks[self.genesis] = _Block(self.genesis, BlockHash(bytes(32)), Slot(0), Height(0))

    # What members sign

    def signed(self, member: int, block: Block, identity: BlockHash) -> None:
        """Record that `member` has approved a block."""
        record = self._blocks.get(identity)
        if record is None:
            record = _Block(identity, block.parent_hash, block.slot, block.height)
            self._blocks[identity] = record
            self._children.setdefault(record.parent, []).append(record)
        if member not in self.byzantine:
            self._check_rule(member, record)
        signers = self._signers.setdefault(identity, set())
        if member in signers:
            return
        signers.add(member)
        if len(signers) == self.quorum:
            self._approve(record)

    def is_approved(self, block: BlockHash) -> bool:
        """Whether a quorum has signed the block, or it is the genesis block."""
        return block == self.genesis or len(self._signers.get(block, ())) >= self.quorum

    def _check_rule(self, member: int, block: _Block) -> None:
        parent = self._blocks.get(block.parent)
        if parent is None or not self.is_approved(block.parent):
            self.broken(f"member {member} approved {block}, whose parent is not approved")
            return
        last = self._last.get(member, _Approved(Slot(0), self.genesis, Slot(0)))
        if block.slot < last.slot or (block.slot == last.slot and block.hash != last.block):
            self.broken(f"member {member} approved {block} after {self._blocks[last.block]}")
        if parent.slot < last.lock:
            self.broken(f"member {member} approved {block} on {parent}, but its lock is slot {last.lock}")
        self._last[member] = _Approved(block.slot, block.hash, max(last.lock, parent.slot))

    def _approve(self, block: _Block) -> None:
        parent = self._blocks.get(block.parent)
        if parent is not None and self.is_approved(parent.hash) and commits(parent.slot, block.slot):
            self._commit(parent)
        for child in self._children.get(block.hash, ()):
            if self.is_approved(child.hash) and commits(block.slot, child.slot):
                self._commit(block)

    def _commit(self, block: _Block) -> None:
        """Add a committed block and its ancestors to the one chain of committed blocks."""
        above: list[BlockHash] = []
        walk = block
        while walk.height >= len(self.committed):
            above.append(walk.hash)
            walk = self._blocks[walk.parent]
        if self.committed[walk.height] != walk.hash:
            other = self._blocks[self.committed[walk.height]]
            self.broken(f"{block} is committed, but so is a descendant of {other}: the two conflict")
            return
        self.committed.extend(reversed(above))

    # What nodes show

    def moved(self, member: int, life: object, safe: ChainState, final: ChainState) -> None:
        """Record the committed and the final block that a node shows. `life` identifies its process."""
        if member in self.byzantine:
            return
        for word, state in (("committed", safe), ("final", final)):
            if state.height >= len(self.committed) or self.committed[state.height] != state.hash:
                self.broken(
                    f"member {member} shows block {state.height} {displayed(state.hash)[:8]} of slot {state.slot} "
                    f"as {word}, but it is not on the chain of committed blocks"
                )
        before = self._shown.get(life, (Height(0), Height(0)))
        if safe.height < before[0] or final.height < before[1]:
            self.broken(
                f"member {member} went back to committed {safe.height} and final {final.height} from {before}"
            )
        self._shown[life] = (safe.height, final.height)
        self.committed_slot[member] = safe.slot
