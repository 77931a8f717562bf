"""The messages to the actor that keeps signed changes of the federation until a block includes them."""

import attrs

from alysd.nurseries import Ask, Tell
from alysd.types.chain import ChainState
from alysd.types.federation_update import FederationUpdate


class FederationUpdates:
    """Protocol of the actor of federation updates."""


@attrs.frozen
class SubmitFederationUpdate(Ask[FederationUpdates, bool]):
    """Check a signed update, and keep it until a block includes it. The reply says whether it is new.

    After a reply, the update is on disk. Raises the `InvalidUpdate` of the rule that the update would break in a
    child of the head, and `TooManyUpdates` (`consensus.update_violations`).
    """

    update: FederationUpdate


@attrs.frozen
class GetUpdateFor(Ask[FederationUpdates, FederationUpdate | None]):
    """Get the update that a child of the block with the state `parent` should include, or None."""

    parent: ChainState


@attrs.frozen
class GetKeptUpdates(Ask[FederationUpdates, tuple[FederationUpdate, ...]]):
    """Get the updates that wait for a block, in the order in which they arrived."""


@attrs.frozen
class SendUpdates(Tell[FederationUpdates]):
    """Send the updates that wait to the peers, from the actor to itself."""
