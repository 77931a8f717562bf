"""The parent block: a header that hashes what it says, a block that another library reads, a proof that holds."""

import pytest
from btclib.block.block import Block

from alysd.consensus.auxpow import check_auxpow
from alysd.testing.blocks import CHAIN_ID
from alysd.types.auxpow import BitcoinHeader
from alysd.types.bitcoin import CommitmentPlace
from alysd.wire.auxpow import decode_auxpow, decode_header, encode_auxpow
from tests.wire.samples import WORK, candidate

ANY_TARGET = 2**256 - 1


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
