"""The violations of the rules of federation updates (docs/protocol.md, "Changes of the federation")."""

from collections.abc import Mapping
from types import MappingProxyType

import attrs

from alysd.errors import InvalidBlock
from alysd.types.federation_update import UpdateTrack


class InvalidUpdate(InvalidBlock):
    """An update of the federation breaks a rule, and so does a block that includes it."""


class NoGovernance(InvalidUpdate):
    """The chain has no governance keys, so nobody can change its federation."""

    def __str__(self) -> str:
        return "the chain specification has no governance_keys, so the federation cannot be changed"


class OutOfPlace(InvalidUpdate):
    """The update cannot be in this block. A block at another height or on another branch may have it."""


@attrs.frozen
class HaltInForce(OutOfPlace):
    """The update halts the peg while it is halted, or resumes it while it is not."""

    kind: str

    def __str__(self) -> str:
        state = "is halted already" if self.kind == "halt" else "is not halted"
        return f'the peg {state}, but the update is of the kind "{self.kind}"'


@attrs.frozen
class NamesMembers(InvalidUpdate):
    """The update halts or resumes the peg, and names members or fee addresses, which must be none."""

    kind: str

    def __str__(self) -> str:
        return f'an update of the kind "{self.kind}" names neither members nor fee addresses'


@attrs.frozen
class HoldersReturn(OutOfPlace):
    """The new members have the Bitcoin keys of a former federation in the same order, and so its address."""

    federation: int

    def __str__(self) -> str:
        return (
            f"the new members have the same Bitcoin keys in the same order as federation {self.federation}, "
            "which was replaced: name them in another order"
        )


@attrs.frozen
class TooManyHolders(OutOfPlace):
    """The chain has as many federations that can hold deposits as it may have."""

    limit: int

    def __str__(self) -> str:
        return (
            f"{self.limit} federations of the chain can hold deposits, and no more are allowed: an update may "
            "still change the fee addresses and the authority keys"
        )


@attrs.frozen
class NoPegToChange(InvalidUpdate):
    """The update halts or resumes the peg of a chain that has none."""

    kind: str

    def __str__(self) -> str:
        return f'the chain has no peg, but the update is of the kind "{self.kind}"'


_CHANGES: Mapping[UpdateTrack, str] = MappingProxyType(
    {"members": "change of the members", "peg": "halt or resumption of the peg"}
)


@attrs.frozen
class WrongSequence(OutOfPlace):
    """The sequence is not one more than that of the last update of the `track` that took effect."""

    track: UpdateTrack
    expected: int
    found: int

    def __str__(self) -> str:
        return (
            f"the next {_CHANGES[self.track]} has the sequence {self.expected}, found {self.found}: the members "
            "and the peg each have a sequence of their own"
        )


@attrs.frozen
class UpdatePending(OutOfPlace):
    """The update `sequence` of the `track` waits for its `height`; without one, its hand-over has not ended."""

    track: UpdateTrack
    sequence: int
    height: int | None

    def __str__(self) -> str:
        when = "is not handed over yet" if self.height is None else f"takes effect at height {self.height}"
        return (
            f"the {_CHANGES[self.track]} with the sequence {self.sequence} {when}: no other one is allowed before"
        )


@attrs.frozen
class TooSoon(OutOfPlace):
    """The effective height is too near to that of the block; `least` is the least one allowed."""

    least: int
    found: int

    def __str__(self) -> str:
        return (
            f"the update takes effect at height {self.found}, but at least {self.least} is needed by now: sign "
            "one with a later height"
        )


@attrs.frozen
class TooFar(OutOfPlace):
    """The effective height is too far from that of the block; `most` is the greatest one allowed."""

    most: int
    found: int

    def __str__(self) -> str:
        return (
            f"the update takes effect at height {self.found}, but at most {self.most} is allowed so far: submit "
            "it later"
        )


@attrs.frozen
class TooManyUpdates(InvalidUpdate):
    """A node keeps `limit` updates of a track that wait for a block, and no more."""

    track: UpdateTrack
    limit: int

    def __str__(self) -> str:
        return f"this node keeps {self.limit} updates already that wait for a block, each a {_CHANGES[self.track]}"


@attrs.frozen
class WrongMembers(InvalidUpdate):
    """The members or the fee addresses are too few, too many, or not different; `reason` says which."""

    reason: str

    def __str__(self) -> str:
        return f"the update names a wrong federation: {self.reason}"


@attrs.frozen
class PossessionNotProved(InvalidUpdate):
    """A member has not proved that it has the secret of its key; `member` is its index, `key` names the key."""

    member: int
    key: str

    def __str__(self) -> str:
        return f"member {self.member} of the update has not proved that it has the secret of its {self.key}"


@attrs.frozen
class BadGovernanceSignatures(InvalidUpdate):
    """The signatures are not those of enough governance keys; `reason` says why."""

    reason: str

    def __str__(self) -> str:
        return f"governance has not signed the update: {self.reason}"
