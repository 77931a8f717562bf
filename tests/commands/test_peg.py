"""`alysd peg`: what a person types or scans pays the federation, and names the recipient."""

import json
from typing import Any

import pytest
import segno
import trio

from alysd.cli import main
from alysd.testing.http_server import Reply, refusal, result, serving

TO = "0x2992504C5C8fe1995c84EA5e98aaB0A146bBd472"
DATA = TO[2:].lower()
ADDRESS = "bcrt1pzfyhn35mfyuj0ys4uyt03uwqh67fhc29evj9cgw3c8f7cqxy2clq84j7uv"
ANSWER = {
    "address": ADDRESS,
    "network": "regtest",
    "minimum": 100_000,
    "confirmations": 6,
    "recipient": TO,
    "data": DATA,
    "script": f"6a14{DATA}",
}


async def run(answer: Any, *options: str) -> tuple[int, list[dict[str, Any]]]:
    """Run `alysd peg in` against a node that gives this answer; its exit status and the node's requests."""
    reply = answer if isinstance(answer, Reply) else result(answer)

    async def answered(_request: dict[str, Any]) -> Reply:
        return reply

    async with serving(answered) as server:
        words = ["peg", "in", "--url", server.url, *options]
        code = await trio.to_thread.run_sync(main, words)
        return code, server.requests


async def test_a_deposit_is_shown_with_both_outputs(capsys: pytest.CaptureFixture[str]) -> None:
    """A deposit without the OP_RETURN output is not credited."""
    code, requests = await run(ANSWER, "--to", TO, "--amount", "0.01")
    said = capsys.readouterr().out
    assert code == 0
    assert [(one["method"], one["params"]) for one in requests] == [("getdepositaddress", [TO.lower()])]
    send, psbt = (line for line in said.splitlines() if "bitcoin-cli" in line)
    assert json.loads(send.split("'")[1]) == [{ADDRESS: 0.01}, {"data": DATA}]
    assert psbt.split("'")[1:] == ["[]", " ", *send.split("'")[1:]]
    assert f"0.01000000 BTC to  {ADDRESS}" in said
    assert f"OP_RETURN with   {DATA}" in said
    assert "on regtest" in said
    assert "after 6 confirmations and one more" in said
    assert f"bitcoin:{ADDRESS}?amount=0.01000000&req-op_return_raw={DATA}" in said


async def test_the_qr_code_has_the_recipient_too(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A wallet that scans the address alone would send bitcoin that nobody gets."""
    made: list[str] = []
    real = segno.make

    def noted(content: str, **options: Any) -> segno.QRCode:
        made.append(content)
        return real(content, **options)

    monkeypatch.setattr(segno, "make", noted)
    assert (await run(ANSWER, "--to", TO))[0] == 0
    assert made == [f"bitcoin:{ADDRESS}?amount=0.00100000&req-op_return_raw={DATA}"]
    shown = capsys.readouterr().out
    assert "▀" in shown
    assert all(len(line) <= 120 for line in shown.splitlines() if "▀" in line)
    assert (await run(ANSWER, "--to", TO, "--no-qr"))[0] == 0
    assert "▀" not in capsys.readouterr().out


@pytest.mark.parametrize("amount", ["0", "-1", "0.000000001", "x", "nan", "inf", "1e400", "21000001", ""])
async def test_an_impossible_amount_is_refused(amount: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert (await run(ANSWER, "--to", TO, f"--amount={amount}"))[0] == 2
    assert "must be an amount of bitcoin" in capsys.readouterr().err


async def test_less_than_the_minimum_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    """It would be lost."""
    assert (await run(ANSWER, "--to", TO, "--amount", "0.00099999"))[0] == 2
    assert "at least 0.00100000 BTC" in capsys.readouterr().err


@pytest.mark.parametrize("to", ["0x12", "x", "0x2992504C5C8fe1995c84EA5e98aaB0A146bBd473"])
def test_a_wrong_account_is_refused(to: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Nobody could spend the BTC."""
    assert main(["peg", "in", "--to", to]) == 2
    assert f"--to {to}" in capsys.readouterr().err


@pytest.mark.parametrize(
    "answer",
    [
        "text",
        {},
        {**ANSWER, "address": "bc1'; rm -rf"},
        {**ANSWER, "minimum": "many"},
        {**ANSWER, "network": "\x1b[2J"},
        None,
    ],
)
async def test_an_answer_that_is_no_address_is_not_shown(answer: Any, capsys: pytest.CaptureFixture[str]) -> None:
    """Another program may listen there. Its answer must not reach a shell."""
    assert (await run(answer, "--to", TO))[0] == 1
    said = capsys.readouterr()
    assert said.out == ""
    assert "not that of an Alys node" in said.err


@pytest.mark.parametrize(
    ("address", "reason"),
    [
        ("b" * 3_000, "the address is not 1 to 90 letters and digits"),
        ("", "the address is not 1 to 90 letters and digits"),
        (ADDRESS[:-1] + "w", "the text is not a Bitcoin address"),
        ("bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4", "the address is not one of the network regtest"),
        ("bcrt1q\x1b[2J", "letters and digits"),
        (["a"], "address: not a string"),
    ],
)
async def test_an_address_that_cannot_be_paid_is_refused_by_name(
    address: Any, reason: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """3,000 letters do not fit into a QR code, and broke the command."""
    assert (await run({**ANSWER, "address": address}, "--to", TO))[0] == 1
    said = capsys.readouterr()
    assert said.out == ""
    assert reason in said.err
    assert "\x1b" not in said.err


async def test_the_zero_address_is_refused_before_the_node_is_asked(capsys: pytest.CaptureFixture[str]) -> None:
    """Nothing would be credited, and only the operators could return the bitcoin."""
    code, requests = await run(ANSWER, "--to", "0x" + "00" * 20)
    assert (code, requests) == (2, [])
    assert "a deposit to the zero address is not credited" in capsys.readouterr().err


async def test_a_chain_without_a_peg_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    words = "the chain test has no peg: do not send bitcoin to its federation"
    assert (await run(refusal(-32605, words, 200), "--to", TO))[0] == 1
    assert words in capsys.readouterr().err


@pytest.mark.parametrize(
    "changed",
    [
        {"minimum": -5},
        {"minimum": True},
        {"minimum": 10**30},
        {"confirmations": 10**4_200},
        {"confirmations": "6"},
    ],
    ids=lambda one: str(one)[:30],
)
async def test_numbers_that_no_chain_has_are_not_shown(
    changed: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    code, _ = await run({**ANSWER, **changed}, "--to", TO)
    said = capsys.readouterr()
    assert (code, said.out) == (1, "")
    assert "the answer to getdepositaddress is not that of an Alys node" in said.err
