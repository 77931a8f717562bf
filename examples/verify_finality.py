#!/usr/bin/env python3
"""Check with nothing but Bitcoin's block headers that work stands behind a block of an Alys chain.

    python3 verify_finality.py BLOCK http://127.0.0.1:3000 http://user:password@127.0.0.1:8332 --chain-id 121212

The first address is any Alys node, which need not be trusted, or a file with its answer to `getfinalityproof`. The
second is a Bitcoin node, or a file with successive headers in hex, oldest first, one per line. The rules are those
of docs/protocol.md, "Merged mining". Only Python's standard library is used.
"""

import argparse
import base64
import hashlib
import json
import sys
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

MARKER, COINBASE_INPUT = bytes.fromhex("fabe6d6d"), bytes(32) + b"\xff" * 4


def main() -> None:
    """Print one sentence: the block is final, or why this is not proved. The exit status is 0 or 1."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("block", help="the block's hash")
    parser.add_argument("answer", help="URL of an Alys node, or file with its answer")
    parser.add_argument("bitcoin", help="URL of a Bitcoin node, or file of headers")
    parser.add_argument("--chain-id", type=int, required=True, help="the id of the Alys chain")
    parser.add_argument("--bits", help="accept work below Bitcoin's that meets this target, such as 1d00ffff")
    options = parser.parse_args()
    try:
        answer = call(options.answer, "getfinalityproof", options.block)
        bits = None if options.bits is None else int(options.bits, 16)
        parent, before = verify(answer, options.block, options.chain_id, bits)
        depth = confirmations(options.bitcoin, parent)
        if depth:
            print(f"final: the work is the Bitcoin block {parent}, which has {depth} confirmations")
        else:
            require(bits is not None, f"{parent} is not in the Bitcoin chain, and no target was given with --bits")
            depth = confirmations(options.bitcoin, before)
            require(depth, f"neither {parent} nor its parent {before} is in the Bitcoin chain")
            print(f"final: work for the target {bits:08x}, on the Bitcoin block {before}, {depth} confirmations")
    except (LookupError, OSError, TypeError, ValueError) as error:
        sys.exit(f"refused: {error}")


def verify(answer: dict[str, Any], block: str, chain_id: int, bits: int | None = None) -> tuple[str, str]:
    """Check the work; returns the hashes of the Bitcoin header and of its parent. Raises if anything is wrong."""
    hashes = [unhex(shown, 32)[::-1] for shown in answer["blocks"]]
    require(unhex(block, 32)[::-1] in hashes, "the proof does not cover the block")
    work = sha256d(b"".join(hashes) + unhex(answer["feerecipient"].removeprefix("0x"), 20))
    proof = Reader(unhex(answer["auxpow"]))
    version = proof.take(4)
    require(proof.count() == 1 and proof.take(36) == COINBASE_INPUT, "the transaction is not a coinbase")
    script = proof.take(proof.count())
    sequence = proof.take(4)
    outputs = [(proof.take(8), proof.take(proof.count()))[1] for _ in range(proof.count())]
    require(len(version + sequence + proof.take(4)) == 12, "the coinbase is incomplete")
    txid = sha256d(proof.data[: proof.at])
    claimed, (siblings, index), (tree, place) = proof.take(32), proof.branch(), proof.branch()
    header = proof.take(80)
    require(proof.at == len(proof.data), "bytes follow the proof")
    require(claimed == sha256d(header), "the proof names another Bitcoin header than it contains")
    require(index == 0 and root(txid, siblings, 0) == header[36:68], "the coinbase is not in the Bitcoin block")
    require(int.from_bytes(header[2:4], "little") != chain_id, "the Bitcoin header's version is the chain's id")
    committed, size, nonce = commitment(script, outputs)
    expected = ((nonce * 1103515245 + 12345 + chain_id) * 1103515245 + 12345) % 2**32 % 2 ** len(tree)
    require(len(tree) <= 30 and size == 2 ** len(tree) and place == expected, "the chain's place is wrong")
    require(committed == root(work, tree, place), "the commitment is to other work")
    easiest = target(int.from_bytes(header[72:76], "little") if bits is None else bits)
    require(int.from_bytes(claimed, "little") <= easiest, "the Bitcoin header's hash is above the target")
    return claimed[::-1].hex(), header[35:3:-1].hex()


def commitment(script: bytes, outputs: Sequence[bytes]) -> tuple[bytes, int, int]:
    """The root, tree size and nonce to which a coinbase commits, in the first place that has the marker."""
    places = (
        [script[at : at + 44] for at in range(len(script)) if script.startswith(MARKER, at)],
        [push for output in outputs for push in pushes(output) if push.startswith(MARKER)],
        [output for output in outputs if output.startswith(MARKER)],
    )
    found = next((place for place in places if place), [b""])
    require(len(found) == 1 and len(found[0]) == 44, "the coinbase does not have exactly one commitment")
    return found[0][35:3:-1], int.from_bytes(found[0][36:40], "little"), int.from_bytes(found[0][40:], "little")


def pushes(script: bytes) -> Iterator[bytes]:
    """The data of an OP_RETURN output, push by push, up to the first opcode that is no push."""
    reader = Reader(script)
    if script[:1] != b"\x6a":
        return
    reader.at = 1
    while reader.at < len(script):
        opcode = reader.number(1)
        if opcode > 78:
            return
        length = opcode if opcode < 76 else reader.number(min(2 ** (opcode - 76), len(script) - reader.at))
        if length > len(script) - reader.at:
            return
        yield reader.take(length)


class Reader:
    """Reads Bitcoin's serialization."""

    def __init__(self, data: bytes) -> None:
        self.data, self.at = data, 0

    def take(self, length: int) -> bytes:
        """The next bytes."""
        require(length <= len(self.data) - self.at, "the proof is cut off")
        self.at += length
        return self.data[self.at - length : self.at]

    def number(self, length: int) -> int:
        """The next number."""
        return int.from_bytes(self.take(length), "little")

    def count(self) -> int:
        """The next compact size."""
        first = self.number(1)
        return first if first < 253 else self.number(2 ** (first - 252))

    def branch(self) -> tuple[list[bytes], int]:
        """The hashes and the index of a merkle branch."""
        return [self.take(32) for _ in range(self.count())], self.number(4)


