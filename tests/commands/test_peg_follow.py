"""`alysd peg list`, `show` and `watch`: what a person sees of an operation, and the exit status of a script."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alysd.cli import main
from alysd.commands import peg_follow, peg_text
from alysd.testing.http_server import refusal
from tests.commands.peg_answers import run

TXID = "ab" * 32
BURN = "0x" + "cd" * 32
DEPOSIT: dict[str, Any] = {
    "kind": "peg-in",
    "state": "waiting",
    "over": False,
    "number": None,
    "amount": 1_000_000,
    "account": "0x2992504C5C8fe1995c84EA5e98aaB0A146bBd472",
    "height": None,
    "confirmations": 3,
    "needed": 7,
    "secondsleft": 2_400,
    "reason": None,
    "txid": TXID,
}
PAID: dict[str, Any] = {
    **DEPOSIT,
    "kind": "peg-out",
    "state": "confirmed",
    "over": True,
    "number": 4,
    "height": 12,
    "confirmations": None,
    "secondsleft": None,
    "transaction": BURN,
    "address": "bcrt1qtext\x1b[31m",
    "payments": [],
    "paid": 999_000,
    "refund": None,
    "endheight": 40,
}


async def test_a_list_has_one_line_for_each_operation(capsys: pytest.CaptureFixture[str]) -> None:
    page = {"operations": [PAID], "next": 4}
    code, requests = await run({"listpegoperations": [page]}, "list", "--limit", "1", "--state", "confirmed")
    said = capsys.readouterr().out.splitlines()
    assert code == 0
    assert requests[0]["params"] == [1, None, "confirmed", None]
    assert said[0].split() == ["4", "peg-out", "0.01000000", "BTC", "confirmed", BURN]
    assert said[1] == "more: --before 4"


@pytest.mark.parametrize(
    ("one", "status"),
    [
        (DEPOSIT, 4),
        (PAID, 0),
        ({**PAID, "state": "refunded"}, 3),
        ({**DEPOSIT, "state": "final", "over": True}, 0),
        ({**DEPOSIT, "state": "not-creditable", "over": True}, 3),
    ],
)
async def test_the_exit_status_says_how_an_operation_ended(one: dict[str, Any], status: int) -> None:
    assert (await run({"getpegoperation": [one]}, "show", TXID))[0] == status


async def test_what_the_node_says_cannot_control_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    """The address is text of the sender of a burn, which is shown to everybody who lists operations."""
    await run({"getpegoperation": [PAID]}, "show", BURN)
    said = capsys.readouterr().out
    assert "\x1b" not in said
    assert "bcrt1qtext\\x1b[31m" in said
    assert "0.00999000 BTC" in said


async def test_an_unknown_operation_and_a_refusal_are_errors(capsys: pytest.CaptureFixture[str]) -> None:
    assert (await run({"getpegoperation": [None]}, "show", TXID))[0] == 2
    assert "the node knows no operation" in capsys.readouterr().err
    assert (await run({"getpegoperation": [refusal(-32605, "the chain x has no peg")]}, "show", TXID))[0] == 1
    assert "has no peg" in capsys.readouterr().err


async def test_an_operation_is_followed_to_its_end(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(peg_follow, "POLL_SECONDS", 0.0)
    halted = {**DEPOSIT, "halted": True}
    over = {**DEPOSIT, "state": "final", "over": True, "halted": True}
    code, requests = await run(
        {"getpegoperation": [None, halted, DEPOSIT, {**DEPOSIT, "confirmations": 4}, over]}, "watch", TXID
    )
    assert (code, len(requests)) == (0, 5), "one question for each look"
    said = capsys.readouterr().out.splitlines()
    assert said[0].startswith("the node knows no operation")
    assert said[1] == (
        "waiting: waits for confirmations, 3 of 7 confirmations, about 40 min left; the peg is halted: no deposit "
        "is credited and no payment signed"
    )
    assert said[2] == "waiting: waits for confirmations, 3 of 7 confirmations, about 40 min left"
    assert said[3].startswith("waiting: waits for confirmations, 4 of 7")
    assert said[4] == "final: credited for good, 3 of 7 confirmations, about 40 min left"


async def test_a_lost_deposit_is_not_credited_for_good(capsys: pytest.CaptureFixture[str]) -> None:
    lost = {**DEPOSIT, "state": "final", "over": False, "lost": True, "halted": True, "confirmations": None}
    assert (await run({"getpegoperation": [lost]}, "show", TXID))[0] == 4
    said = capsys.readouterr().out
    assert "final: credited, but a reorganisation has removed the deposit from Bitcoin" in said
    assert "the peg is halted" in said
    assert "for good" not in said
    payment = {**PAID, "over": False, "lost": True, "halted": True}
    assert (await run({"getpegoperation": [payment]}, "show", BURN))[0] == 4
    assert "a reorganisation has removed the payment from Bitcoin" in capsys.readouterr().out


async def test_an_operation_that_is_not_compared_with_bitcoin_is_under_way(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A lost deposit would look like one that ended well, for a minute after each start."""
    monkeypatch.setattr(peg_follow, "POLL_SECONDS", 0.0)
    doubt = "the Bitcoin node has not answered yet"
    final = {**DEPOSIT, "state": "final", "confirmations": None, "secondsleft": None, "lost": None, "doubt": doubt}
    assert (await run({"getpegoperation": [final]}, "show", TXID))[0] == 4
    line = f"final: not compared with Bitcoin yet; {doubt}"
    assert line in capsys.readouterr().out
    known = {**final, "over": True, "lost": False, "halted": False, "doubt": None}
    code, requests = await run({"getpegoperation": [final, known]}, "watch", TXID)
    assert (code, len(requests)) == (0, 2)
    assert capsys.readouterr().out.splitlines()[:2] == [line, "final: credited for good"]
    paid = {**PAID, "over": False, "lost": None, "doubt": doubt}
    assert (await run({"getpegoperation": [paid]}, "show", BURN))[0] == 4
    assert f"confirmed: not compared with Bitcoin yet; {doubt}" in capsys.readouterr().out
    minted = {**final, "state": "minted"}
    assert (await run({"getpegoperation": [minted]}, "show", TXID))[0] == 4
    assert f"minted: credited, waits for a proof of work; {doubt}" in capsys.readouterr().out


