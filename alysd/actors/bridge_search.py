"""Makes proposals beside the bridge's handlers, because a block waits for its contents for a short time only.

To make a proposal, up to 2,000 outputs are read, and the right ones among them are searched for. A block whose
proposal is not ready in time has only its other contents; the proposal goes into a later block.
"""

from collections.abc import Awaitable, Callable

import attrs
import trio

from alysd.actors.bridge_contents import Versions
from alysd.consensus.violations import UnknownParent
from alysd.errors import NotNow
from alysd.nurseries import NotAnswered
from alysd.types.chain import ChainState
from alysd.types.peg import PegOutProposal

Make = Callable[[ChainState, Versions], Awaitable[PegOutProposal | None]]
"""Makes a proposal in a child of a block, from the payments in flight; None if there is nothing to propose."""


@attrs.define
class _Wanted:
    parent: ChainState
    versions: Versions
    done: trio.Event = attrs.field(factory=trio.Event)
    proposal: PegOutProposal | None = None


@attrs.define
class ProposalsBeside:
    """Calls `make` in the background, one call at a time.

    `get` waits for `make` and then for `fits`, each for at most `seconds`.
    """

    make: Make
    fits: Callable[[PegOutProposal, ChainState, Versions], Awaitable[bool]]
    seconds: float
    _next: _Wanted | None = None
    _wake: trio.Event = attrs.field(factory=trio.Event)
    _newest: PegOutProposal | None = None

    async def run(self) -> None:
        """Make the proposal for the newest call of `get`, again and again until cancelled."""
        while True:
            await self._wake.wait()
            self._wake = trio.Event()
            wanted, self._next = self._next, None
            if wanted is None:
                continue
            try:
                wanted.proposal = self._newest = await self.make(wanted.parent, wanted.versions)
            except (NotNow, NotAnswered, UnknownParent):
                self._newest = None
            wanted.done.set()

    async def get(self, parent: ChainState, versions: Versions) -> PegOutProposal | None:
        """A proposal for a child of `parent`.

        If it is not ready within `seconds`, the result is the newest proposal, made for another parent, if it
        `fits`, otherwise None. A newer version of a payment is not used then: Bitcoin may have confirmed the
        payment.
        """
        self._next = wanted = _Wanted(parent, versions)
        self._wake.set()
        with trio.move_on_after(self.seconds):
            await wanted.done.wait()
            return wanted.proposal
        newest = self._newest
        if newest is not None and newest.replaces is None:
            with trio.move_on_after(self.seconds):
                return newest if await self.fits(newest, parent, versions) else None
        return None
