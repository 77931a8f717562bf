"""The options of `alysd mine`. Mining itself is tested in tests/integration."""

import argparse
import json
import threading
from collections.abc import Generator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest

from alysd.cli import main
from alysd.commands.mine import add_arguments, bitcoin_access
from alysd.errors import BitcoinUnavailable, UserError


def parsed(*words: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    return parser.parse_args(words)


def test_without_options_it_mines_on_regtest_for_the_nodes_own_miner() -> None:
    args = parsed()
    assert args.bitcoin_url == "http://127.0.0.1:18443"
    assert args.node_url == "http://127.0.0.1:3000"
    assert (args.place, args.address, args.blocks, args.bitcoin_address) == ("scriptsig", None, None, None)


@pytest.mark.parametrize(
    "words", [("--blocks", "0"), ("--blocks", "-1"), ("--blocks", "x"), ("--place", "coinbase")]
)
def test_what_no_option_takes_is_refused(words: tuple[str, ...]) -> None:
    with pytest.raises(SystemExit) as caught:
        parsed(*words)
    assert caught.value.code == 2


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (("--address", "0x12"), "alysd: --address 0x12: must be an EVM address"),
        (("--bitcoin-url", "http://127.0.0.1:port"), "alysd: --bitcoin-url http://127.0.0.1:port: "),
        (("--bitcoin-url", "127.0.0.1:18443"), "alysd: --bitcoin-url 127.0.0.1:18443: "),
        (("--node-url", "localhost"), "alysd: --node-url localhost: "),
    ],
)
def test_a_typing_mistake_ends_it_at_once_with_the_option_named(
    words: tuple[str, ...], complaint: str, capfd: pytest.CaptureFixture[str]
) -> None:
    """Otherwise the command would try for ever to reach an impossible address, or end in a stack trace."""
    assert main(["mine", *words]) == 2
    assert complaint in capfd.readouterr().err


async def basic(credentials: Any) -> str | None:
    """The user and password that would be sent."""
    auth = await credentials()
    if auth is None:
        return None
    request = next(auth.sync_auth_flow(httpx.Request("POST", "http://127.0.0.1")))
    return request.headers["authorization"]


async def test_the_password_is_taken_out_of_the_url() -> None:
    """Otherwise the password would be in every error message and in the logs."""
    url, credentials = bitcoin_access("http://user:pa%3Ass@127.0.0.1:18443/wallet/w", None)
    assert url == "http://127.0.0.1:18443/wallet/w"
    assert await basic(credentials) == "Basic dXNlcjpwYTpzcw=="
    url, credentials = bitcoin_access("http://127.0.0.1:18443", None)
    assert await basic(credentials) is None


async def test_a_cookie_file_counts_for_more_than_the_url(tmp_path: Path) -> None:
    cookie = tmp_path / ".cookie"
    _, credentials = bitcoin_access("http://user:password@127.0.0.1:18443", cookie)
    with pytest.raises(BitcoinUnavailable, match="cookie file"):
        await basic(credentials)
    cookie.write_text("user:pa:ss")
    assert await basic(credentials) == "Basic dXNlcjpwYTpzcw=="


def test_a_scheme_other_than_http_is_refused() -> None:
    with pytest.raises(UserError, match="--bitcoin-url ftp.*http:// or https://"):
        bitcoin_access("ftp://127.0.0.1", None)


@pytest.mark.parametrize("number", ["0", "-1", "1.5", "x", "9" * 5000, "٣"])
def test_a_wrong_number_of_blocks_is_explained(number: str, capsys: pytest.CaptureFixture[str]) -> None:
    """The message named a function of the source."""
    with pytest.raises(SystemExit) as caught:
        main(["mine", f"--blocks={number}"])
    assert caught.value.code == 2
    said = capsys.readouterr().err
    assert "is not a number of blocks: use a whole number from 1" in said
    assert len(said) < 1500


class Bitcoin(BaseHTTPRequestHandler):
    """A Bitcoin node that has no wallet, and knows no address."""

    def do_POST(self) -> None:
        call: dict[str, Any] = json.loads(self.rfile.read(int(self.headers["content-length"])))
        if call["method"] == "validateaddress":
            answer: dict[str, Any] = {"id": 1, "result": {"isvalid": False, "error": "Invalid checksum"}}
        else:
            answer = {"id": 1, "result": None, "error": {"code": -18, "message": "No wallet is loaded."}}
        body = json.dumps(answer).encode()
        self.send_response(200 if answer.get("error") is None else 500)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  the name of its base class
        """Say nothing."""


@pytest.fixture
def bitcoin_url() -> Generator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Bitcoin) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        ((), "No wallet is loaded.; name an address to pay, or a wallet in the URL"),
        (("--bitcoin-address", "bcrt1qnonsense"), "Bitcoin address 'bcrt1qnonsense': "),
    ],
)
def test_a_mistake_that_only_the_bitcoin_node_sees_is_a_sentence(
    words: tuple[str, ...], complaint: str, bitcoin_url: str, capfd: pytest.CaptureFixture[str]
) -> None:
    """Otherwise the mistake would end in a stack trace of nested exception groups."""
    assert main(["mine", "--bitcoin-url", bitcoin_url, *words]) == 2
    (said,) = capfd.readouterr().err.splitlines()
    assert said.startswith("alysd: ")
    assert complaint in said