async def test_nobody_waits_for_ever_for_a_node_whose_bitcoin_node_is_down(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(peg_follow, "POLL_SECONDS", 0.0)
    monkeypatch.setattr(peg_follow, "DOUBT_SECONDS", 0.0)
    final = {**DEPOSIT, "state": "final", "confirmations": None, "lost": None, "doubt": "refused connection"}
    code, requests = await run({"getpegoperation": [{**final, "state": "minted"}, final]}, "watch", TXID)
    assert (code, len(requests)) == (4, 2)
    said = capsys.readouterr().out.splitlines()
    assert "not compared with Bitcoin yet" in said[1]
    assert "refused connection" in said[1]
    assert said[2] == "not compared with Bitcoin for 0 s: ask another node"


async def test_a_payment_that_is_not_confirmed_has_not_paid(capsys: pytest.CaptureFixture[str]) -> None:
    payments = [{"txid": TXID, "fee": 300, "signed": None}, {"txid": "cd" * 32, "fee": 400, "signed": 9}]
    sent = {**PAID, "state": "broadcast", "over": False, "payments": payments, "txid": TXID, "paid": None}
    assert (await run({"getpegoperation": [sent]}, "show", BURN))[0] == 4
    said = capsys.readouterr().out
    assert f"{TXID}, fee 0.00000300 BTC, no block has its signatures yet" in said
    assert "fee 0.00000400 BTC, signed in block 9" in said
    assert f"on Bitcoin      {TXID}" in said
    assert "paid by" not in said
    await run({"getpegoperation": [{**PAID, "txid": TXID}]}, "show", BURN)
    assert f"paid by         {TXID}" in capsys.readouterr().out


async def test_the_reason_stands_apart_from_the_state(capsys: pytest.CaptureFixture[str]) -> None:
    lost = {**DEPOSIT, "state": "not-creditable", "over": True, "reason": "it names no recipient"}
    lost |= {"confirmations": None, "secondsleft": None}
    await run({"getpegoperation": [lost]}, "show", TXID)
    assert "only the operators can return it; it names no recipient\n" in capsys.readouterr().out


async def test_an_empty_list_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    """On standard error: programs read the other output."""
    code, _ = await run({"listpegoperations": [{"operations": [], "next": None}]}, "list")
    said = capsys.readouterr()
    assert (code, said.out) == (0, "")
    assert "no block has such an operation" in said.err


async def test_a_watch_ends_at_its_timeout(capsys: pytest.CaptureFixture[str]) -> None:
    answers: dict[str, list[Any]] = {"getpegoperation": [DEPOSIT]}
    assert (await run(answers, "watch", TXID, "--timeout", "0.5"))[0] == 4
    assert "still under way after 0.5 s" in capsys.readouterr().out


def test_a_node_that_does_not_answer_is_asked_again(capsys: pytest.CaptureFixture[str]) -> None:
    words = ["peg", "watch", TXID, "--timeout", "0.5", "--url", "http://127.0.0.1:9"]
    assert main(words) == 4
    assert "the node does not answer, asking again" in capsys.readouterr().out


async def test_a_node_that_cannot_answer_now_is_asked_again(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A watch of hours would end because a part of the node restarts. An error that stays ends it."""
    monkeypatch.setattr(peg_follow, "POLL_SECONDS", 0.0)
    busy = [refusal(code, "not now", 200) for code in (-32603, -32606, -32002)]
    assert (await run({"getpegoperation": [*busy, PAID]}, "watch", BURN))[0] == 0
    assert capsys.readouterr().out.count("not now") == 3
    assert (await run({"getpegoperation": [refusal(-32605, "no peg", 200)]}, "watch", BURN))[0] == 1


@pytest.mark.parametrize("seconds", ["-1", "nan", "inf", "soon"])
def test_a_timeout_must_be_a_number_of_seconds(seconds: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(["peg", "watch", TXID, "--timeout", seconds])
    assert "invalid number of seconds value" in capsys.readouterr().err


async def test_the_form_of_an_unknown_id_is_explained(capsys: pytest.CaptureFixture[str]) -> None:
    """A user who leaves out 0x would wait for a deposit that never comes."""
    await run({"getpegoperation": [None]}, "show", "cd" * 32)
    assert "the id of a burn begins with 0x" in capsys.readouterr().err
    await run({"getpegoperation": [None]}, "show", BURN)
    said = capsys.readouterr().err
    assert "the node knows no burn 0xcdcd" in said
    assert "the txid of a deposit has no 0x" in said
    await run({"getpegoperation": [None]}, "show", "5")
    assert "the node knows no operation 5: `alysd peg list` has the numbers" in capsys.readouterr().err


scalars = st.one_of(
    st.none(), st.booleans(), st.integers(), st.integers(10**4_000, 10**4_200), st.floats(), st.text(max_size=9)
)
values: st.SearchStrategy[Any] = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
)
FIELDS = sorted({*PAID, "kind", "transaction", "halted", "reason", "payments", "txid", "secondsleft"})
kinds = st.sampled_from(["peg-in", "peg-out"])
operations = st.dictionaries(st.sampled_from(FIELDS), values, max_size=len(FIELDS))


@given(kinds, operations, st.lists(values, max_size=3))
def test_no_answer_breaks_the_words_or_floods_the_terminal(
    kind: str, found: dict[str, Any], payments: list[Any]
) -> None:
    """The node behind --url may be anybody's."""
    one = {"kind": kind} | found
    for shown in (one, {**one, "payments": payments * 1_000}):
        text = peg_text.details(shown) + peg_text.state_line(shown) + peg_follow.row(shown)
        assert text.replace("\n", "").isprintable()
        assert max(map(len, text.split("\n"))) < 2_000
        assert text.count("\n") < 200
        assert peg_text.exit_status(shown) in (0, 3, 4)


def test_a_host_that_is_no_name_is_an_error_in_words(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["peg", "show", TXID, "--url", "http://a..b/"]) == 1
    assert "Alys node at http://a..b/: getpegoperation: " in capsys.readouterr().err
    assert main(["peg", "watch", TXID, "--url", "localhost:3000"]) == 2
    assert "must be a URL that begins with http://" in capsys.readouterr().err
