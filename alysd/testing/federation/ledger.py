"""The invariants of a federation, checked at every signature and at every move of a node's head.

The ledger sees every signature that leaves a machine, also those of Byzantine members. So it knows all approved
and committed blocks, whether or not any node knows them. docs/protocol.md has the rules, in the sections "The
approval rule" and "Committed blocks".
"""

from collections.abc import Callable, Collection
from functools import cache

import attrs

from alysd.consensus.approval import commits
from alysd.integrations.bls import public_key
from alysd.testing.chain import authority_secret
from alysd.types.block import Block
from alysd.types.chain import ChainState
from alysd.types.federation import quorum_of
from alysd.types.hashes import BlockHash, BlsPublicKey, displayed
from alysd.types.units import Height, Slot


@cache
def _key(member: int) -> BlsPublicKey:
    return public_key(authority_secret(member))


@attrs.frozen
class _Approvers:
    """The federation that approves the children of a block, as this oracle computes it from the blocks alone.

    In a hand-over, `former` has the keys of the former federation. `pending` has the effective height of a change,
    the height of its block, and the keys that it names. `final` is the height of the last final block.
    """

    members: tuple[BlsPublicKey, ...]
    former: tuple[BlsPublicKey, ...] = ()
    pending: tuple[Height, Height, tuple[BlsPublicKey, ...]] | None = None
    final: int = 0

    def approve(self, signers: Collection[BlsPublicKey]) -> bool:
        """Whether the block with these signers is approved."""
        parts = [part for part in (self.members, self.former) if part]
        return all(sum(key in signers for key in part) >= quorum_of(len(part)) for part in parts)

    def after(self, block: Block, parent_slot: Slot, final: int) -> "_Approvers":
        """The federation that approves the children of a child."""
        former = () if self.former and block.slot == parent_slot + 1 else self.former
        found = attrs.evolve(self, former=former, final=final)
        if (update := block.federation_update) is not None and update.kind == "members":
            keys = tuple(member.authority for member in update.members)
            return attrs.evolve(found, pending=(update.effective_height, block.height, keys))
        if self.pending is None or block.height + 1 < self.pending[0]:
            return found
        if final < self.pending[1]:
            return attrs.evolve(found, pending=None)
        return _Approvers(self.pending[2], self.members, None, final)


@attrs.frozen
class _Block:
    hash: BlockHash
    parent: BlockHash
    slot: Slot
    height: Height
    by: _Approvers | None
    then: _Approvers | None

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
    """Records all signatures and shown blocks. Members in `byzantine` may lie. `broken` takes the violations.

    `members` is the number of those of the first federation. The member with an index has the test key of it.
    """

    genesis: BlockHash
    members: int
    byzantine: Collection[int]
    broken: Callable[[str], object]
    committed: list[BlockHash] = attrs.field(init=False)
    committed_slot: dict[int, Slot] = attrs.field(factory=dict[int, Slot])
    """The slot of the newest committed block that each member has shown."""
    _blocks: dict[BlockHash, _Block] = attrs.field(factory=dict[BlockHash, _Block])
    _children: dict[BlockHash, list[_Block]] = attrs.field(factory=dict[BlockHash, list[_Block]])
    _approved_in: dict[Slot, BlockHash] = attrs.field(factory=dict[Slot, BlockHash])
    _signers: dict[BlockHash, set[int]] = attrs.field(factory=dict[BlockHash, set[int]])
    _last: dict[int, _Approved] = attrs.field(factory=dict[int, _Approved])
    _shown: dict[object, tuple[Height, Height]] = attrs.field(factory=dict[object, tuple[Height, Height]])

    def __attrs_post_init__(self) -> None:
        self.committed = [self.genesis]
        first = _Approvers(tuple(_key(index) for index in range(self.members)))
        self._blocks[self.genesis] = _Block(self.genesis, BlockHash(bytes(32)), Slot(0), Height(0), None, first)

    # What members sign

    def signed(self, member: int, block: Block, identity: BlockHash) -> None:
        """Record that `member` has approved a block."""
        record = self._blocks.get(identity)
        if record is None:
            record = self._record(block, identity)
            self._blocks[identity] = record
            self._children.setdefault(record.parent, []).append(record)
        if member not in self.byzantine:
            self._check_rule(member, record)
        signers = self._signers.setdefault(identity, set())
        if member in signers:
            return
        before = self.is_approved(identity)
        signers.add(member)
        if not before and self.is_approved(identity):
            other = self._approved_in.setdefault(record.slot, identity)
            if other != identity:
                self.broken(f"{record} is approved, but so is {self._blocks[other]}")
            self._approve(record)

    def is_approved(self, block: BlockHash) -> bool:
        """Whether a quorum of the block's federation has signed it, or it is the genesis block."""
        if block == self.genesis:
            return True
        record = self._blocks.get(block)
        signers = {_key(member) for member in self._signers.get(block, ())}
        return record is not None and record.by is not None and record.by.approve(signers)

    def _record(self, block: Block, identity: BlockHash) -> _Block:
        """The block with the federations before and after it; None for those of a block without a known parent."""
        parent = self._blocks.get(block.parent_hash)
        by = None if parent is None else parent.then
        if parent is None or by is None:
            return _Block(identity, block.parent_hash, block.slot, block.height, None, None)
        header = block.auxpow_header
        end = None if header is None else self._blocks.get(header.range_end)
        then = by.after(block, parent.slot, by.final if end is None else end.height)
        return _Block(identity, block.parent_hash, block.slot, block.height, by, then)

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
