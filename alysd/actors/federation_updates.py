"""The actor of federation updates: keeps signed changes of the federation until a block includes them."""

from collections.abc import Mapping
from contextlib import suppress

import attrs
import trio

from alysd.consensus.federation_update import UpdateChecks, check_place, check_update
from alysd.consensus.update_violations import OutOfPlace, TooManyUpdates
from alysd.messages.chain import Chain, GetForkchoice
from alysd.messages.federation_update import (
    FederationUpdates,
    GetKeptUpdates,
    GetUpdateFor,
    SendUpdates,
    SubmitFederationUpdate,
)
from alysd.messages.log.base import log
from alysd.messages.log.governance_update import FederationUpdateKept
from alysd.messages.network import Network, PublishUpdate
from alysd.messages.storage import KeepUpdates, LoadUpdates, Storage
from alysd.nurseries import Actor, Address, NotAnswered, handles
from alysd.timing import Timing
from alysd.types.chain import ChainState
from alysd.types.chain_spec import ChainContext
from alysd.types.federation_update import NOTICE, FederationUpdate, UpdateTrack

MOST_UPDATES = 4
"""The maximum number of updates of a track that wait. Governance signs one at a time; another one corrects it."""

SENT_AGAIN = 15.0
"""The interval, in seconds, at which one update of each track is sent to the peers again.

A halt may have to be in a block within a minute. The largest update has 10 KB."""

_TRACKS: tuple[UpdateTrack, ...] = ("peg", "members")
"""The tracks in the order in which blocks include their updates."""


class FederationUpdatesActor(Actor[FederationUpdates]):
    """Keeps at most `MOST_UPDATES` valid updates of each track, on disk too, and gives one to a block."""

    def __init__(
        self,
        context: ChainContext,
        checks: UpdateChecks,
        chain: Address[Chain],
        storage: Address[Storage],
        network: Address[Network],
        timing: Timing,
    ) -> None:
        self._network = network
        self._context = context
        self._checks = checks
        self._chain = chain
        self._storage = storage
        self._timing = timing
        self._kept: tuple[FederationUpdate, ...] = ()

    async def pre_start(self) -> None:
        """Load the updates that waited when the node stopped, and send them to the peers now and then."""
        self.timers.every(SENT_AGAIN, SendUpdates())
        self._kept = await self._storage.ask(LoadUpdates(), seconds=self._timing.storage_write)

    @handles(SubmitFederationUpdate)
    async def submit(self, message: SubmitFederationUpdate) -> bool:
        """Check an update for a child of the head, and keep it on disk. Returns whether it is new."""
        update = message.update
        head = (await self._chain.ask(GetForkchoice(), seconds=self._timing.chain_lookup)).head
        if any(_unsigned(update) == _unsigned(one) for one in self._kept):
            return False
        # In a thread, because the proofs of 21 members take 70 ms.
        await trio.to_thread.run_sync(check_update, update, head, self._context, self._checks)
        waiting = tuple(one for one in self._kept if not _is_late(one, head))
        if sum(one.track == update.track for one in waiting) >= MOST_UPDATES:
            raise TooManyUpdates(update.track, MOST_UPDATES)
        kept = (*waiting, update)
        await self._storage.ask(KeepUpdates(kept), seconds=self._timing.storage_write)
        self._kept = kept
        log(FederationUpdateKept(update.sequence, update.kind, update.effective_height, len(update.members)))
        self._send(update)
        return True

    @handles(SendUpdates)
    async def send_again(self, _message: SendUpdates) -> None:
        """Send again the updates that the next block may include: a node that was down may lack them.

        Of each track it is the one that this node would include itself. All of them at once would be more than
        peers allow (`gossip_judge.ALLOWED_AT_ONCE`).
        """
        if not self._kept:
            return
        head = (await self._chain.ask(GetForkchoice(), seconds=self._timing.chain_lookup)).head
        for track in _TRACKS:
            if (update := self._first(track, head)) is not None:
                self._send(update)

    def _send(self, update: FederationUpdate) -> None:
        with suppress(NotAnswered):  # it is sent again
            self._network.tell(PublishUpdate(update))

    @handles(GetUpdateFor)
    async def update_for(self, message: GetUpdateFor) -> FederationUpdate | None:
        """The first kept update that the rules allow in a child of the block: a halt before new members."""
        found = (self._first(track, message.parent) for track in _TRACKS)
        return next((one for one in found if one is not None), None)

    def _first(self, track: UpdateTrack, parent: ChainState) -> FederationUpdate | None:
        """The kept update of the track with the nearest height that the rules allow in a child of `parent`.

        A halt that is far ahead would keep a nearer one out.
        """
        found = (one for one in self._kept if one.track == track and _has_place(one, parent))
        return min(found, key=lambda one: one.effective_height, default=None)

    @handles(GetKeptUpdates)
    async def kept(self, _message: GetKeptUpdates) -> tuple[FederationUpdate, ...]:
        """The updates that wait, in the order of their arrival."""
        return self._kept

    def visible_state(self) -> Mapping[str, object]:
        """The kinds, sequences and effective heights of the updates that wait."""
        return {"waiting": [(one.kind, one.sequence, one.effective_height) for one in self._kept]}


def _unsigned(update: FederationUpdate) -> FederationUpdate:
    """The update without its signatures: any quorum of the governance keys, signing again, can give it others."""
    return attrs.evolve(update, signatures=())


def _has_place(update: FederationUpdate, parent: ChainState) -> bool:
    """Whether a child of `parent` may include the update, which has passed all other rules."""
    try:
        check_place(update, parent)
    except OutOfPlace:
        return False
    return True


def _is_late(update: FederationUpdate, head: ChainState) -> bool:
    """Whether no later block of the branch can include the update: its height or its sequence has passed."""
    least, _ = NOTICE[update.track]
    passed = update.effective_height < head.height + 1 + least
    governance = head.governance
    return passed or (governance is not None and update.sequence <= governance.sequence_of(update.track))
