"""BLOCKHASH sees the right hashes, and only those that a contract asks for are looked up."""

import attrs
import pytest

from alysd.embedded.engine.environment import AncestorHashes
from alysd.types.execution import ExecutionHeader
from alysd.types.hashes import ZERO_HASH, PayloadHash
from alysd.wire.execution_genesis import genesis_payload
from alysd.wire.execution_header import header_of
from tests.embedded.engine.kit import genesis

HEADER = header_of(genesis_payload(genesis()), ZERO_HASH)


def numbered(number: int) -> ExecutionHeader:
    return attrs.evolve(
        HEADER,
        number=number,
        hash=PayloadHash(number.to_bytes(32, "big")),
        parent_hash=PayloadHash(max(0, number - 1).to_bytes(32, "big")),
    )


def test_hashes_are_counted_from_either_end_and_looked_up_lazily() -> None:
    asked: list[int] = []

    def header(block: bytes) -> ExecutionHeader:
        asked.append(int.from_bytes(block, "big"))
        return numbered(asked[-1])

    hashes = AncestorHashes(numbered(300), header)
    assert len(hashes) == 301
    assert int.from_bytes(hashes[-1], "big") == 300
    assert asked == []
    assert int.from_bytes(hashes[-3], "big") == 298
    assert asked == [299, 298]
    assert int.from_bytes(hashes[299], "big") == 299
    assert asked == [299, 298], "what was found is kept"
    assert [int.from_bytes(one, "big") for one in hashes[296:298]] == [296, 297]


def test_beyond_the_genesis_there_is_nothing() -> None:
    hashes = AncestorHashes(numbered(2), lambda block: numbered(int.from_bytes(block, "big")))
    assert [int.from_bytes(one, "big") for one in hashes] == [0, 1, 2]
    for index in (3, -4):
        with pytest.raises(IndexError):
            hashes[index]
