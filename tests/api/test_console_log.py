"""One log, two faces."""

import io
import json
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import structlog

from alysd import __version__
from alysd.api.console_log import ConsoleLog
from alysd.config.chain_spec import load_chain_spec
from alysd.config.genesis_hash import genesis_hash
from alysd.config.model import LoggingConfig
from alysd.errors import AddressInUse
from alysd.types.chain_spec import ChainContext
from alysd.types.hashes import BlockHash
from tests.config.kit import CONF, load

NOW = 1_795_180_802.25
HASH = BlockHash(bytes(range(32)))


class Terminal(io.StringIO):
    """A stream that says it is one."""

    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def logging_as_before(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Setting up a face is for the whole process."""
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    root = logging.getLogger()
    handlers, level = root.handlers, root.level
    yield
    root.handlers = handlers
    root.setLevel(level)
    logging.getLogger("alysd").setLevel(logging.NOTSET)
    structlog.reset_defaults()


def face(stream: io.StringIO, **options: Any) -> ConsoleLog:
    """A face on this stream, at one moment of time."""
    return ConsoleLog.set_up(LoggingConfig(**options), stream, now=lambda: NOW)


def lines(stream: io.StringIO) -> list[dict[str, Any]]:
    """What was written as JSON."""
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_a_machine_gets_one_object_a_line() -> None:
    """The journal could not be searched."""
    stream = io.StringIO()
    assert not face(stream).text
    structlog.get_logger("alysd.chain").info("block", height=7, hash=HASH, parent=b"\x01\x02", odd={1})
    (line,) = lines(stream)
    assert list(line)[:4] == ["time", "level", "logger", "event"]
    assert line == {
        "time": "2026-11-20T13:20:02.250+00:00",
        "level": "info",
        "logger": "alysd.chain",
        "event": "block",
        "height": 7,
        "hash": HASH[::-1].hex(),
        "parent": "0102",
        "odd": "{1}",
    }


def test_a_person_at_a_terminal_gets_text() -> None:
    """JSON would scroll by where somebody reads."""
    stream = Terminal()
    assert face(stream).text
    structlog.get_logger("alysd.chain").info("block", height=7, transactions=2, ms=3.4, hash=HASH)
    assert "block 7     2 tx    3 ms    1f1e1d…\n" in stream.getvalue()


@pytest.mark.parametrize(("name", "value"), [("NO_COLOR", "1"), ("TERM", "dumb")])
def test_colour_is_left_out_where_it_is_not_wanted(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    """Escape sequences on a screen that shows them as letters."""
    stream = Terminal()
    face(stream)
    structlog.get_logger("alysd").warning("odd")
    assert "\x1b[" in stream.getvalue()
    monkeypatch.setenv(name, value)
    stream = Terminal()
    face(stream)
    structlog.get_logger("alysd").warning("odd")
    assert "\x1b[" not in stream.getvalue()


def test_the_format_can_be_chosen() -> None:
    """A log file could not be text, nor a terminal show what a machine would get."""
    stream = io.StringIO()
    assert face(stream, format="text").text
    structlog.get_logger("alysd").warning("odd")
    assert "\x1b[" not in stream.getvalue()
    assert not face(Terminal(), format="json").text


@pytest.mark.parametrize(("level", "count"), [("debug", 3), ("info", 2), ("warning", 1), ("error", 0)])
def test_the_level_holds_for_both_ways_of_logging(level: str, count: int) -> None:
    """--set logging.level=debug would show half."""
    stream = io.StringIO()
    face(stream, level=level)
    for log in (structlog.get_logger("alysd.x"), logging.getLogger("alysd.x")):
        log.debug("d")
        log.info("i")
        log.warning("w")
    assert len(lines(stream)) == 2 * count


def test_libraries_are_heard_from_warnings_up() -> None:
    """Every HTTP request would be a line; or a library's warning lost."""
    stream = io.StringIO()
    face(stream, level="debug")
    logging.getLogger("httpx").info("request")
    logging.getLogger("hypercorn").warning("odd %s", "thing")
    (line,) = lines(stream)
    assert (line["event"], line["logger"], line["level"]) == ("odd thing", "hypercorn", "warning")


def test_an_unexpected_error_brings_its_traceback() -> None:
    """Nobody could find the fault."""
    stream = io.StringIO()
    face(stream)
    try:
        raise ZeroDivisionError("by nothing")
    except ZeroDivisionError:
        logging.getLogger("alysd.nurseries").exception("child x failed")
    (line,) = lines(stream)
    assert line["exception"].startswith("Traceback")
    assert line["exception"].endswith("ZeroDivisionError: by nothing")


def test_the_users_mistake_brings_no_traceback() -> None:
    """A used port would look like a broken program."""
    stream = io.StringIO()
    face(stream)
    try:
        try:
            raise AddressInUse("port 3000")
        except AddressInUse as mistake:
            raise RuntimeError("gave up") from mistake
    except RuntimeError:
        logging.getLogger("alysd.nurseries").exception("server failed")
    assert stream.getvalue() == ""


def test_a_reader_that_goes_away_does_not_end_the_daemon() -> None:
    """`alysd run | head` would crash actor after actor."""

    class Gone(io.StringIO):
        def write(self, text: str) -> int:
            raise BrokenPipeError

    face(Gone())
    structlog.get_logger("alysd").info("block")


def test_the_greeting_says_where_everything_is(monkeypatch: pytest.MonkeyPatch) -> None:
    """A newcomer would not know which port to use, nor whose money."""
    monkeypatch.chdir(CONF.parent)
    config = load(Path("conf/dev.toml"))
    spec = load_chain_spec(config.chain.spec)
    stream = Terminal()
    face(stream).start(config, ChainContext(spec, genesis_hash(spec)))
    account = "0x2992504C5C8fe1995c84EA5e98aaB0A146bBd472"
    first, *rows = stream.getvalue().splitlines()
    assert first.startswith(f"alysd {__version__}   chain alys-dev   genesis 3832bb28   data data/dev   times ")
    assert rows == [
        "  ethereum  http://127.0.0.1:8545   embedded engine, Cancun, chain id 121212",
        "  alys      http://127.0.0.1:3000   JSON-RPC (createauxblock …)   /metrics   /health/status   /status",
        f"  account   {account}   1,000 BTC to play with, key in conf/dev-account.key",
    ]


def test_the_greeting_of_a_real_client_and_an_operators_port() -> None:
    """An operator would look for metrics on the miners' port."""
    config = load(CONF / "regtest.toml", "api.operator_address=127.0.0.1:9300")
    spec = load_chain_spec(config.chain.spec)
    stream = Terminal()
    face(stream).start(config, ChainContext(spec, HASH))
    text = stream.getvalue()
    assert "execution client at http://127.0.0.1:8551, chain id 121212" in text
    assert "  operator  http://127.0.0.1:9300   /metrics   /health/status   /status" in text
    assert "JSON-RPC (createauxblock …)\n" in text
    assert "account" not in text


def test_a_machine_is_greeted_too() -> None:
    """The journal would not say what was started."""
    config = load(CONF / "dev.toml")
    spec = load_chain_spec(config.chain.spec)
    stream = io.StringIO()
    shown = face(stream)
    shown.start(config, ChainContext(spec, HASH))
    shown.ready(0.91, 1.13)
    shown.stopped(0.3)
    start, ready, stopped = lines(stream)
    assert (start["event"], start["chain_id"], start["genesis"]) == ("start", 121212, HASH[::-1].hex())
    assert (ready["event"], ready["seconds"], ready["first_slot_in"]) == ("ready", 0.91, 1.13)
    assert (stopped["event"], stopped["seconds"]) == ("stopped", 0.3)


def test_a_person_reads_how_long_start_and_stop_took() -> None:
    """Nobody would know when the first block comes."""
    stream = Terminal()
    shown = face(stream)
    shown.ready(0.91, 1.13)
    shown.stopped(0.3)
    assert stream.getvalue() == "ready in 0.9 s, first slot in 1.1 s\nstopped in 0.3 s\n"
