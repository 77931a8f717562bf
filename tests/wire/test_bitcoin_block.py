"""The parent block: a header that hashes what it says, a block that another library reads, a proof that holds."""

import pytest
from btclib.block.block import Block

from alysd.consensus.auxpow import check_auxpow, commitment
from alysd.testing.blocks import CHAIN_ID
from alysd.types.auxpow import BitcoinHeader
from alysd.types.bitcoin import CommitmentPlace, TemplateTransaction
from alysd.types.hashes import BitcoinHash, sha256d
from alysd.wire.auxpow import decode_auxpow, decode_header, encode_auxpow
from alysd.wire.bitcoin_block import ParentCandidate, build_candidate
from tests.wire.test_bitcoin_coinbase import PAYOUT, WORK, template

ANY_TARGET = 2**256 - 1


def transaction(number: int) -> TemplateTransaction:
    """A small transaction without witness."""
    spent = sha256d(number.to_bytes(4, "little"))
    raw = bytes.fromhex("0200000001") + spent + bytes(4) + b"\x00" + b"\xff" * 4
    raw += b"\x01" + (1000).to_bytes(8, "little") + b"\x01\x51" + bytes(4)
    txid = BitcoinHash(sha256d(raw))
    return TemplateTransaction(txid, txid, raw)


def candidate(transactions: int, place: CommitmentPlace = CommitmentPlace.SCRIPT_SIG) -> ParentCandidate:
    filled = template(transactions=tuple(transaction(number) for number in range(transactions)))
    return build_candidate(filled, PAYOUT, commitment(WORK), place, 1)


@pytest.mark.parametrize("place", CommitmentPlace)
@pytest.mark.parametrize("transactions", [0, 1, 2, 5, 300])
def test_the_proof_of_any_parent_block_holds(transactions: int, place: CommitmentPlace) -> None:
    """A solved block would be worth nothing to Alys; its proof must survive the wire too."""
    auxpow = candidate(transactions, place).auxpow(nonce=77)
    check_auxpow(auxpow, WORK, CHAIN_ID, ANY_TARGET)
    assert decode_auxpow(encode_auxpow(auxpow)) == auxpow


@pytest.mark.parametrize("transactions", [0, 3, 300])
def test_another_library_reads_the_block(transactions: int) -> None:
    """A Bitcoin node would refuse a block whose parts do not fit together: counts, Merkle root, order."""
    made = candidate(transactions)
    raw = made.block(nonce=5)
    parsed = Block.parse(raw, check_validity=False)
    assert parsed.serialize(check_validity=False) == raw
    parsed.assert_valid_merkle_root()
    parsed.assert_valid_witness_commitment()
    assert (parsed.height, parsed.header.nonce) == (made.template.height, 5)


def test_the_header_says_what_the_template_says() -> None:
    made = candidate(0)
    raw = made.header(nonce=0x01020304)
    assert len(raw) == 80
    assert decode_header(raw) == BitcoinHeader(
        raw=raw,
        version=made.template.version,
        previous=made.template.previous,
        merkle_root=made.coinbase.stripped.txid,
        time=made.template.time,
        bits=made.template.bits,
        nonce=0x01020304,
    )
