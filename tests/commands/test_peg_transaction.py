"""`alysd peg transaction`: the hex goes from anybody's node into `bitcoin-cli sendrawtransaction`."""

from typing import Any

import attrs
import pytest

from alysd.cli import main
from alysd.testing.http_server import refusal
from alysd.types.hashes import BitcoinHash, displayed
from alysd.types.peg import OutPoint, TransactionInput, TransactionOutput
from alysd.types.units import Sat
from alysd.wire.bitcoin_transaction import encode_transaction, make_transaction
from tests.commands.peg_answers import run

BARE = make_transaction(
    2,
    [TransactionInput(OutPoint(BitcoinHash(b"\x07" * 32), 0), b"", 0xFFFFFFFD)],
    [TransactionOutput(Sat(5_000), b"\x51")],
    0,
)
PAYMENT = attrs.evolve(BARE, witness=((b"\x01" * 64,),))
OTHER = attrs.evolve(make_transaction(1, BARE.inputs, BARE.outputs, 0), witness=PAYMENT.witness)
TXID = displayed(PAYMENT.txid)
HEX = encode_transaction(PAYMENT).hex()


async def test_the_hex_alone_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    code, requests = await run({"getpegtransaction": [{"txid": TXID, "hex": HEX}]}, "transaction", TXID.upper())
    assert (code, requests[0]["params"]) == (0, [TXID])
    assert capsys.readouterr().out == f"{HEX}\n"


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (None, "hex: not a string"),
        ({"hex": 5}, "hex: not a string"),
        ({"hex": HEX[:-2]}, "not that of an Alys node"),
        ({"hex": "\x1b[2J"}, "hex: not hex"),
        ({"hex": encode_transaction(OTHER).hex()}, f"another transaction, {displayed(OTHER.txid)}"),
        ({"hex": encode_transaction(BARE).hex()}, "without witness"),
    ],
)
async def test_nothing_else_is_printed(answer: Any, reason: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert (await run({"getpegtransaction": [answer]}, "transaction", TXID))[0] == 1
    said = capsys.readouterr()
    assert (said.out, reason in said.err, "\x1b" in said.err) == ("", True, False)


async def test_a_refusal_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    answer = refusal(-32606, "the payment is not signed yet", 200)
    assert (await run({"getpegtransaction": [answer]}, "transaction", TXID))[0] == 1
    assert "is not signed yet" in capsys.readouterr().err


@pytest.mark.parametrize("txid", ["0x" + "ab" * 32, "ab", "zz" * 32, ""])
def test_a_txid_has_64_digits(txid: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(["peg", "transaction", txid])
    assert "invalid txid value" in capsys.readouterr().err
