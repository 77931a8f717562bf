"""The file with a payment signer's knowledge of the chain, which is replaced as a whole after every step.

It has a line of text, the hash of the genesis block, the knowledge in SSZ, and a checksum over all of these. It is
no secret, and a lost or damaged one costs only time: without it, the signer follows the chain from the genesis
block.
"""

from pathlib import Path

import attrs

from alysd.config.regular_file import read_regular
from alysd.errors import Corrupt, Malformed, StoreError, WrongChain
from alysd.integrations.durable import replace_file
from alysd.integrations.payment_follower import Knowledge
from alysd.peg.followed import FollowedLedger
from alysd.types.following import Followed
from alysd.types.hashes import BlockHash, displayed, sha256
from alysd.types.peg import MAX_INPUTS, OutPoint, Payee, Payment, PaymentInput, PaymentVersion
from alysd.wire.ssz import ByteList, Bytes, UInt
from alysd.wire.ssz_composite import Container, ListOf, Option

_HEAD = b"alysd followed chain 1\n"
_HASH_BYTES = 32
_MOST = 2**32

_MOST_BYTES = 2**30
"""The largest file that is read. Ten million outputs and payees have some 0.5 GB."""

_OUTPOINT = Container(OutPoint, txid=Bytes(32), index=UInt(4))
_OUTPUT = Container(PaymentInput, spends=_OUTPOINT, amount=UInt(8), federation=UInt(4))
_PAYEE = Container(Payee, request=UInt(8), script=ByteList(2**16), owed=UInt(8))
_VERSION = Container(PaymentVersion, txid=Bytes(32), fee=UInt(8), signed=Option(UInt(8)))
_PAYMENT = Container(
    Payment,
    inputs=ListOf(_OUTPUT, MAX_INPUTS),
    payees=ListOf(_PAYEE, _MOST),
    change=UInt(8),
    federation=UInt(4),
    reserve_fee=UInt(8),
    versions=ListOf(_VERSION, _MOST),
)
_FOLLOWED = Container(Followed, hash=Bytes(32), height=UInt(8), slot=UInt(8), bits=UInt(4))


@attrs.frozen
class _Content:
    at: Followed
    outputs: tuple[PaymentInput, ...]
    payments: tuple[Payment, ...]
    next_request: int


_CONTENT = Container(
    _Content,
    at=_FOLLOWED,
    outputs=ListOf(_OUTPUT, _MOST),
    payments=ListOf(_PAYMENT, _MOST),
    next_request=UInt(8),
)


def read_follow_file(path: Path, genesis: BlockHash) -> Knowledge | None:
    """Read the file; None if there is none. Raises `Corrupt`, `WrongChain`, or `StoreError`."""
    try:
        data = read_regular(path, _MOST_BYTES)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise StoreError(f"cannot read the file of the followed chain {path}: {error.strerror}") from error
    body, check = data[:-_HASH_BYTES], data[-_HASH_BYTES:]
    start = len(_HEAD) + _HASH_BYTES
    if not body.startswith(_HEAD) or sha256(body) != check:
        raise _damaged(path)
    found = BlockHash(body[len(_HEAD) : start])
    if found != genesis:
        raise WrongChain(
            f"{path} belongs to the chain with the genesis block {displayed(found)}, but the specification has "
            f"{displayed(genesis)}: give each chain its own file"
        )
    try:
        content = _CONTENT.decode(body[start:])
    except Malformed:
        raise _damaged(path) from None
    outputs = {one.spends: one for one in content.outputs}
    return Knowledge(content.at, FollowedLedger(outputs, content.payments, content.next_request))


def write_follow_file(path: Path, genesis: BlockHash, known: Knowledge) -> None:
    """Replace the file. It is on disk when this returns. Raises `StoreError`."""
    ledger = known.ledger
    content = _Content(known.at, tuple(ledger.outputs.values()), ledger.payments, ledger.next_request)
    body = _HEAD + genesis + _CONTENT.encode(content)
    try:
        replace_file(path, body + sha256(body))
    except OSError as error:
        raise StoreError(f"cannot write the file of the followed chain {path}: {error.strerror}") from error


def _damaged(path: Path) -> Corrupt:
    return Corrupt(
        f"{path} is damaged: remove it, and the signer follows the chain from the genesis block again; the record "
        "of signed payments is another file, which must be kept"
    )
