"""What work the node has offered to miners: bounded in number and age, however many ask.

A client of the RPC may ask for work under any number of addresses, and must not make the node forget what
honest miners are working on. So recipients who have handed in a proof before ("regulars") each have room of their
own, which costs work to get, and all others share a room in which the longest unasked-for offer goes first. A pool
asks again every few seconds, which keeps its offer young.
"""

from collections import OrderedDict
from math import ceil

import attrs

from alysd.timing import Timing
from alysd.types.auxpow import AuxPowHeader
from alysd.types.hashes import AuxHash, BlockHash, EvmAddress

REGULARS = 64
"""Recipients with room of their own. A chain has a few pools; the least recently proven one goes first."""

OFFERS_TO_NEWCOMERS = 32_768
"""Room for all others together: about 15 MB, and over 20 s of the fastest flood that the RPC server can take."""


CLEARED_AT_ONCE = 2
"""Offers dropped at most for one that comes: a room shrinks as it is used, and nobody waits for a flood to go."""


@attrs.frozen
class RememberedOffer:
    """Offered work: the header that a block would have, still without its proof, over `bundle_length` blocks.

    `previous` is the final block that the bundle follows. The bundle's hashes are not kept: they may be thousands.
    """

    aux_hash: AuxHash
    header: AuxPowHeader
    bundle_length: int
    previous: BlockHash


_Room = OrderedDict[AuxHash, tuple[float, RememberedOffer]]
"""Offers with the time at which they are forgotten, the one that goes first in front."""


class OfferBook:
    """Offers by their aux hash. Times are seconds of one monotonic clock."""

    def __init__(
        self, timing: Timing, *, regulars: int = REGULARS, newcomer_offers: int = OFFERS_TO_NEWCOMERS
    ) -> None:
        self._most_regulars, self._newcomer_offers = regulars, newcomer_offers
        self._life = timing.offer_life
        self._offers_per_regular = ceil(timing.offer_life / timing.slot_seconds)  # one new offer per slot
        self._newcomers: _Room = OrderedDict()
        self._regulars: OrderedDict[EvmAddress, _Room] = OrderedDict()

    def __len__(self) -> int:
        return len(self._newcomers) + sum(len(room) for room in self._regulars.values())

    def add(self, offer: RememberedOffer, now: float) -> None:
        """Remember an offer; the same one again makes it young again."""
        room = self._regulars.get(offer.header.fee_recipient)
        if room is None:
            room, bound = self._newcomers, self._newcomer_offers
        else:
            bound = self._offers_per_regular
        room[offer.aux_hash] = (now + self._life, offer)
        room.move_to_end(offer.aux_hash)
        for _ in range(CLEARED_AT_ONCE):
            expires, _offer = next(iter(room.values()))
            if len(room) > bound or expires <= now:
                room.popitem(last=False)

    def find(self, aux_hash: AuxHash, now: float) -> RememberedOffer | None:
        """The offer with this hash, or None if it was never made or is forgotten."""
        for room in (self._newcomers, *self._regulars.values()):
            expires, offer = room.get(aux_hash, (now, None))
            if expires > now:
                return offer
        return None

    def proven(self, recipient: EvmAddress) -> None:
        """Give `recipient`, who has handed in a proof, room of its own from now on."""
        self._regulars.setdefault(recipient, OrderedDict())
        self._regulars.move_to_end(recipient)
        if len(self._regulars) > self._most_regulars:
            self._regulars.popitem(last=False)
