"""`alysd peg out`: what is signed and sent, and what is refused before anything is."""

import contextlib
import io
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import trio
from eth_account import Account

from alysd.cli import main
from alysd.commands import peg_follow, peg_out
from alysd.config import encrypted_secret
from alysd.config.bridge import bridge_code
from alysd.integrations.new_key_file import write_key_file
from alysd.testing.http_server import Reply, refusal, result, serving
from alysd.types.peg import BRIDGE_ADDRESS
from alysd.wire.bridge_call import request_call
from alysd.wire.evm_address import checksum_address

SECRET = b"\x46" * 32
SENDER = "0x9d8a62f656a8d1615c1294fd71e9cfb3e4855a4f"
TO = "bcrt1qw508d6qejxtdg4y5r3zarvary0c5xw7kygt080"
FEDERATION = "bcrt1pzfyhn35mfyuj0ys4uyt03uwqh67fhc29evj9cgw3c8f7cqxy2clq84j7uv"
GWEI = 10**9
TERMS: dict[str, Any] = {
    "network": "regtest",
    "chainid": 121212,
    "address": FEDERATION,
    "contract": checksum_address(BRIDGE_ADDRESS),
    "pegoutminimum": 100_000,
    "servicefee": 1_000,
    "halted": False,
}
EXPECTED: dict[str, Any] = {
    "type": 2,
    "chainId": 121212,
    "nonce": 5,
    "maxPriorityFeePerGas": GWEI,
    "maxFeePerGas": 3 * GWEI,
    "gas": 37_500,
    "to": checksum_address(BRIDGE_ADDRESS),
    "value": 1_000_000 * 10**10,
    "data": request_call(TO.encode()),
}
SIGNED = Account.sign_transaction(EXPECTED, SECRET)
NAME: str = SIGNED.hash.to_0x_hex()
ANSWERS: dict[str, Any] = {
    "getpeg": TERMS,
    "getpegoperation": {"kind": "peg-out", "state": "confirmed", "over": True, "transaction": NAME},
    "eth_chainId": hex(121212),
    "eth_getCode": bridge_code(),
    "eth_getTransactionCount": "0x5",
    "eth_getBalance": hex(2 * 10**18),
    "eth_getBlockByNumber": {"baseFeePerGas": hex(GWEI)},
    "eth_maxPriorityFeePerGas": hex(GWEI),
    "eth_estimateGas": hex(30_000),
    "eth_sendRawTransaction": NAME,
    "eth_getTransactionByHash": None,
    "eth_getTransactionReceipt": {"status": "0x1"},
}


async def run(folder: Path, *options: str, yes: bool = True, **answers: Any) -> tuple[int, list[dict[str, Any]]]:
    """Run `alysd peg out` with these answers in place of the usual ones. The exit status and what was sent."""
    given: Mapping[str, Any] = {**ANSWERS, **answers}
    key = folder / "account.key"
    if not key.exists():
        write_key_file(key, "account", SECRET, "the public half")

    async def answered(request: dict[str, Any]) -> Reply:
        found = given[request["method"]]
        if callable(found):
            found = found(*request["params"])
        return found if isinstance(found, Reply) else result(found)

    chosen = {"--to": TO, "--amount": "0.01", "--key": str(key)}
    chosen |= dict(zip(options[::2], options[1::2], strict=True))
    async with serving(answered) as server:
        urls = ("--url", server.url, "--ethereum", server.url, *(("--yes",) if yes else ()))
        # A flag has no value here.
        words = [word for pair in chosen.items() for word in pair if word]
        code = await trio.to_thread.run_sync(main, ["peg", "out", *words, *urls])
        return code, [one for one in server.requests if one["method"] == "eth_sendRawTransaction"]


async def test_the_call_is_signed_as_the_library_signs_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, sent = await run(tmp_path)
    said = capsys.readouterr().out
    assert code == 0
    assert [one["params"] for one in sent] == [[SIGNED.raw_transaction.to_0x_hex()]]
    assert "0.01000000 BTC of the account 0x9d8A62f656a8d1615C1294fd71e9CFb3E4855A4F" in said
    assert "0.00999000 BTC less a share of the Bitcoin fee" in said
    assert "at most 0.00011250 BTC" in said, "the gas"
    assert f"follow it with `alysd peg watch {NAME}`" in said


