"""The work that the node has offered to miners, limited in number and age.

An RPC client can request work for any number of addresses. Such a flood must not displace the offers that honest
miners are working on. Therefore each "regular" has its own limit. A regular is a recipient with a valid proof,
which costs work. All other recipients share one limit. Above that limit, the offer that has not been requested for
the longest time is removed. A pool keeps its offer by requesting it again every few seconds.
"""

from collections import OrderedDict
from math import ceil

import attrs

from alysd.messages.auxpow import MiningOffer
from alysd.timing import Timing
from alysd.types.auxpow import AuxPowHeader
from alysd.types.hashes import AuxHash, BlockHash, EvmAddress
from alysd.types.units import Sat

REGULARS = 64
"""The maximum number of regulars. A chain has a few pools; the regular with the oldest proof is removed first."""

OFFERS_TO_NEWCOMERS = 32_768
"""The maximum number of offers to all recipients that are not regulars, together.

This many offers take about 15 MB. Even the fastest flood that the RPC server can process needs over 20 s to
displace a new offer.
"""


CLEARED_AT_ONCE = 2
"""The maximum number of offers removed per new offer, so that no request waits while a flood is cleared."""

MORE_BLOCKS = 10
"""A miner gets a new offer before `Timing.work_renewed` if it has more than this many additional blocks.

This happens when the node has just caught up."""

MORE_REWARD = 0.1
"""A miner gets a new offer at once if the reward has grown by more than this fraction and `MORE_SATOSHI`."""

MORE_SATOSHI = Sat(1_000)


def worth_new_work(old: MiningOffer, new: MiningOffer) -> bool:
    """Whether a miner should change from `old` to `new`, because `old` is obsolete or `new` pays clearly more.

    `old` is obsolete if the last final block has changed, or if the newest block of `old` is not on the branch of
    the head.
    """
    before, after = old.work.bundle, new.work.bundle
    place = len(before.hashes) - 1
    if old.previous != new.previous or after.hashes[place : place + 1] != before.hashes[-1:]:
        return True
    more_reward = new.reward - old.reward
    pays_more = more_reward >= MORE_SATOSHI and more_reward > old.reward * MORE_REWARD
    return pays_more or after.end_height - before.end_height > MORE_BLOCKS


@attrs.frozen
class RememberedOffer:
    """Offered work. `header` has all fields of the header in which a block will include the proof, but no proof.

    The header covers `bundle_length` blocks, and `previous` is the final block before these blocks. The hashes of
    the blocks are not kept, because there may be thousands.
    """

    aux_hash: AuxHash
    header: AuxPowHeader
    bundle_length: int
    previous: BlockHash


_Room = OrderedDict[AuxHash, tuple[float, RememberedOffer]]
"""Offers by aux hash, each with the time at which it expires, in the order of removal."""


class OfferBook:
    """The offers by aux hash. Times are in seconds of one monotonic clock."""

    def __init__(
        self, timing: Timing, *, regulars: int = REGULARS, newcomer_offers: int = OFFERS_TO_NEWCOMERS
    ) -> None:
        self._most_regulars, self._newcomer_offers = regulars, newcomer_offers
        self._life = timing.offer_life
        self._offers_per_regular = ceil(timing.offer_life / timing.slot_seconds)  # one new offer per slot
        self._newcomers: _Room = OrderedDict()
        self._regulars: OrderedDict[EvmAddress, _Room] = OrderedDict()
        self._renewed = timing.work_renewed
        self._current: OrderedDict[EvmAddress, tuple[float, MiningOffer]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._newcomers) + sum(len(room) for room in self._regulars.values())

    def add(self, offer: RememberedOffer, now: float) -> None:
        """Add an offer. If it is in the book already, reset its age."""
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

    def current(self, recipient: EvmAddress, now: float) -> MiningOffer | None:
        """The newest offer to `recipient`, unless it is older than `Timing.work_renewed`."""
        expires, offer = self._current.get(recipient, (now, None))
        return offer if expires > now else None

    def show(self, offer: MiningOffer, now: float) -> None:
        """Record `offer` as the newest to its recipient, which `current` returns."""
        self._current[offer.work.fee_recipient] = (now + self._renewed, offer)
        self._current.move_to_end(offer.work.fee_recipient)
        for _ in range(CLEARED_AT_ONCE):
            recipient, (expires, _offer) = next(iter(self._current.items()))
            if expires <= now:
                del self._current[recipient]

    def find(self, aux_hash: AuxHash, now: float) -> RememberedOffer | None:
        """The offer with this hash; None if it was never made, has expired or was removed."""
        for room in (self._newcomers, *self._regulars.values()):
            expires, offer = room.get(aux_hash, (now, None))
            if expires > now:
                return offer
        return None

    def proven(self, recipient: EvmAddress) -> None:
        """Record that `recipient` has submitted a valid proof: it becomes the regular with the newest proof."""
        self._regulars.setdefault(recipient, OrderedDict())
        self._regulars.move_to_end(recipient)
        if len(self._regulars) > self._most_regulars:
            self._regulars.popitem(last=False)