def root(node: bytes, siblings: Sequence[bytes], index: int) -> bytes:
    """The merkle root to which a branch leads."""
    for level, sibling in enumerate(siblings):
        node = sha256d(sibling + node if index >> level & 1 else node + sibling)
    return node


def target(bits: int) -> int:
    """The number that a compact target stands for."""
    size, mantissa = bits >> 24, bits & 0xFFFFFF
    require(0 < mantissa < 2**23 and 3 <= size <= 34, f"the target {bits:08x} is not valid")
    return mantissa << 8 * (size - 3)


def sha256d(data: bytes) -> bytes:
    """Bitcoin's hash."""
    return hashlib.sha256(hashlib.sha256(data).digest()).digest()


def unhex(text: str, length: int | None = None) -> bytes:
    """Bytes from hex."""
    data = bytes.fromhex(text)
    require(length in (None, len(data)), f"{length} bytes expected, found {len(data)}")
    return data


def require(holds: object, words: str) -> None:
    """Raise ValueError with `words` unless something holds."""
    if not holds:
        raise ValueError(words)


def confirmations(bitcoin: str, block: str) -> int:
    """The number of blocks from `block` to the newest one; 0 for a block that is not in the Bitcoin chain."""
    if bitcoin.startswith(("http://", "https://")):
        try:
            return max(0, call(bitcoin, "getblockheader", block)["confirmations"])
        except urllib.error.HTTPError as error:
            require(error.code == 500, f"the Bitcoin node answers {error}")  # 500 also for an unknown block
            return 0
    hashes = [bytes(32)]
    for header in map(unhex, Path(bitcoin).read_text().split()):
        require(len(header) == 80, "a header in the file does not have 80 bytes")
        require(len(hashes) == 1 or header[4:36] == hashes[-1], "the headers in the file are not a chain")
        hashes.append(sha256d(header))
        easiest = target(int.from_bytes(header[72:76], "little"))
        require(int.from_bytes(hashes[-1], "little") <= easiest, "a header in the file has no work")
    return len(hashes) - hashes.index(unhex(block)[::-1]) if unhex(block)[::-1] in hashes[1:] else 0


def call(source: str, method: str, param: str) -> Any:
    """The result of a JSON-RPC method of the node at a URL, or the result in a file."""
    if not source.startswith(("http://", "https://")):
        return json.loads(Path(source).read_text())["result"]
    url = urllib.parse.urlsplit(source)
    credentials, _, host = url.netloc.rpartition("@")
    body = json.dumps({"jsonrpc": "1.0", "id": 1, "method": method, "params": [param]}).encode()
    request = urllib.request.Request(url._replace(netloc=host).geturl(), body)  # noqa: S310  http or https
    request.add_header("Authorization", "Basic " + base64.b64encode(credentials.encode()).decode())
    with urllib.request.urlopen(request, timeout=60) as answer:  # noqa: S310
        result = json.loads(answer.read(26 * 2**20))
    require(result.get("error") is None, f"the node at {host}: {result.get('error')}")
    return result["result"]


if __name__ == "__main__":
    main()