async def test_the_hash_is_shown_before_the_transaction_is_sent(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Else a user who gets no answer could not know whether the burn was made."""
    shown: list[str] = []

    def sent(_raw: str) -> Reply:
        shown.append(capsys.readouterr().out)
        return refusal(-32000, "insufficient funds")

    code, _ = await run(tmp_path, eth_sendRawTransaction=sent)
    assert code == 1
    assert NAME in shown[0]
    said = capsys.readouterr().err
    assert "it is not certain whether the node has the transaction" in said
    assert "--nonce 5" in said
    assert "insufficient funds" in said


@pytest.mark.parametrize("answer", [refusal(-32000, "already known"), Reply(b"", 500), "0x" + "11" * 32])
async def test_a_burn_that_the_node_has_is_sent_whatever_it_answered(answer: Any, tmp_path: Path) -> None:
    """The answer can be lost on its way: a second burn must not follow from it."""
    known = {"hash": NAME}
    assert (await run(tmp_path, eth_sendRawTransaction=answer, eth_getTransactionByHash=known))[0] == 0
    assert (await run(tmp_path, eth_sendRawTransaction=answer))[0] == 1
    assert (await run(tmp_path, eth_sendRawTransaction=answer, eth_getTransactionByHash=Reply(b"?")))[0] == 1


@pytest.mark.parametrize(("typed", "code"), [("0.01\n", 0), ("yes\n", 2), ("", 2), ("0.1\n", 2)])
async def test_the_amount_confirms_it(
    typed: str, code: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(typed))
    found, sent = await run(tmp_path, yes=False)
    assert (found, len(sent)) == (code, 1 if code == 0 else 0)
    if code:
        assert "nothing was changed: type the amount, 0.01, or use --yes" in capsys.readouterr().err


async def test_it_can_be_watched_to_its_end(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(peg_follow, "POLL_SECONDS", 0.0)
    assert (await run(tmp_path, "--watch", ""))[0] == 0
    assert "confirmed: paid" in capsys.readouterr().out
    refunded = {"kind": "peg-out", "state": "refunded", "over": True, "transaction": NAME}
    assert (await run(tmp_path, "--watch", "", getpegoperation=refunded))[0] == 3
    waits = {**refunded, "state": "requested", "over": False}
    assert (await run(tmp_path, "--watch", "", "--timeout", "0.3", getpegoperation=waits))[0] == 4


async def test_a_call_that_fails_is_not_watched_for_ever(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The peg knows nothing of it."""
    monkeypatch.setattr(peg_out, "POLL_SECONDS", 0.0)
    receipts: list[Any] = [None, Reply(b"?"), refusal(-32000, "busy"), {"status": "0x0"}]

    def receipt(_name: str) -> Any:
        return receipts.pop(0)

    assert (await run(tmp_path, "--watch", "", eth_getTransactionReceipt=receipt))[0] == 2
    said = capsys.readouterr()
    assert "has failed: the gas is paid, and nothing is burned" in said.err
    assert "the call waits for a block" in said.out
    assert "no answer, asking again: execution client refused eth_getTransactionReceipt: busy" in said.out
    assert (await run(tmp_path, "--watch", "", "--timeout", "0.3", eth_getTransactionReceipt=None))[0] == 4


async def test_a_call_that_another_one_has_replaced_is_not_watched_for_ever(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    used: list[int] = []

    def count(_address: str, _tag: str) -> str:
        used.append(5 if len(used) < 2 else 6)
        return hex(used[-1])

    answers: dict[str, Any] = {"eth_getTransactionReceipt": None, "eth_getTransactionCount": count}
    assert (await run(tmp_path, "--watch", "", "--timeout", "60", **answers))[0] == 2
    assert "a block has another transaction of the account with the number 5" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "answers", "said"),
    [
        (("--to", "bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4"), {}, "not one of the network regtest"),
        (("--to", TO[:-1] + "1"), {}, "not a Bitcoin address"),
        (("--to", "bcrt1q\u202e"), {}, "not 1 to 90 letters and digits"),
        (("--to", FEDERATION), {}, "the federation's own"),
        (("--amount", "0.00099999"), {}, "burns of at least 0.00100000 BTC"),
        (("--amount", "0.000000001"), {}, "at most 8 decimals"),
        (("--amount", "1e999999999"), {}, "at most 8 decimals"),
        (("--amount", "-1"), {}, "at most 8 decimals"),
        (("--amount", "2.00000001"), {}, "the account has only 2.00000000 BTC"),
        (("--amount", "2"), {}, "the gas can cost 0.00011250 BTC"),
        (("--max-fee", "0.0001"), {}, "--max-fee 0.00010000: the gas can cost 0.00011250 BTC"),
        ((), {"eth_maxPriorityFeePerGas": hex(2**255)}, "wait until it is cheaper"),
        ((), {"getpeg": {**TERMS, "pegoutminimum": 1, "servicefee": 999_900}}, "would not relay the payment"),
        (("--chain-id", "1"), {}, "--chain-id 1: the node at"),
        ((), {"eth_chainId": "0x1"}, "the node is of the chain 1, not 121212"),
        ((), {"eth_getCode": "0x"}, "no bridge contract"),
        (("--nonce", "4"), {}, "a block already has the account's transaction"),
        (("--nonce", "6"), {}, "the account's next transaction has the number 5"),
    ],
)
async def test_a_mistake_is_found_before_anything_is_sent(
    options: tuple[str, ...],
    answers: dict[str, Any],
    said: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert await run(tmp_path, *options, **answers) == (2, [])
    assert said in capsys.readouterr().err


@pytest.mark.parametrize(("option", "what"), [("--nonce", "number"), ("--timeout", "number of seconds")])
def test_numbers_are_not_negative(option: str, what: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(["peg", "out", "--to", TO, "--amount", "0.01", "--key", "none", option, "-1"])
    assert f"argument {option}: invalid {what} value: '-1'" in capsys.readouterr().err


def counts(used: int, following: int) -> Callable[[str, str], str]:
    """Answers for the account's transactions, in blocks and with those that wait."""

    def count(_address: str, tag: str) -> str:
        return hex(used if tag == "latest" else following)

    return count


async def test_a_burn_that_may_wait_already_is_not_made_twice(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The usual mistake: no answer, so the command is called again."""
    code, sent = await run(tmp_path, eth_getTransactionCount=counts(5, 6))
    assert (code, sent) == (2, [])
    assert "that wait for a block: 1;" in capsys.readouterr().err
    code, sent = await run(tmp_path, "--nonce", "5", eth_getTransactionCount=counts(5, 6))
    assert [one["params"] for one in sent] == [[SIGNED.raw_transaction.to_0x_hex()]]
    assert (await run(tmp_path, "--nonce", "6", eth_getTransactionCount=counts(5, 6)))[0] == 1, "another hash"


WRONG: list[Any] = [None, 5, "5", "0x", "0x05", "-0x5", "0x1" + "0" * 70, [], {}, True, "0x" + "f" * 100_000]


@pytest.mark.parametrize("answer", WRONG, ids=lambda one: str(one)[:12])
@pytest.mark.parametrize(
    "method",
    ["eth_chainId", "eth_getTransactionCount", "eth_getBalance", "eth_maxPriorityFeePerGas", "eth_estimateGas"],
)
async def test_garbage_from_the_ethereum_node_signs_nothing(
    method: str, answer: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, sent = await run(tmp_path, **{method: answer})
    assert (code, sent) == (1, [])
    said = capsys.readouterr()
    assert f"the answer to {method} is not that of an Ethereum node" in said.err
    assert NAME not in said.out


@pytest.mark.parametrize(
    "answers",
    [
        {"eth_getBlockByNumber": None},
        {"eth_getBlockByNumber": {"baseFeePerGas": 7}},
        {"eth_getTransactionCount": hex(2**64 - 1)},
        {"eth_getTransactionCount": counts(6, 5)},
        {"eth_estimateGas": hex(100_001)},
        {"eth_estimateGas": hex(20_999)},
        {"eth_estimateGas": refusal(3, "execution reverted")},
        {"eth_getBalance": Reply(b"[" * 100_000)},
        {"eth_getCode": refusal(-32601, "no such method")},
    ],
    ids=lambda one: str(one)[:40],
)
async def test_other_wrong_answers_sign_nothing(answers: dict[str, Any], tmp_path: Path) -> None:
    assert await run(tmp_path, **answers) == (1, [])


@pytest.mark.parametrize(
    "changed",
    [
        {"chainid": 0},
        {"chainid": 2**63},
        {"chainid": True},
        {"chainid": "1"},
        {"network": "liquid"},
        {"network": None},
        {"address": "nonsense"},
        {"address": "\ud800"},
        {"contract": "0x" + "cc" * 20},
        {"contract": None},
        {"pegoutminimum": -1},
        {"pegoutminimum": 10**30},
        {"servicefee": -(10**9)},
        {"servicefee": 1.5},
    ],
    ids=str,
)
async def test_garbage_from_the_node_signs_nothing(
    changed: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, sent = await run(tmp_path, getpeg={**TERMS, **changed})
    assert (code, sent) == (1, [])
    assert "the answer to getpeg is not that of an Alys node" in capsys.readouterr().err


async def test_a_node_without_a_suggestion_gets_the_usual_priority_fee(tmp_path: Path) -> None:
    """EthereumJS has no such method. Another error is not taken for that."""
    unknown = refusal(-32601, "Method not found")
    code, sent = await run(tmp_path, eth_maxPriorityFeePerGas=unknown)
    assert (code, len(sent)) == (0, 1)
    assert sent[0]["params"] == [SIGNED.raw_transaction.to_0x_hex()]
    assert await run(tmp_path, eth_maxPriorityFeePerGas=refusal(-32000, "busy")) == (1, [])


async def test_the_hash_is_past_the_buffer_before_anything_is_sent(tmp_path: Path) -> None:
    """A command that is killed while it sends would take the hash with it."""
    out = tmp_path / "out"
    written: list[str] = []

    def sent(_raw: str) -> str:
        written.append(out.read_text())
        return NAME

    with out.open("w", buffering=1 << 16) as file, contextlib.redirect_stdout(file):
        assert (await run(tmp_path, eth_sendRawTransaction=sent))[0] == 0
    assert NAME in written[0]


async def test_the_urls_must_be_urls(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for option, text in (("--url", "127.0.0.1:3000"), ("--ethereum", "http://[::1"), ("--url", "ftp://a")):
        words = ["peg", "out", "--to", TO, "--amount", "0.01", "--key", "none", option, text]
        assert await trio.to_thread.run_sync(main, words) == 2
        assert f"{option} {text}: " in capsys.readouterr().err


async def test_a_halted_peg_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert (await run(tmp_path, getpeg={**TERMS, "halted": True}))[0] == 0
    assert "the peg is halted" in capsys.readouterr().out


async def test_an_encrypted_key_needs_its_passphrase(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(encrypted_secret, "LOG_COST", 4)
    write_key_file(tmp_path / "account.key", "account", SECRET, "the public half", "open sesame")
    phrase = tmp_path / "passphrase"
    phrase.write_text("open barley\n")
    phrase.chmod(0o600)
    assert await run(tmp_path, "--passphrase-file", str(phrase)) == (2, [])
    assert "the passphrase is wrong" in capsys.readouterr().err
    phrase.write_text("open sesame\n")
    assert (await run(tmp_path, "--passphrase-file", str(phrase)))[0] == 0


async def test_a_key_of_another_kind_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A member's Bitcoin key must not sign transactions on the chain."""
    write_key_file(tmp_path / "account.key", "bitcoin", SECRET, "the public half")
    assert await run(tmp_path) == (2, [])
    assert (
        "this is a key of the kind bitcoin, but a key of the kind account is required" in capsys.readouterr().err
    )
    (tmp_path / "account.key").unlink()
    write_key_file(tmp_path / "account.key", "account", bytes(32), "the public half")
    assert await run(tmp_path) == (2, [])
    assert "the secret is not a secp256k1 key" in capsys.readouterr().err
