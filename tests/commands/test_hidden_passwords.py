"""No command shows the password of a URL: what a terminal shows ends up in logs, screenshots and issues."""

from pathlib import Path

import pytest

from alysd.cli import main
from alysd.commands.http_url import http_url
from alysd.commands.mine import bitcoin_access
from alysd.errors import BitcoinUnavailable, EngineUnavailable, NodeUnavailable, UserError, without_credentials

ACCOUNT = "0x2992504C5C8fe1995c84EA5e98aaB0A146bBd472"
TXID = "ab" * 32
HIDDEN = ("hunter2", "sesame")
"""The parts of the password in the URLs below. Its / is wrong in a URL, which is a usual mistake."""

URLS = [
    "http://alys:hunter2-sesame@127.0.0.1:9",  # nobody listens on this port
    "http://alys:hunter2/sesame@127.0.0.1:9",
    "http://alys:hunter2#sesame@127.0.0.1:9",
    "http://alys:hunter2 sesame@[::1",
    "ftp://alys:hunter2-sesame@127.0.0.1:9",
    "alys:hunter2-sesame@127.0.0.1:9",
    "http://alys:hunter2-sesame@a..b/",
]
COMMANDS = [
    ("peg", "in", "--to", ACCOUNT, "--url"),
    ("peg", "list", "--url"),
    ("peg", "show", TXID, "--url"),
    ("peg", "transaction", TXID, "--url"),
    ("peg", "watch", TXID, "--timeout", "0.2", "--url"),
    ("status", "--url"),
]


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
@pytest.mark.parametrize("url", URLS)
def test_an_error_about_a_node_hides_the_password(
    command: tuple[str, ...], url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*command, url]) != 0
    said = capsys.readouterr()
    text = said.out + said.err
    assert text.strip()
    assert not [part for part in HIDDEN if part in text]


@pytest.mark.parametrize("url", URLS)
def test_a_burn_hides_the_passwords_of_both_nodes(
    url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    key = tmp_path / "account.key"
    assert main(["keys", "new", "account", "--out", str(key)]) == 0
    order = [
        "--to",
        "bcrt1qw508d6qejxtdg4y5r3zarvary0c5xw7kygt080",
        "--amount",
        "0.01",
        "--key",
        str(key),
        "--yes",
    ]
    for options in (["--url", url], ["--ethereum", url, "--url", URLS[0]]):
        assert main(["peg", "out", *order, *options]) != 0
    said = capsys.readouterr()
    assert not [part for part in HIDDEN if part in said.out + said.err]


@pytest.mark.parametrize("url", URLS)
def test_the_url_of_a_bitcoin_node_hides_the_password(url: str) -> None:
    """As `alysd mine` and `alysd audit` read it."""
    try:
        text = bitcoin_access(url, None)[0]
    except UserError as error:
        text = str(error)
    assert not [part for part in HIDDEN if part in text]


@pytest.mark.parametrize("url", URLS)
def test_the_errors_themselves_have_no_password(url: str) -> None:
    """They are also logged, and shown by the health pages."""
    for kind in (BitcoinUnavailable, EngineUnavailable, NodeUnavailable):
        text = repr(kind(url, "no answer")) + str(kind(url, "no answer"))
        assert not [part for part in HIDDEN if part in text]


def test_a_url_without_a_password_is_shown_as_it_is() -> None:
    assert without_credentials("http://127.0.0.1:3000/x") == "http://127.0.0.1:3000/x"
    with pytest.raises(UserError, match=r"--url http://h:x/: Invalid port"):
        http_url("--url", "http://h:x/")


def test_a_wrong_password_says_how_to_write_it() -> None:
    with pytest.raises(UserError, match="write / as %2F"):
        http_url("--url", "http://alys:hunter2/sesame@127.0.0.1")
