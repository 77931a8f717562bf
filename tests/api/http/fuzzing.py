"""Byte streams for the connection layer: interesting ones, and random changes to them.

    python -m tests.api.http.fuzzing --streams 100000 [--seed 1]

runs so many, prints what came of them, and ends with status 1 when an error left a connection.
"""

import argparse
import random
import time
from collections import Counter

import trio
from trio.testing import MockClock

from tests.api.http.memory_client import converse, new_port

ASK = b'{"jsonrpc":"2.0","id":1,"method":"echo","params":[1]}'
POST = b"POST / HTTP/1.1\r\nhost: localhost\r\ncontent-length: %d\r\n\r\n" % len(ASK) + ASK
HANDSHAKE = (
    b"GET / HTTP/1.1\r\nhost: localhost\r\nupgrade: websocket\r\nconnection: upgrade\r\n"
    b"sec-websocket-version: 13\r\nsec-websocket-key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
)


def frame(payload: bytes, opcode: int = 1, *, last: bool = True, flags: int = 0) -> bytes:
    """A client's frame (RFC 6455, 5.2), masked with zeros."""
    length = len(payload)
    size = bytes([0x80 | length]) if length < 126 else b"\xfe" + length.to_bytes(2, "big")
    return bytes([0x80 * last | flags | opcode]) + size + bytes(4) + payload


INTERESTING: dict[str, bytes] = {
    "a post": POST,
    "two posts in one packet": POST + POST,
    "a page": b"GET /page?x=1 HTTP/1.1\r\nHost: 127.0.0.1:3000\r\n\r\n",
    "only its head": b"HEAD /page HTTP/1.1\r\nhost: [::1]:3000\r\n\r\n",
    "HTTP/1.0": b"GET /page HTTP/1.0\r\n\r\n",
    "HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "chunks": b"POST / HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: chunked\r\n\r\n"
    + b"%x\r\n%b\r\n5;x=y\r\n     \r\n0\r\nx: y\r\n\r\n" % (len(ASK), ASK),
    "a client that waits": b"POST / HTTP/1.1\r\nhost: localhost\r\nexpect: 100-continue\r\n"
    b"content-length: 2\r\n\r\n{}",
    "a last request": b"GET /page HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n" + POST,
    "two lengths": b"POST / HTTP/1.1\r\nhost: localhost\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\n{}",
    "length and chunks": b"POST / HTTP/1.1\r\nhost: localhost\r\ncontent-length: 1\r\n"
    b"transfer-encoding: chunked\r\n\r\n0\r\n\r\n",
    "a folded header": b"GET /page HTTP/1.1\r\nhost: localhost\r\nx: y\r\n z\r\n\r\n",
    "a space before the colon": b"GET /page HTTP/1.1\r\nhost : localhost\r\n\r\n",
    "another host": b"GET /page HTTP/1.1\r\nhost: evil.example\r\n\r\n",
    "no host": b"GET /page HTTP/1.1\r\n\r\n",
    "a whole URL": b"GET http://localhost/page HTTP/1.1\r\nhost: x\r\n\r\n",
    "a preflight": b"OPTIONS / HTTP/1.1\r\nhost: localhost\r\norigin: null\r\n"
    b"access-control-request-method: POST\r\n"
    b"access-control-request-private-network: true\r\n\r\n",
    "no JSON": b"POST / HTTP/1.1\r\nhost: localhost\r\ncontent-length: 4\r\n\r\n\xff\xfe[{",
    "TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(range(64)),
    "a handshake and a byte": HANDSHAKE + b"x",
    "messages": HANDSHAKE + frame(b"one") + frame(b"\xff\x00", 2) + frame(b"", 9) + frame(b"\x03\xe8", 8),
    "a message in pieces": HANDSHAKE + frame(b"o", last=False) + frame(b"p", 9) + frame(b"ne", 0) + frame(b"", 8),
    "bad UTF-8": HANDSHAKE + frame(b"\xff"),
    "a compressed frame": HANDSHAKE + frame(b"x", flags=0x40),
    "a long message": HANDSHAKE + frame(b"y" * 300),
    "a frame without a mask": HANDSHAKE + b"\x81\x01x",
    "a huge frame": HANDSHAKE + b"\x82\xff\x7f\xff\xff\xff\xff\xff\xff\xff" + bytes(20),
    "a close code that is none": HANDSHAKE + frame(b"\x00\x01\xff", 8) + frame(b"after"),
    "another version": HANDSHAKE.replace(b"version: 13", b"version: 8"),
}

_TOKENS = (
    *(b"\r\n", b"\r\n\r\n", b": ", b" ", b"\n", b"0", b"\x00", b"\xff", b"\x88\x80", b"x" * 300, b"chunked"),
    *(
        b"transfer-encoding: ",
        b"content-length: ",
        b"99999999999999999999",
        b"upgrade: websocket\r\n",
        b"HTTP/1.1",
    ),
)


def changed(dice: random.Random) -> bytes:
    """An interesting stream with random changes."""
    data = bytearray(dice.choice(list(INTERESTING.values())))
    for _ in range(dice.choice((1, 1, 2, 3, 8))):
        at, length = dice.randrange(len(data) + 1), dice.randrange(12)
        match dice.randrange(7):
            case 0:
                data[at : at + 1] = dice.randbytes(1)
            case 1:
                del data[at : at + length]
            case 2:
                data[at:at] = dice.randbytes(length)
            case 3:
                data[at:at] = dice.choice(_TOKENS)
            case 4:
                data[at:at] = data[at : at + 5 * length]
            case 5:
                data[at:] = dice.choice(list(INTERESTING.values()))
            case _:
                data[at:] = b""
    return bytes(data)


def pieces_of(data: bytes, dice: random.Random) -> list[bytes]:
    """The stream, cut at up to three random places."""
    cuts = sorted(dice.randrange(len(data) + 1) for _ in range(dice.randrange(4)))
    return [data[begin:end] for begin, end in zip([0, *cuts], [*cuts, len(data)], strict=True)]


async def fuzz(streams: int, seed: int) -> Counter[str]:
    """Run changed streams one after the other; returns how many began their response with which status.

    Raises `AssertionError` when an error left a connection, or the port keeps something of one that has ended.
    """
    dice, port, answers = random.Random(seed), new_port(), Counter[str]()  # noqa: S311
    nothing = (0, {True: 0, False: 0}, 0)
    for number in range(streams):
        data = changed(dice)
        pieces = pieces_of(data, dice)
        received = await converse(pieces, port, end=dice.random() < 0.9)
        answers[received[9:12].decode() if received else "nothing"] += 1
        assert received[:9] in (b"HTTP/1.1 ", b""), (seed, number, pieces, received)
        assert port.counts.failed == 0, (seed, number, pieces)
        assert (len(port.places), port.running, port.body_bytes) == nothing, (seed, number, pieces)
    assert (await converse([POST], port)).startswith(b"HTTP/1.1 200"), "the server does not answer any more"
    return answers


def main() -> None:
    """Read the command line and run."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--streams", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=time.time_ns() % 2**32)
    options = parser.parse_args()
    begun = time.perf_counter()
    answers = trio.run(fuzz, options.streams, options.seed, clock=MockClock(autojump_threshold=0))
    seconds = time.perf_counter() - begun
    words = ", ".join(f"{status}: {count}" for status, count in answers.most_common())
    print(f"{options.streams} streams of seed {options.seed} in {seconds:.0f} s, no error left one: {words}")


if __name__ == "__main__":
    main()
