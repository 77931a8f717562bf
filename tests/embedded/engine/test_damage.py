"""Damage to the engine's database: each error says that the folder `execution` must be removed."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import lmdb
import pytest

from alysd.embedded.engine.chain_store import FIRST_MAP_BYTES
from alysd.embedded.engine.execution_chain import ExecutionChain
from alysd.errors import Corrupt
from alysd.wire.keccak import keccak256
from tests.embedded.engine.kit import COUNTER_CODE, RICH, Sandbox, genesis, read, transfer

HELPS = "remove the folder `execution`"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The database of a chain of some blocks, whose last but one is final."""
    path = tmp_path / "execution"
    sandbox = Sandbox.open(path)
    blocks = [sandbox.make(transfer(RICH, nonce)).block_hash for nonce in range(5)]
    sandbox.follow(blocks[-1], blocks[-2], blocks[-2])
    sandbox.chain.close()
    return path


def change(folder: Path, table: str, key: bytes, value: bytes | None) -> None:
    """Replace or delete a record."""
    with lmdb.open(str(folder), max_dbs=16, map_size=FIRST_MAP_BYTES) as environment:
        into = environment.open_db(table.encode())
        with environment.begin(write=True, db=into) as transaction:
            if value is None:
                assert transaction.delete(key)
            else:
                assert transaction.replace(key, value)


def open_chain(folder: Path) -> ExecutionChain:
    return ExecutionChain.open(folder, genesis())


AT_START: dict[str, tuple[Callable[[ExecutionChain], tuple[str, bytes, bytes | None]], str]] = {
    "no head": (lambda _chain: ("meta", b"head", None), "the record of the head block is missing"),
    "another head": (lambda _chain: ("meta", b"head", b"\1" * 32), "block 0101[0-9a-f]* is missing"),
    "no genesis": (lambda _chain: ("meta", b"genesis", None), "the record of its genesis block is missing"),
    "another genesis": (
        lambda _chain: ("meta", b"genesis", b"\1" * 32),
        "its genesis block 0101[0-9a-f]* is not its block 0",
    ),
    "no header": (lambda chain: ("headers", chain.reader.head().hash, None), "block [0-9a-f]{64} is missing"),
    "another header": (
        lambda chain: ("headers", chain.reader.head().hash, chain.store.get("headers", chain.genesis) or b""),
        "contains another header",
    ),
    "half a header": (
        lambda chain: ("headers", chain.reader.head().hash, b"\xf9"),
        r"a record \(header\) cannot be decoded",
    ),
    "a wrong floor": (lambda _chain: ("meta", b"floor", b"\1" * 8), "keeps states from block"),
    "not canonical": (
        lambda chain: ("canonical", chain.reader.head().number.to_bytes(8, "big"), b"\1" * 32),
        "is not its canonical block",
    ),
    "no state of the head": (
        lambda chain: ("nodes", chain.reader.head().state_root, None),
        "trie node [0-9a-f]{64} is missing",
    ),
    "no final state": (
        lambda chain: ("nodes", chain.reader.finalized().state_root, None),
        "trie node [0-9a-f]{64} is missing",
    ),
    "another state": (
        lambda chain: (
            "nodes",
            chain.reader.head().state_root,
            chain.store.node(chain.reader.finalized().state_root),
        ),
        "contains another node",
    ),
}


@pytest.mark.parametrize("name", AT_START)
def test_damage_to_the_newest_blocks_is_noticed_at_start(folder: Path, name: str) -> None:
    """The node became ready, and ended after the next block."""
    what, words = AT_START[name]
    chain = open_chain(folder)
    found = what(chain)
    chain.close()
    change(folder, *found)
    with pytest.raises(Corrupt, match=f"the execution database is damaged: .*{words}.*{HELPS}"):
        open_chain(folder)


def test_what_is_damaged_later_is_noticed_when_it_is_read(folder: Path) -> None:
    chain = open_chain(folder)
    first = chain.reader.canonical_header(1)
    code = keccak256(bytes.fromhex(COUNTER_CODE[2:]))
    assert first is not None
    chain.close()
    change(folder, "codes", code, b"another code")
    change(folder, "canonical", bytes(7) + b"\2", first.hash)
    change(folder, "transactions", read(transfer(RICH, 0)).hash, first.hash + b"\0\0\0\5")
    change(folder, "bodies", first.hash, bytes.fromhex("c482ffffc0"))
    chain = open_chain(folder)
    with pytest.raises(Corrupt, match=f"contains another code.*{HELPS}"):
        chain.store.code(code)
    with pytest.raises(Corrupt, match=f"block 1 is recorded as canonical block 2.*{HELPS}"):
        chain.reader.canonical_header(2)
    with pytest.raises(Corrupt, match=HELPS):
        chain.reader.transaction(read(transfer(RICH, 0)).hash)
    with pytest.raises(Corrupt, match=f"cannot be decoded.*{HELPS}"):
        chain.reader.block(first.hash)
    chain.close()


FLIPS = """
import os, random, sys
from pathlib import Path
from alysd.errors import ConfigError, Corrupt
from tests.embedded.engine.kit import RICH, Sandbox, transfer

folder = Path(sys.argv[1])
whole = (folder / "data.mdb").read_bytes()
wrong = []

def use():
    sandbox = Sandbox.open(folder)
    nonce = sandbox.chain.reader.account(sandbox.head, RICH.address).nonce  # an older head is possible, and valid
    sandbox.make(transfer(RICH, nonce))
    for number in range(7):
        if (header := sandbox.chain.reader.canonical_header(number)) is not None:
            sandbox.chain.reader.block(header.hash)
            sandbox.chain.reader.receipts(header.hash)
    sandbox.chain.close()

for seed in range(int(sys.argv[2])):
    damaged, chance = bytearray(whole), random.Random(seed)
    for _ in range(30):
        damaged[chance.randrange(8192, len(whole))] ^= 1 << chance.randrange(8)
    (folder / "data.mdb").write_bytes(damaged)
    if child := os.fork():
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        print("end", status)
        continue
    status = 1
    try:
        use()
        status = 0
    except (Corrupt, ConfigError) as error:
        status = 2 if "remove the folder `execution`" in str(error) else 3
        print(seed, repr(error)[:200])
    except BaseException:
        import traceback
        traceback.print_exc(file=sys.stdout)
    finally:
        sys.stdout.flush()
        os._exit(status)
"""


def test_random_flips_are_harmless_or_answered_with_what_helps(folder: Path) -> None:
    """LMDB's own pages have no checksum, so damage to them can end a process by a signal."""
    ran = subprocess.run(
        [sys.executable, "-c", FLIPS, str(folder), "40"], capture_output=True, text=True, check=True
    )
    ends = [line.removeprefix("end ") for line in ran.stdout.splitlines() if line.startswith("end ")]
    assert len(ends) == 40
    assert set(ends) <= {"0", "2"}, ran.stdout
    assert "2" in ends
