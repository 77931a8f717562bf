"""The side of the process: the messages, their codec, and an actor that parses what strangers wrote.

The parent names `start` and `codec`, and the new process imports this module.
"""

import ast
import json
from typing import Any

import attrs

from alysd.nurseries import Actor, Address, Ask, ProcessContext, Refusal, Tell, handles


class Parsing:
    """The protocol of the parser."""


class Counting:
    """The protocol of the counter, an actor of the parent."""


@attrs.frozen
class Parse(Ask[Parsing, int]):
    """Parse a sum of whole numbers, such as `1 + 2`, and add it up."""

    text: str


@attrs.frozen
class Parsed(Tell[Counting]):
    """Report that a text with this many characters was parsed."""

    characters: int


@attrs.frozen
class NotASum(Refusal):
    """The `text` is no sum of whole numbers."""

    text: str


class Codec:
    """Encodes the two messages, and plain values, as JSON. Raises for bytes that it cannot have made."""

    def encode(self, value: Any) -> bytes:
        """Encode a message as a list of its name and its field, a plain value as itself."""
        if isinstance(value, Parse):
            return json.dumps({"Parse": value.text}).encode()
        if isinstance(value, Parsed):
            return json.dumps({"Parsed": value.characters}).encode()
        return json.dumps(value).encode()

    def decode(self, data: bytes) -> Any:
        """Decode a message or a plain value."""
        match json.loads(data):
            case {"Parse": str(text)}:
                return Parse(text)
            case {"Parsed": int(characters)}:
                return Parsed(characters)
            case dict():
                raise ValueError("an unknown message")
            case value:
                return value


codec = Codec()


class Parser(Actor[Parsing]):
    """Parses with a parser that hostile input can crash or exhaust: a bad choice for the parent's process."""

    def __init__(self, longest: int, counter: Address[Counting]) -> None:
        self._longest = longest
        self._counter = counter

    @handles(Parse)
    async def parse(self, message: Parse) -> int:
        """Add up the numbers of the sum."""
        if len(message.text) > self._longest:
            raise NotASum(message.text[:20])
        await self._counter.send(Parsed(len(message.text)))
        return _value(ast.parse(message.text, mode="eval").body)


def _value(node: ast.expr) -> int:
    match node:
        case ast.BinOp(left, ast.Add(), right):
            return _value(left) + _value(right)
        case ast.Constant(int(number)):
            return number
        case _:
            raise NotASum(ast.unparse(node))


def start(context: ProcessContext) -> Parser:
    """The factory. The configuration is the longest text that is parsed."""
    return Parser(context.config, context.address("counter"))
