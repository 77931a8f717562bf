"""The node's face in its log: text for a person at a terminal, JSON lines for a machine, from the same events."""

import json
import logging
import os
import time
from collections.abc import Callable, Mapping, MutableMapping
from datetime import UTC, datetime
from typing import Any, Self, TextIO

import attrs
import structlog

from alysd import __version__
from alysd.api.blame import user_error_in
from alysd.api.console_text import TextRenderer
from alysd.api.development_account import account_line
from alysd.config.model import AlysConfig, LoggingConfig
from alysd.types.chain_spec import ChainContext
from alysd.types.hashes import displayed


@attrs.frozen
class ConsoleLog:
    """What greets a person at start and says good-bye; everything between goes through structlog.

    `text` tells whether a person reads: then the greeting is drawn, otherwise it is one event as any other.
    """

    text: bool

    @classmethod
    def set_up(cls, config: LoggingConfig, stream: TextIO, *, now: Callable[[], float] = time.time) -> Self:
        """Send every log line of this process, from structlog and from `logging`, to `stream`."""
        terminal = stream.isatty()
        text = config.format == "text" or (config.format == "auto" and terminal)
        colour = terminal and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
        structlog.configure(
            processors=[
                structlog.processors.add_log_level,
                _Stamp(now),
                structlog.processors.format_exc_info,
                TextRenderer(colour) if text else render_json,
            ],
            wrapper_class=structlog.make_filtering_bound_logger(config.level),
            logger_factory=_OutputFactory(stream),
        )
        _adopt_standard_logging(config.level)
        return cls(text)

    def start(self, config: AlysConfig, context: ChainContext) -> None:
        """Say what starts and where it answers; raises `ConfigError` for a development account that is none."""
        log = structlog.get_logger("alysd")
        if self.text:
            log.info("start", text=greeting(config, context))
            return
        spec = context.spec
        log.info(
            "start",
            version=__version__,
            chain=spec.name,
            chain_id=spec.chain_id,
            genesis=displayed(context.genesis),
            data=str(config.storage.path),
            address=str(config.api.address),
            engine=config.engine.mode,
        )

    def ready(self, seconds: float, first_slot_in: float) -> None:
        """Say that the node can make blocks, `seconds` after its start."""
        self._say(
            "ready",
            f"ready in {seconds:.1f} s, first slot in {first_slot_in:.1f} s",
            seconds=round(seconds, 3),
            first_slot_in=round(first_slot_in, 3),
        )

    def stopped(self, seconds: float) -> None:
        """Say that everything is closed, `seconds` after the node was asked to stop."""
        self._say("stopped", f"stopped in {seconds:.1f} s", seconds=round(seconds, 3))

    def _say(self, event: str, words: str, **fields: object) -> None:
        log = structlog.get_logger("alysd")
        if self.text:
            log.info(event, text=words)
        else:
            log.info(event, **fields)


def greeting(config: AlysConfig, context: ChainContext) -> str:
    """What a person sees first: the chain, and where to reach what."""
    zone, spec, genesis = datetime.now().astimezone(), context.spec, displayed(context.genesis)[:8]
    head = [f"alysd {__version__}", f"chain {spec.name}", f"genesis {genesis}", f"data {config.storage.path}"]
    if config.engine.mode == "embedded":
        ethereum = (config.api.ethereum_address.url, f"embedded engine, Cancun, chain id {spec.chain_id}")
    else:
        ethereum = (
            str(config.engine.url),
            f"execution client at {config.engine.engine_url}, chain id {spec.chain_id}",
        )
    pages = "/metrics   /health/status   /status"
    operator = config.api.operator_address
    rows = [
        ("ethereum", *ethereum),
        ("alys", config.api.address.url, "JSON-RPC (createauxblock …)" + ("" if operator else f"   {pages}")),
    ]
    if operator:
        rows.append(("operator", operator.url, pages))
    lines = ["   ".join([*head, f"times {zone:%Z}"])]
    lines += [f"  {label:<9} {where:<23} {what}" for label, where, what in rows]
    if key_file := config.development.account_key_file:
        lines.append(f"  {'account':<9} {account_line(key_file, spec)}")
    return "\n".join(lines)


def render_json(_logger: object, _method: str, event: Mapping[str, Any]) -> str:
    """A structlog processor: an event as one line of JSON, times in UTC, hashes as RPC shows them."""
    when = datetime.fromtimestamp(event["timestamp"], UTC).isoformat(timespec="milliseconds")
    first = {"time": when, "level": event["level"], "logger": event["logger"], "event": event["event"]}
    fields = first | {key: value for key, value in event.items() if key != "timestamp"}
    match event.get("hash"):
        case bytes() as block:
            fields["hash"] = displayed(block)
        case _:
            pass
    return json.dumps(fields, default=_json_value)


def _json_value(value: object) -> str:
    """What JSON has no form for: bytes in hex, anything else in its own words."""
    return value.hex() if isinstance(value, bytes) else str(value)


@attrs.frozen
class _Stamp:
    """A structlog processor: adds the time and the logger's name."""

    now: Callable[[], float]

    def __call__(
        self, logger: "_Output", _method: str, event: MutableMapping[str, Any]
    ) -> MutableMapping[str, Any]:
        event["timestamp"] = self.now()
        event["logger"] = logger.name
        return event


class _Output:
    """Where a structlog logger's lines end."""

    def __init__(self, name: str, stream: TextIO) -> None:
        self.name = name
        self._stream = stream

    def write(self, line: str) -> None:
        """Write one line. A reader that went away or a full disk must not end the daemon: then it runs unheard."""
        try:
            self._stream.write(line + "\n")
            self._stream.flush()
        except OSError:
            return

    debug = info = warning = error = critical = write


@attrs.frozen
class _OutputFactory:
    """Gives each logger its output, under the name that it was asked for with."""

    stream: TextIO

    def __call__(self, *names: str) -> _Output:
        return _Output(names[0] if names else "alysd", self.stream)


class _ToStructlog(logging.Handler):
    """Brings what libraries say through `logging` into the same log."""

    def emit(self, record: logging.LogRecord) -> None:
        """Pass a record on, with its traceback.

        Not so where the user's mistake is behind it: the command says it in words, once, when all has stopped.
        """
        log = structlog.get_logger(record.name)
        error = record.exc_info[1] if record.exc_info else None
        if error is None:
            log.log(record.levelno, record.getMessage())
        elif user_error_in(error):
            log.debug(record.getMessage())
        else:
            log.log(record.levelno, record.getMessage(), exc_info=record.exc_info)


def _adopt_standard_logging(level: str) -> None:
    """Libraries are heard from warnings up, this project's own loggers from `level`."""
    root = logging.getLogger()
    root.handlers = [_ToStructlog()]
    root.setLevel(logging.WARNING)
    logging.getLogger("alysd").setLevel(level.upper())
    # The runtime's own account of an orderly stop says nothing that the node does not say better.
    logging.getLogger("alysd.nurseries").setLevel(max(logging.WARNING, logging.getLogger("alysd").level))
