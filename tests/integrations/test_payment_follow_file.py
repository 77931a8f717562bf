"""The file of what a signer knows of the chain: whole, of this chain, or refused."""

from pathlib import Path

import attrs
import pytest

from alysd.errors import Corrupt, StoreError, WrongChain
from alysd.integrations.payment_follow_file import read_follow_file, write_follow_file
from alysd.integrations.payment_follower import Knowledge
from alysd.peg.followed import FollowedLedger
from alysd.types.following import Followed
from alysd.types.hashes import BlockHash
from alysd.types.units import Height, Slot
from tests.peg.payment_kit import make_payment, spendings_of

GENESIS = BlockHash(b"\x07" * 32)
PAYMENT = attrs.evolve(make_payment(spendings_of(3), fees=(2_000, 4_000)))
KNOWN = Knowledge(
    Followed(BlockHash(b"\x01" * 32), Height(12), Slot(900), 0x207FFFFF),
    FollowedLedger({one.spends: one for one in PAYMENT.inputs}, (PAYMENT,), 7),
)


def test_what_is_written_is_read(tmp_path: Path) -> None:
    path = tmp_path / "followed"
    assert read_follow_file(path, GENESIS) is None
    write_follow_file(path, GENESIS, KNOWN)
    assert read_follow_file(path, GENESIS) == KNOWN
    assert path.stat().st_mode & 0o777 == 0o600


def test_any_damage_is_noticed(tmp_path: Path) -> None:
    """A wrong output or payment would be signed for, or never again."""
    path = tmp_path / "followed"
    write_follow_file(path, GENESIS, KNOWN)
    good = path.read_bytes()
    for place in range(len(good)):
        path.write_bytes(good[:place] + bytes([good[place] ^ 1]) + good[place + 1 :])
        with pytest.raises(Corrupt, match="remove it, and the signer follows the chain from the genesis block"):
            read_follow_file(path, GENESIS)
    for length in (0, 5, 60, len(good) - 1):
        path.write_bytes(good[:length])
        with pytest.raises(Corrupt):
            read_follow_file(path, GENESIS)


def test_the_file_of_another_chain_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "followed"
    write_follow_file(path, GENESIS, KNOWN)
    with pytest.raises(WrongChain, match="give each chain its own file"):
        read_follow_file(path, BlockHash(bytes(32)))


def test_a_disk_that_fails_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(StoreError):
        write_follow_file(tmp_path / "missing" / "followed", GENESIS, KNOWN)
    with pytest.raises(StoreError):
        read_follow_file(tmp_path, GENESIS)
