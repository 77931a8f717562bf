"""Changes of the federation (docs/protocol.md, "Changes of the federation")."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
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
"""The least number of blocks from the block with new members to the height at which they take effect."""

MAX_HOLDERS = 64
"""The maximum number of federations of a chain that can hold deposits, the first one included.

The lists of their keys are a part of the chain's state and have up to 43 KB then. Bitcoin blocks are searched for
the scripts of all of them."""

BEFORE_UPDATE = 86_400
"""The seconds before the slot of an update's block from which on Bitcoin blocks can hold deposits to new members.

Times in Bitcoin's blocks can be wrong by some hours. A node that learns of a federation reads these Bitcoin blocks
again, and a pruned Bitcoin node still has them."""

FORMER_ADDRESS_DAYS = 90
"""The usual number of days for which deposits to a former federation's address are credited after an update."""

MOST_NOTICE = 1_000_000
"""The greatest number of these blocks: more than three weeks of slots of 2 s.

An update that takes effect at a height which is never reached would stay pending, and no other one could follow.
"""

LEAST_HALT_NOTICE = 2
"""The least number of blocks from the block with a halt or resumption of the peg to its effective height.

If no slot is missed, the block is committed by then.
"""

MOST_HALT_NOTICE = 10_000
"""The greatest number of these blocks: more than five hours of slots of 2 s.

Another halt cannot come before one that is pending, so governance cannot give away the possibility for weeks.
"""

UpdateKind = Literal["members", "halt", "resume"]
"""The kinds of updates: new members, and the halt and the resumption of the peg."""

UpdateTrack = Literal["members", "peg"]
"""The tracks of updates. Each counts its own sequence, and has at most one pending update.

Updates of the kind "members" are in the first one, the others in the second. So the peg can be halted at any time.
"""

NOTICE: Mapping[UpdateTrack, tuple[int, int]] = MappingProxyType(
    {"members": (LEAST_NOTICE, MOST_NOTICE), "peg": (LEAST_HALT_NOTICE, MOST_HALT_NOTICE)}
)
"""The least and the greatest notice of the updates of each track, in blocks."""


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

    `sequence` is one more than that of the last update of its track that took effect; the first has 1. The update
    takes effect for the block at `effective_height` and later ones. Only the kind "members" has `members` and
    `fee_addresses`.
    The signed message is `wire.federation_update.update_message`.
    """

    sequence: int
    effective_height: Height
    kind: UpdateKind
    members: tuple[FederationMember, ...] = ()
    fee_addresses: tuple[EvmAddress, ...] = ()
    signatures: tuple[GovernanceSignature, ...] = ()

    @property
    def track(self) -> UpdateTrack:
        """The track to which the update belongs."""
        return "members" if self.kind == "members" else "peg"

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


def credit_end(holders: Sequence[Holders], number: int, days: int) -> int | None:
    """The median time past of Bitcoin blocks from which on outputs to a former federation are not credited.

    It has this number among the `holders` of a branch. The credit ends `days` days after the time of the payload
    with the update that replaced it. None for the newest federation.
    """
    following = number + 1
    return None if following >= len(holders) else holders[following].since + BEFORE_UPDATE + days * 86_400


@attrs.frozen
class PendingMembers:
    """New members in a block of this branch at the height `included`, who have not taken effect yet.

    They are `federation`. `since` is the time from which on Bitcoin blocks can hold deposits to them (`Holders`).
    """

    sequence: int
    effective_height: Height
    included: Height
    federation: Federation
    since: int = 0


@attrs.frozen
class PendingHalt:
    """A halt of the peg, or without `halts` its resumption, that is in a block at the height `included`.

    It has not taken effect yet.
    """

    sequence: int
    effective_height: Height
    included: Height
    halts: bool

    @property
    def kind(self) -> UpdateKind:
        """The kind of the update."""
        return "halt" if self.halts else "resume"


@attrs.frozen
class PegTrack:
    """The halts and resumptions of the peg on a block's branch.

    `halted` says whether governance has halted the peg for the children of the block. `sequence` is that of the
    last halt or resumption that took effect, or 0.
    """

    sequence: int = 0
    halted: bool = False
    pending: PendingHalt | None = None


@attrs.frozen
class GovernanceState:
    """The federation that makes and approves the children of a block, and the changes on the block's branch.

    `sequence` is that of the last update of the members that took effect, or 0. In a hand-over, `federation` is
    that of the hand-over (`Federation.former`). `former` is the federation that has approved the block itself, if
    it is another one: the approvals of the block travel with proposals of its children.

    `holders` are the federations of the branch so far that can hold deposits, by their number: first that of the
    chain specification. They hold outputs until these have moved, and so are known for ever. On a chain without a
    peg there are none. `peg` has the halts of the peg, which do not depend on the changes of the members.
    """

    sequence: int
    federation: Federation
    pending: PendingMembers | None
    former: Federation | None = None
    holders: tuple[Holders, ...] = ()
    peg: PegTrack = PegTrack()

    def sequence_of(self, track: UpdateTrack) -> int:
        """The sequence of the last update of the `track` that took effect, or 0."""
        return self.sequence if track == "members" else self.peg.sequence

    def pending_of(self, track: UpdateTrack) -> PendingMembers | PendingHalt | None:
        """The update of the `track` that waits for its effective height."""
        return self.pending if track == "members" else self.peg.pending
