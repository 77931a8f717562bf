"""Changes of the federation (docs/protocol.md, "Changes of the federation")."""

from typing import Literal

import attrs

from alysd.types.federation import Federation
from alysd.types.hashes import BlsPublicKey, BlsSignature, EvmAddress, SchnorrSignature, XOnlyKey
from alysd.types.units import Height

MAX_GOVERNANCE_KEYS = 32
"""The maximum number of governance keys of a chain. Their signatures in an update have 2 KB."""

MAX_UPDATE_MEMBERS = 21
"""The maximum number of members that an update may name."""

LEAST_NOTICE = 100
"""The least number of blocks from the block with an update to the height at which the update takes effect."""

MAX_HOLDERS = 64
"""The maximum number of federations of a chain that can hold deposits, the first one included.

The lists of their keys are a part of the chain's state and have up to 43 KB then. Bitcoin blocks are searched for
the scripts of all of them."""

BEFORE_UPDATE = 86_400
"""The seconds before the slot of an update's block from which on Bitcoin blocks can hold deposits to new members.

Times in Bitcoin's blocks can be wrong by some hours. A node that learns of a federation reads these Bitcoin blocks
again, and a pruned Bitcoin node still has them."""

MOST_NOTICE = 1_000_000
"""The greatest number of these blocks: more than three weeks of slots of 2 s.

An update that takes effect at a height which is never reached would stay pending, and no other one could follow.
"""

UpdateKind = Literal["members", "halt", "resume"]
"""The kinds of updates: new members, and the halt and the resumption of the peg."""


@attrs.frozen
class FederationMember:
    """A member of a federation: its keys, and the proofs that it has their secrets.

    The proofs are those of the chain specification (docs/protocol.md, "Possession of keys").
    """

    authority: BlsPublicKey
    authority_proof: BlsSignature
    bitcoin_key: XOnlyKey
    bitcoin_proof: SchnorrSignature


@attrs.frozen
class GovernanceSignature:
    """The signature of an update by the governance key with this `index` in the chain specification."""

    index: int
    signature: SchnorrSignature


@attrs.frozen
class FederationUpdate:
    """A change of the federation, or of its peg, that the holders of the governance keys have signed.

    `sequence` is one more than that of the last update that took effect; the first has 1. The update takes effect
    for the block at `effective_height` and later ones. Only the kind "members" has `members` and `fee_addresses`.
    The signed message is `wire.federation_update.update_message`.
    """

    sequence: int
    effective_height: Height
    kind: UpdateKind
    members: tuple[FederationMember, ...] = ()
    fee_addresses: tuple[EvmAddress, ...] = ()
    signatures: tuple[GovernanceSignature, ...] = ()

    @property
    def federation(self) -> Federation:
        """The federation that an update of the kind "members" names."""
        return Federation(
            tuple(member.authority for member in self.members),
            tuple(member.bitcoin_key for member in self.members),
            self.fee_addresses,
        )


@attrs.frozen
class Holders:
    """The members of a federation as holders of deposits: their x-only keys (BIP-340, 32 bytes), in order.

    Outputs to them count in Bitcoin blocks whose median time past (BIP-113) is at least `since`, in seconds since
    1970. For the first federation this is 0.
    """

    keys: tuple[bytes, ...]
    since: int = 0


@attrs.frozen
class PendingUpdate:
    """An update in a block of this branch at the height `included`, which has not taken effect yet.

    `federation` is the federation that an update of the kind "members" names, None for the other kinds. `since` is
    the time from which on Bitcoin blocks can hold deposits to it (`Holders`). `halts` is set for the kind "halt".
    """

    sequence: int
    effective_height: Height
    included: Height
    federation: Federation | None
    halts: bool = False
    since: int = 0

    @property
    def kind(self) -> UpdateKind:
        """The kind of the update."""
        if self.federation is not None:
            return "members"
        return "halt" if self.halts else "resume"


@attrs.frozen
class GovernanceState:
    """The federation that makes and approves the children of a block, and the changes on the block's branch.

    `sequence` is that of the last update that took effect, or 0. In a hand-over, `federation` is that of the
    hand-over (`Federation.former`). `former` is the federation that has approved the block itself, if it is
    another one: the approvals of the block travel with proposals of its children.

    `holders` are the federations of the branch so far that can hold deposits, by their number: first that of the
    chain specification. They can hold deposits for ever, and so are known for ever. On a chain without a peg there
    are none. `halted` says whether governance has halted the peg.
    """

    sequence: int
    federation: Federation
    pending: PendingUpdate | None
    former: Federation | None = None
    holders: tuple[Holders, ...] = ()
    halted: bool = False
