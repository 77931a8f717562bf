"""How a log event reads on a terminal: one line, the time, what it is about, and what happened.

An event that `LINES` names has words of its own; any other shows its logger's last name, the event,
and its fields. Text from outside the node is made harmless: control characters are escaped, long values cut.
"""

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

import attrs

from alysd.types.hashes import displayed

Fields = Mapping[str, Any]

LONGEST_VALUE = 300
"""Characters of one value in a line; the JSON log has the whole."""

_NOT_FIELDS = frozenset({"event", "level", "logger", "timestamp", "exception"})


def hash_text(value: object, digits: int = 6) -> str:
    """The first digits of a hash as RPC shows it: enough to tell neighbours apart."""
    text = displayed(value) if isinstance(value, bytes) else str(value)
    return f"{text[:digits]}…"


def target_text(value: object) -> str:
    """A compact target, as Bitcoin shows `bits`."""
    return f"{value:08x}" if isinstance(value, int) else str(value)


def plain(value: object) -> str:
    """A value as safe text: bytes in hex, control characters escaped, cut to `LONGEST_VALUE`."""
    text = value.hex() if isinstance(value, bytes) else str(value)
    if not text.isprintable():
        text = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
    return text if len(text) <= LONGEST_VALUE else text[: LONGEST_VALUE - 1] + "…"


def count(number: object, noun: str) -> str:
    """`1 block`, `2 blocks`."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _block(event: Fields) -> tuple[str, str]:
    transactions, duration = f"{event['transactions']} tx", f"{event['ms']:.0f} ms"
    return f"block {event['height']}", f"{transactions:<8}{duration:<8}{hash_text(event['hash'])}"


def _final(event: Fields) -> tuple[str, str]:
    words = f"{count(event['blocks'], 'block')} by {plain(event['by'])}"
    return f"final {event['height']}", f"{words}   target {target_text(event['target'])}"


def _reorganised(event: Fields) -> tuple[str, str]:
    return "reorganised", f"{count(event['removed'], 'block')} undone, the head is {event['height']} now"


def _halted(event: Fields) -> tuple[str, str]:
    return "halted", f"{event['blocks']} blocks wait for work: none is made until a miner brings it"


LINES: Mapping[str, Callable[[Fields], tuple[str, str]]] = {
    "block": _block,
    "final": _final,
    "slot_missed": lambda event: ("slot missed", f"{event['slot']}: {plain(event['reason'])}"),
    "slots_resumed": lambda event: ("slots", f"blocks again, {count(event['missed'], 'slot')} missed"),
    "not_ready": lambda event: ("not ready", plain(event["reason"])),
    "engine": lambda event: ("engine", plain(event["state"])),
    "reorganised": _reorganised,
    "halted": _halted,
    "child_failed": lambda event: (plain(event["child"]), f"failed: {plain(event['error'])}"),
    "child_returned": lambda event: (plain(event["child"]), "works again"),
    "stopping": lambda event: ("stopping", plain(event["doing"])),
    "failed": lambda event: ("failed", plain(event["error"])),
}
"""Event name to (what it is about, what happened). The fields that each needs are those its function reads."""


def generic_line(event: Fields) -> tuple[str, str]:
    """Any event: the last name of its logger, its words, its fields."""
    label = str(event.get("logger") or "alysd").rpartition(".")[2]
    fields = [f"{key}={plain(value)}" for key, value in event.items() if key not in _NOT_FIELDS]
    return plain(label), "   ".join([plain(event["event"]), *fields])


@attrs.frozen
class TextRenderer:
    """A structlog processor: renders an event as a line, with colour if the terminal has it."""

    colour: bool

    def __call__(self, _logger: object, _method: str, event: Fields) -> str:
        """Give the line; `timestamp` is in Unix seconds and shown as local time."""
        if "text" in event:
            return str(event["text"])
        label, words = LINES.get(event["event"], generic_line)(event)
        time = f"{datetime.fromtimestamp(event['timestamp']).astimezone():%H:%M:%S}"
        label = f"{label:<10}  "
        if self.colour:
            time = f"\x1b[2m{time}\x1b[0m"
            if mark := _COLOURS.get(event["level"]):
                label = f"{mark}{label}\x1b[0m"
        line = f"{time}  {label}{words}"
        if "exception" in event:
            line = "\n".join([line, *map(plain, event["exception"].splitlines())])
        return line


_COLOURS = {"warning": "\x1b[33m", "error": "\x1b[31m", "critical": "\x1b[31m"}
