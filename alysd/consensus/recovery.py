"""The rules of members that have lost their signing guards (docs/protocol.md, "Recovery").

A member that has lost its guard does not know its lock. It waits for a block that a quorum of the others has
approved after the loss. If too many members have lost their guards, the others are no quorum. Then a recovering
member approves a block once every member that has not lost its guard has approved it. The locks of these members
allow the block, and every block that a quorum has ever approved was approved by one of these members.
"""

from collections.abc import Collection, Sequence

from alysd.consensus.candidates import check_window
from alysd.consensus.federation import Verifier
from alysd.consensus.violations import ForgedStatement, NoSuchAuthority
from alysd.types.chain_spec import ChainContext
from alysd.types.federation import Federation
from alysd.types.hashes import BlockHash, sha256
from alysd.types.proposal import RecoveryStatement
from alysd.types.units import Slot


def recovery_message(genesis: BlockHash, slot: Slot) -> bytes:
    """The message that an authority signs to state in `slot` that its guard is lost. No block has such a hash."""
    return sha256(genesis + sha256(b"alysd/recovering" + slot.to_bytes(8, "little")))


def check_statement(
    statement: RecoveryStatement, federation: Federation, context: ChainContext, now: float, verify: Verifier
) -> None:
    """Check that an authority has made the statement, in this slot or in the one before.

    Raises `SlotTooEarly`, `SlotPassed`, `NoSuchAuthority` or `ForgedStatement`.
    """
    check_window(statement.slot, context.spec, now)
    if statement.authority >= len(federation.authorities):
        raise NoSuchAuthority(len(federation.authorities), statement.authority)
    key = federation.authorities[statement.authority]
    if not verify([key], recovery_message(context.genesis, statement.slot), statement.signature):
        raise ForgedStatement(statement.authority)


def is_supported(own: int, signers: Sequence[bool], recovering: Collection[int], quorum: int) -> bool:
    """Whether the approvals of a block show that the recovering authority `own` may approve it too.

    `signers` says for each authority whether it has approved the block. `recovering` has the authorities that have
    stated, after `own` lost its guard, that theirs is lost. All others must have approved the block, and they must
    be so many that no quorum is possible without one of them.
    """
    others = [index for index in range(len(signers)) if index != own and index not in recovering]
    return len(others) > len(signers) - quorum and all(signers[index] for index in others)
