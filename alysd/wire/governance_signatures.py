"""Requests for signatures of payments, and the answers, as messages of the governance (docs/governance.md).

Importing this module needs the extra `governance`.
"""

import re

from alysd.types.federation_update import MAX_UPDATE_MEMBERS
from alysd.types.governance import PaymentToSign
from alysd.types.hashes import BitcoinHash, SchnorrSignature, XOnlyKey, displayed
from alysd.types.peg import MAX_INPUTS, PegSignature
from alysd.wire.governance_v1 import governance_pb2 as pb
from alysd.wire.governance_values import GovernanceRefused, RequestDeclined, SignaturesGiven
from alysd.wire.plain_text import plain

KEY_BYTES, SIGNATURE_BYTES = 32, 64
"""The bytes of a member's x-only Bitcoin key, and of a signature (BIP-340)."""

PAYMENT = "payment"
"""The `tx_type` of a request: a node asks for signatures of the payments of the chain, and of nothing else."""

_REQUEST = re.compile(r"signature-([0-9a-f]{64})")
_MOST_SIGNERS = 2 * MAX_UPDATE_MEMBERS


def request_of(txid: BitcoinHash) -> str:
    """The id of the request for signatures of the payment's version `txid`."""
    return f"signature-{displayed(txid)}"


def signature_request(payment: PaymentToSign, seconds: int) -> pb.SignatureRequest:
    """The request for signatures of all inputs of a payment."""
    return pb.SignatureRequest(
        tx_hex=payment.transaction.hex(),
        input_indices=range(len(payment.amounts)),
        amounts=payment.amounts,
        tx_type=PAYMENT,
        required_signatures=payment.needed,
        timeout_seconds=seconds,
    )


def decode_signatures(
    request: str, given: pb.SignatureResponse, again: tuple[int, ...]
) -> SignaturesGiven | RequestDeclined:
    """Read the answer to `request`. With one of the statuses in `again`, the node asks later once more.

    Raises `GovernanceRefused` for an answer that cannot be one. Whether the signatures are valid, and whether the
    payment is in flight, is not judged here.
    """
    named = _REQUEST.fullmatch(request)
    if named is None:
        raise _bad(f"it names the request {plain(request[:80])!r}, which asks for none")
    if given.status != pb.STATUS_SUCCESS:
        return RequestDeclined(request, plain(given.failure_reason) or "no reason given", given.status in again)
    found = (*given.signatures, *given.partial_signatures)
    if not 1 <= len(found) <= _MOST_SIGNERS:
        raise _bad(f"it has those of {len(found)} members, not of 1 to {_MOST_SIGNERS}")
    txid = BitcoinHash(bytes.fromhex(named[1])[::-1])
    return SignaturesGiven(request, tuple(_signature(txid, one) for one in found))


def _signature(txid: BitcoinHash, data: bytes) -> PegSignature:
    count, rest = divmod(len(data) - KEY_BYTES, SIGNATURE_BYTES)
    if rest or not 1 <= count <= MAX_INPUTS:
        raise _bad(
            f"those of a member have {len(data)} bytes, not {KEY_BYTES} and {SIGNATURE_BYTES} for each input"
        )
    parts = [data[at : at + SIGNATURE_BYTES] for at in range(KEY_BYTES, len(data), SIGNATURE_BYTES)]
    return PegSignature(txid, XOnlyKey(data[:KEY_BYTES]), tuple(SchnorrSignature(one) for one in parts))


def _bad(reason: str) -> GovernanceRefused:
    return GovernanceRefused("bad signatures", reason)
