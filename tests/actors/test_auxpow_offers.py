"""The book of offers, and which offers it keeps under a flood of requests."""

import attrs
import pytest

from alysd.actors.auxpow_offers import MORE_BLOCKS, MORE_SATOSHI, OfferBook, RememberedOffer, worth_new_work
from alysd.messages.auxpow import MiningOffer
from alysd.testing.blocks import CHAIN_ID, MINER, digest
from alysd.testing.chain import EASY_BITS
from alysd.timing import Timing
from alysd.types.auxpow import AuxPowHeader, AuxWork, Bundle
from alysd.types.hashes import AuxHash, BlockHash, EvmAddress
from alysd.types.units import Height, Sat, Slot

TIMING = Timing(180)
"""With slots so long, 5 offers of a regular are remembered."""

FINAL = BlockHash(digest("final"))


def offer(name: object, recipient: EvmAddress = MINER) -> RememberedOffer:
    start, end = BlockHash(digest("start")), BlockHash(digest("end", name))
    header = AuxPowHeader(start, end, EASY_BITS, CHAIN_ID, recipient, None)
    return RememberedOffer(AuxHash(digest("work", name, recipient)), header, 1, FINAL)


def stranger(number: int) -> EvmAddress:
    return EvmAddress(number.to_bytes(20, "big"))


def small_book() -> OfferBook:
    return OfferBook(TIMING, regulars=3, newcomer_offers=100)


def test_an_offer_is_found_by_its_hash_until_it_is_too_old() -> None:
    """A miner's proof would be refused, or offers would pile up for ever."""
    book, made = small_book(), offer(1)
    book.add(made, now=10.0)
    assert book.find(made.aux_hash, now=10.0 + TIMING.offer_life - 0.1) == made
    assert book.find(made.aux_hash, now=10.0 + TIMING.offer_life) is None
    assert book.find(AuxHash(digest("never")), now=10.0) is None


def test_asking_again_makes_an_offer_young_again() -> None:
    """A pool that renews its work every few seconds would lose it to the age limit."""
    book, made = small_book(), offer(1)
    book.add(made, now=0.0)
    book.add(made, now=TIMING.offer_life - 1)
    assert len(book) == 1
    assert book.find(made.aux_hash, now=TIMING.offer_life + 1) == made


def test_old_offers_make_room_when_new_ones_come() -> None:
    book = small_book()
    for number in range(10):
        book.add(offer(number), now=float(number))
    for number in range(3):
        book.add(offer(("late", number)), now=TIMING.offer_life + 5)
    assert len(book) == 10 + 3 - 6  # numbers 0 to 5 are too old, and two go for each that comes
    assert book.find(offer(6).aux_hash, now=TIMING.offer_life + 5) is not None


def test_a_flood_of_addresses_is_bounded_and_does_not_reach_who_has_proven_work() -> None:
    """Anyone who reaches the RPC could make the node refuse the proofs of the pools that secure it."""
    book = small_book()
    book.proven(MINER)
    mine = offer("mine")
    book.add(mine, now=0.0)
    for number in range(1000):
        book.add(offer(number, stranger(number)), now=1.0)
    assert len(book) == 100 + 1
    assert book.find(mine.aux_hash, now=1.0) == mine


def test_a_newcomer_who_keeps_asking_outlives_a_flood_smaller_than_the_room() -> None:
    book, newcomer = small_book(), offer("newcomer", stranger(10**6))
    for number in range(1000):
        if number % 50 == 0:
            book.add(newcomer, now=1.0)
        book.add(offer(number, stranger(number)), now=1.0)
    assert book.find(newcomer.aux_hash, now=1.0) == newcomer


def test_a_regular_has_a_bounded_room_too() -> None:
    """A proof costs nothing on a development chain: it must not buy unlimited memory."""
    book = small_book()
    book.proven(MINER)
    for number in range(20):
        book.add(offer(number), now=1.0)
    assert len(book) == 5
    assert book.find(offer(19).aux_hash, now=1.0) is not None


def test_the_regular_who_proved_longest_ago_makes_room_for_another() -> None:
    book = small_book()
    for number in range(3):
        book.proven(stranger(number))
        book.add(offer(number, stranger(number)), now=1.0)
    book.proven(stranger(0))
    book.proven(stranger(3))
    assert book.find(offer(1, stranger(1)).aux_hash, now=1.0) is None
    assert book.find(offer(0, stranger(0)).aux_hash, now=1.0) is not None


def test_an_offer_made_before_its_miner_was_proven_stays_known() -> None:
    """The second proof of a new miner, for work he got before his first, would be refused."""
    book, early = small_book(), offer("early")
    book.add(early, now=0.0)
    book.proven(MINER)
    assert book.find(early.aux_hash, now=1.0) == early


def shown(blocks: int, reward: int = 0, recipient: EvmAddress = MINER, branch: str = "a") -> MiningOffer:
    """An offer of work on so many blocks after `FINAL`; the second half of them is on `branch`."""
    hashes = tuple(BlockHash(digest(n, "a" if n < 5 else branch)) for n in range(blocks))
    bundle = Bundle(hashes, Height(blocks), Slot(blocks), Slot(0))
    work = AuxWork(AuxHash(digest("work", blocks, branch)), bundle, recipient, EASY_BITS)
    return MiningOffer(work, 1, FINAL, Sat(reward))


OLD = shown(6, 10_000)


@pytest.mark.parametrize(
    ("new", "worth"),
    [
        (OLD, False),
        (shown(7, 10_100), False),
        (shown(6 + MORE_BLOCKS, 11_000), False),
        (shown(7 + MORE_BLOCKS, 10_000), True),
        (shown(7, 11_001), True),
        (shown(6, 10_000, branch="b"), True),
        (shown(7, 10_000, branch="b"), True),
        (shown(5, 10_000), True),
        (attrs.evolve(OLD, previous=BlockHash(digest("other"))), True),
    ],
    ids=[
        "same",
        "a block",
        "ten blocks",
        "eleven blocks",
        "more fees",
        "branch",
        "higher branch",
        "shorter",
        "final",
    ],
)
def test_what_is_worth_new_work(new: MiningOffer, worth: bool) -> None:
    """Pools would restart their workers for every block, or go on with work that no block can include."""
    assert worth_new_work(OLD, new) is worth


def test_small_rewards_are_no_news() -> None:
    """The first fees of a range are more than ten percent of nothing."""
    assert not worth_new_work(shown(1, 0), shown(2, MORE_SATOSHI - 1))
    assert worth_new_work(shown(1, 0), shown(2, MORE_SATOSHI))


def test_a_recipients_newest_offer_is_shown_for_ten_seconds() -> None:
    """An offer must not be repeated for ever or to another recipient, and a flood must not leave memory in use."""
    book = small_book()
    book.show(OLD, now=0.0)
    assert book.current(MINER, now=TIMING.work_renewed - 0.1) == OLD
    assert book.current(MINER, now=TIMING.work_renewed) is None
    assert book.current(stranger(1), now=0.0) is None
    for number in range(1000):
        book.show(shown(1, recipient=stranger(number)), now=number * 0.1)
    assert sum(book.current(stranger(number), now=0.0) is not None for number in range(1000)) <= 101
