"""Reads the burns of a block from the logs of the bridge contract (docs/protocol.md, "Burns").

Only a log whose address is that of the bridge counts: every contract can emit a log with the same topics and data.
The contract's code is fixed, so its logs have one form. Another form is an error of the execution client.
"""

from collections.abc import Iterator, Sequence

from alysd.errors import Malformed
from alysd.types.block import ExecutionPayload
from alysd.types.hashes import EvmAddress, TransactionHash
from alysd.types.peg import BRIDGE_ADDRESS, MAX_ADDRESS_BYTES, Burn
from alysd.types.units import WEI_PER_SAT, Sat
from alysd.wire.keccak import keccak256
from alysd.wire.rlp import FIRST_LIST_BYTE, RlpItem, as_bytes, as_list, decode

REQUEST_TOPIC = keccak256(b"RequestPegOut(address,bytes,uint256)")
"""The first topic of the bridge's log. The second one is the sender."""

_WORD = 32


def burns_in(payload: ExecutionPayload, receipts: Sequence[bytes]) -> tuple[Burn, ...]:
    """The burns of a block, in the order of its logs, from receipts that its receipts root covers.

    Takes no time for a block without a log of the bridge. Raises `Malformed` for a log that the bridge cannot
    emit.
    """
    if not (bloom_has(payload.logs_bloom, BRIDGE_ADDRESS) and bloom_has(payload.logs_bloom, REQUEST_TOPIC)):
        return ()
    return tuple(
        burn
        for raw, receipt in zip(payload.transactions, receipts, strict=True)
        for burn in _burns_of(raw, receipt)
    )


def bloom_has(bloom: bytes, item: bytes) -> bool:
    """Whether an address or topic may be in a block's logs (Yellow Paper, 4.3.1). False positives are possible."""
    digest, bits = keccak256(item), int.from_bytes(bloom, "big")
    return all(bits >> (int.from_bytes(digest[at : at + 2], "big") % 2048) & 1 for at in (0, 2, 4))


def _burns_of(raw: bytes, receipt: bytes) -> Iterator[Burn]:
    """The burns of the signed transaction `raw`."""
    body = receipt if receipt[0] >= FIRST_LIST_BYTE else receipt[1:]
    transaction: TransactionHash | None = None
    for log in as_list(as_list(decode(body), 4)[3]):
        address, topics, data = as_list(log, 3)
        if address == BRIDGE_ADDRESS:
            # Hashed once: a transaction can have megabytes, and a thousand burns.
            transaction = transaction or TransactionHash(keccak256(raw))
            yield _burn(transaction, as_list(topics), as_bytes(data))


def _burn(transaction: TransactionHash, topics: list[RlpItem], data: bytes) -> Burn:
    """Decode a log of the bridge (Solidity's ABI): the offset of the address, the value, the address."""
    if len(topics) != 2 or topics[0] != REQUEST_TOPIC:
        raise Malformed("a log of the bridge must be a RequestPegOut with one indexed sender")
    sender = as_bytes(topics[1], _WORD)
    offset, value, length = (int.from_bytes(data[at : at + _WORD], "big") for at in (0, _WORD, 2 * _WORD))
    padded = -length % _WORD
    whole = 3 * _WORD + length + padded
    if any(sender[:12]) or offset != 2 * _WORD or not 0 < length <= MAX_ADDRESS_BYTES or len(data) != whole:
        raise Malformed(f"a log of the bridge with {len(data)} bytes is not in the form of the contract")
    text = data[3 * _WORD : 3 * _WORD + length]
    return Burn(transaction, EvmAddress(sender[12:]), text, Sat(value // WEI_PER_SAT))
