"""Pruned states are refused by name; every other state stays whole, whatever order blocks and crashes come in."""

import random
import shutil
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path

import attrs
import pytest

from alysd.embedded.engine.calls import Calls
from alysd.embedded.engine.chain_store import ChainStore
from alysd.embedded.engine.pruning import Collection, CollectionPhase, Pruner, PruningLimits
from alysd.embedded.engine.reader import StatePruned
from alysd.embedded.engine.values import CallRequest
from alysd.errors import ConfigError, Corrupt
from alysd.types.block import ExecutionPayload
from alysd.types.execution import ExecutionHeader
from alysd.types.hashes import EvmAddress
from alysd.types.verdict import Syncing, Valid
from tests.embedded.engine.kit import (
    CHAIN_ID,
    COUNTER,
    OTHER,
    RICH,
    SPLITTER,
    THIRD,
    Sandbox,
    Signer,
    genesis,
    transfer,
)
from tests.thorough import cases

WINDOW = 3
SMALL = PruningLimits(least_nodes=1, copies=4, seconds=60)
"""A collection that is always under way, in steps so small that every phase lasts for many blocks."""

ACCOUNTS = [signer.address for signer in (RICH, OTHER, THIRD)] + [EvmAddress(b"\xaa" * 20), COUNTER, SPLITTER]
ROOM = genesis(**{f"0x{index:040x}": {"balance": "0x1"} for index in range(0x1000, 0x1010)})


def pruned(folder: Path, limits: PruningLimits = SMALL) -> Sandbox:
    return Sandbox.open(folder, ROOM, kept_states=WINDOW, limits=limits)


def unpruned(folder: Path) -> Sandbox:
    return Sandbox.open(folder, ROOM, kept_states=None)


def phase_of(sandbox: Sandbox) -> CollectionPhase:
    found = sandbox.chain.store.meta("pruning")
    return CollectionPhase.RESTING if found is None else Collection.decode(found).phase


def nodes_of(sandbox: Sandbox) -> int:
    """The number of trie nodes in both tables."""
    store = sandbox.chain.store
    with store._environment.begin() as transaction:  # pyright: ignore[reportPrivateUsage]
        return sum(transaction.stat(table)["entries"] for table in store._nodes)  # pyright: ignore[reportPrivateUsage]


def remove(sandbox: Sandbox, table: str, key: bytes) -> None:
    """Remove a record behind the engine's back."""
    store = sandbox.chain.store
    with store._environment.begin(write=True) as transaction:  # pyright: ignore[reportPrivateUsage]
        assert transaction.delete(key, db=store._tables[table])  # pyright: ignore[reportPrivateUsage]


def canonical(sandbox: Sandbox, number: int) -> ExecutionHeader:
    found = sandbox.chain.reader.canonical_header(number)
    assert found is not None
    return found


def everything(sandbox: Sandbox, header: ExecutionHeader) -> list[object]:
    """All values of a state that a client can read: accounts, code, storage."""
    reader = sandbox.chain.reader
    found: list[object] = [reader.account(header, address) for address in ACCOUNTS]
    found += [reader.account(header, EvmAddress(index.to_bytes(20, "big"))) for index in range(0x1000, 0x1010)]
    found += [reader.code(header, COUNTER), reader.storage(header, COUNTER, 0)]
    return found + [reader.storage(header, SPLITTER, slot) for slot in range(8)]


@attrs.define
class Twins:
    """A pruned chain and an unpruned one that are given the same blocks, and a model of what must be readable."""

    chance: random.Random
    folder: Path
    pruned: Sandbox
    whole: Sandbox
    blocks: dict[bytes, ExecutionPayload] = attrs.Factory(dict[bytes, ExecutionPayload])
    final: int = 0
    floor: int = 0

    @property
    def head(self) -> ExecutionHeader:
        return self.whole.head

    def branch(self, block: bytes) -> list[bytes]:
        """The block and its ancestors down to block 1."""
        found: list[bytes] = []
        while block in self.blocks:
            found.append(block)
            block = self.blocks[block].parent_hash
        return found

    def extend(self, parent: bytes) -> None:
        """Add a block with some transactions on `parent`, without following it."""
        on = self.whole.chain.reader.needed_header(parent)
        raw: list[bytes] = []
        for signer in (RICH, OTHER, THIRD):
            nonce = self.whole.chain.reader.account(on, signer.address).nonce
            if self.chance.random() < 0.6:
                raw.append(self.transaction(signer, nonce))
        payload = self.whole.build(*raw, parent=parent, after=self.chance.randrange(1, 5))
        assert self.whole.give(payload) == Valid()
        assert self.pruned.give(payload) == Valid()
        self.blocks[payload.block_hash] = payload

    def transaction(self, signer: Signer, nonce: int) -> bytes:
        kind = self.chance.randrange(3)
        if kind == 0:
            return transfer(signer, nonce, to=self.chance.choice(ACCOUNTS[:4]))
        if kind == 1:
            return transfer(signer, nonce, to=COUNTER, gas=100_000, value=0)
        slot, value = self.chance.randrange(8), self.chance.randrange(3)  # zero deletes: values come back
        data = slot.to_bytes(32, "big") + value.to_bytes(32, "big")
        return transfer(signer, nonce, to=SPLITTER, gas=100_000, value=0, data=data)

    def follow(self, block: bytes) -> None:
        """Move both heads, and sometimes make an ancestor final."""
        branch = self.branch(block)
        if self.chance.random() < 0.5:
            self.final = max(self.final, len(branch) - self.chance.randrange(3))
        final = branch[len(branch) - self.final] if self.final else self.whole.chain.genesis
        for sandbox in (self.whole, self.pruned):
            assert sandbox.follow(block, safe=final, finalized=final) is not None
        self.floor = max(self.floor, self.final - WINDOW)

    def open_branches(self) -> list[bytes]:
        """The blocks that descend from the last final block: those that a node may still build on."""
        canonical = self.branch(self.head.hash)
        final = canonical[len(canonical) - self.final] if self.final else None
        found = [block for block in self.blocks if final is None or final in self.branch(block)]
        return found or [self.whole.chain.genesis]

    def reopen(self) -> None:
        self.pruned.chain.close()
        self.pruned = pruned(self.folder)

    def check(self) -> None:
        """Check that each state to keep equals that of the unpruned chain, and that other states are refused."""
        canonical = self.branch(self.head.hash)
        oldest = canonical[len(canonical) - self.floor] if self.floor else None
        for block in self.blocks:
            header = self.whole.chain.reader.needed_header(block)
            if oldest is None or oldest in self.branch(block):
                assert everything(self.pruned, header) == everything(self.whole, header)
            else:
                with pytest.raises(StatePruned, match=f"^missing trie node {header.state_root.hex()} "):
                    everything(self.pruned, header)


@pytest.fixture
def twins(tmp_path: Path) -> Iterator[Callable[[int], Twins]]:
    opened: list[Twins] = []

    def make(seed: int) -> Twins:
        folder = tmp_path / "pruned"
        chance = random.Random(seed)  # noqa: S311  not used for secrets
        opened.append(Twins(chance, folder, pruned(folder), unpruned(tmp_path / "whole")))
        return opened[-1]

    yield make
    for each in opened:
        each.pruned.chain.close()
        each.whole.chain.close()


@pytest.mark.parametrize("seed", range(cases(1, 6)))
def test_pruning_changes_nothing_within_the_window(twins: Callable[[int], Twins], seed: int) -> None:
    """Random branches, reorganisations, finality and restarts, beside an engine that keeps everything."""
    both = twins(seed)
    phases: set[CollectionPhase] = set()
    for _ in range(70):
        action = both.chance.random()
        if action < 0.55:
            both.extend(both.head.hash)
            both.follow(list(both.blocks)[-1])
        elif action < 0.75:
            both.extend(both.chance.choice(both.open_branches()))
        elif action < 0.9:
            both.follow(both.chance.choice(both.open_branches()))
        else:
            both.reopen()
        both.check()
        phases.add(phase_of(both.pruned))
    assert both.floor > 2 * WINDOW
    assert phases >= {CollectionPhase.WAITING, CollectionPhase.COPYING, CollectionPhase.CLEARING}


def grown(sandbox: Sandbox, blocks: int) -> list[ExecutionPayload]:
    """Add blocks that change a slot and an account each; all but the last one become final."""
    made: list[ExecutionPayload] = []
    for _ in range(blocks):
        nonce = sandbox.chain.reader.account(sandbox.head, RICH.address).nonce
        data = (nonce % 8).to_bytes(32, "big") + nonce.to_bytes(32, "big")
        before = sandbox.head.hash
        made.append(sandbox.make(transfer(RICH, nonce, to=SPLITTER, gas=100_000, value=0, data=data)))
        sandbox.follow(made[-1].block_hash, safe=before, finalized=before)
    return made


def test_a_crash_at_any_write_loses_no_kept_state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A killed process leaves the database as its last transaction left it: continue from each of them."""
    folder = tmp_path / "engine"
    copies: list[tuple[Path, int]] = []
    commit = ChainStore._write  # pyright: ignore[reportPrivateUsage]

    def copying(store: ChainStore, work: object, *, sync: bool) -> None:
        commit(store, work, sync=sync)  # type: ignore[arg-type]
        copies.append((shutil.copytree(folder, tmp_path / f"copy {len(copies)}"), store.floor()))

    monkeypatch.setattr(ChainStore, "_write", copying)
    sandbox = pruned(folder)
    payloads = grown(sandbox, 24)
    last = everything(sandbox, sandbox.head)
    sandbox.chain.close()
    monkeypatch.undo()
    phases: set[CollectionPhase] = set()
    for copy, floor in copies[::2]:
        again = pruned(copy)
        phases.add(phase_of(again))
        for number in range(floor, again.head.number + 1):
            everything(again, canonical(again, number))
        for payload in payloads:
            assert again.give(payload) == Valid()
        again.follow(payloads[-1].block_hash, payloads[-2].block_hash, payloads[-2].block_hash)
        assert everything(again, again.head) == last
        again.chain.close()
    assert phases == set(CollectionPhase)


@pytest.mark.parametrize("call", ["step", "_copy", "_clear"])
def test_a_step_that_fails_leaves_the_forkchoice_before_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    small = pruned(tmp_path / "small")
    grown(small, 8)

    def fail(*_args: object, **_options: object) -> None:
        raise Corrupt("the disk lies")

    monkeypatch.setattr(Pruner, call, fail)
    reached = small.head.number
    with pytest.raises(Corrupt, match="the disk lies"):
        grown(small, 100)
    stored = small.chain.store.meta("head")
    assert stored == small.head.hash, "memory and disk agree"
    assert small.head.number < reached + 100
    monkeypatch.undo()
    grown(small, 8)
    small.chain.close()


def test_an_unpruned_database_is_pruned_gradually(tmp_path: Path) -> None:
    whole = unpruned(tmp_path)
    grown(whole, 30)
    states = [everything(whole, canonical(whole, number)) for number in range(27, 31)]
    before = nodes_of(whole)
    whole.chain.close()
    later = pruned(tmp_path, PruningLimits(least_nodes=1, copies=64, seconds=60))
    grown(later, 1)
    assert nodes_of(later) > before, "the first step deletes nothing"
    for number, state in zip(range(27, 31), states, strict=True):
        assert everything(later, canonical(later, number)) == state
    grown(later, 20)
    assert nodes_of(later) < before
    later.chain.close()


def test_what_an_older_database_does_not_say_is_assumed_safely(tmp_path: Path) -> None:
    """Without "highest", copying waits until all blocks that may be stored are below the floor."""
    whole = unpruned(tmp_path)
    grown(whole, 5)
    remove(whole, "meta", b"highest")
    whole.chain.close()
    later = pruned(tmp_path, attrs.evolve(SMALL, unknown_blocks=10))
    seen: dict[int, CollectionPhase] = {}
    for _ in range(20):
        grown(later, 1)
        seen[later.chain.reader.floor] = phase_of(later)
    assert seen[15] is CollectionPhase.WAITING
    assert seen[16] is CollectionPhase.COPYING, (
        "block 5 was the head, so 15 is the highest number that an old block may have"
    )
    later.chain.close()


def test_a_step_does_a_bounded_part(tmp_path: Path) -> None:
    """However large the state, a forkchoice copies and deletes at most what the limits say."""
    limits = PruningLimits(least_nodes=1, copies=5, seconds=60)
    many = genesis(**{f"0x{index:040x}": {"balance": "0x1"} for index in range(0x1000, 0x1400)})
    sandbox = Sandbox.open(tmp_path, many, kept_states=WINDOW, limits=limits)
    steps: set[int] = set()
    for _ in range(60):
        before = nodes_of(sandbox)
        sandbox.make()
        sandbox.follow(sandbox.head.hash, sandbox.head.hash, sandbox.head.hash)
        steps.add(nodes_of(sandbox) - before)
    added = 20
    assert max(steps) <= 2 * 2 * added
    assert min(steps) >= -2 * 8 * 2 * added, "a block has two forkchoices here"
    sandbox.chain.close()


def test_a_step_ends_when_its_time_is_used_up(tmp_path: Path) -> None:
    """Without any time a step copies one node, and the collection still goes on."""
    small = pruned(tmp_path, PruningLimits(least_nodes=1, copies=1000, seconds=0))
    copied: list[int] = []
    for _ in range(25):
        grown(small, 1)
        found = small.chain.store.meta("pruning")
        copied.append(0 if found is None else Collection.decode(found).copied)
    assert max(copied) > 10
    assert max(after - before for before, after in pairwise(copied)) == 2, "two forkchoices in a block"
    small.chain.close()


def test_what_keeps_all_states_prunes_none_and_goes_on_later(tmp_path: Path) -> None:
    """Pruning that is turned off in the middle leaves what is kept, and may be turned on again."""
    first = pruned(tmp_path)
    grown(first, 12)
    floor, phase = first.chain.reader.floor, phase_of(first)
    first.chain.close()
    whole = unpruned(tmp_path)
    grown(whole, 12)
    assert whole.chain.reader.floor == floor
    assert phase_of(whole) is phase
    for number in range(floor, 25):
        everything(whole, canonical(whole, number))
    whole.chain.close()
    again = pruned(tmp_path)
    grown(again, 24)
    assert again.chain.reader.floor == 48 - 1 - WINDOW
    for number in range(again.chain.reader.floor, 49):
        everything(again, canonical(again, number))
    again.chain.close()


def test_a_pruned_state_is_refused_everywhere(tmp_path: Path) -> None:
    small = pruned(tmp_path)
    payloads = grown(small, 12)
    chain, old = small.chain, canonical(small, 2)
    request = CallRequest(
        sender=RICH.address, to=COUNTER, gas=None, max_fee=0, max_priority_fee=0, value=0, data=b""
    )
    calls = Calls(chain.store, chain.reader, CHAIN_ID)
    for call in (calls.call, calls.estimate_gas):
        with pytest.raises(StatePruned, match="is not available, not found"):
            call(old, request)
    with pytest.raises(StatePruned):
        chain.reader.storage(old, COUNTER, 0)
    with pytest.raises(ConfigError, match=r"needs the state after block 2, but .* from block 8 on"):
        small.follow(old.hash)
    with pytest.raises(ConfigError, match="restore the whole data folder from one backup"):
        small.build(parent=old.hash)
    assert small.head.hash == payloads[-1].block_hash
    elsewhere = unpruned(tmp_path / "elsewhere")
    for payload in payloads[:2]:
        assert elsewhere.give(payload) == Valid()
    side = elsewhere.build(transfer(OTHER, 0), parent=old.hash, after=9)
    assert small.give(side) == Syncing(), "its parent's state is not there"
    elsewhere.chain.close()
    chain.close()


def test_a_state_that_is_pruned_while_it_is_read_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    small = pruned(tmp_path)
    grown(small, 4)
    reader, old = small.chain.reader, canonical(small, 1)

    def gone(_digest: bytes) -> bytes:
        reader.floor = 3
        raise Corrupt("no trie node")

    monkeypatch.setattr(small.chain.store, "node", gone)
    unread = EvmAddress(b"\x99" * 20)
    with pytest.raises(StatePruned):
        reader.account(old, unread)
    with pytest.raises(Corrupt, match="no trie node"):
        reader.account(small.head, unread)
    small.chain.close()


def test_damaged_progress_is_corruption() -> None:
    good = Collection(CollectionPhase.COPYING, 1, 7, b"\1" * 32, "-0a/3", 5, 9)
    assert Collection.decode(good.encode()) == good
    for damaged in (
        b"",
        b"\xc0",
        good.encode()[:-1],
        Collection(CollectionPhase.COPYING).encode().replace(b"\2", b"\7"),
    ):
        with pytest.raises(Corrupt, match="progress of pruning"):
            Collection.decode(damaged)


def test_an_older_version_refuses_a_pruned_database(tmp_path: Path) -> None:
    """A version that knows one table of nodes would call the database damaged."""
    small = pruned(tmp_path)
    assert small.chain.store.meta("format") == b"1"
    grown(small, 4)
    assert small.chain.store.meta("format") == b"2"
    small.chain.close()


def test_a_floor_without_a_block_is_corruption(tmp_path: Path) -> None:
    small = pruned(tmp_path)
    grown(small, 6)
    remove(small, "canonical", (3).to_bytes(8, "big"))
    with pytest.raises(Corrupt, match="canonical block 3 is missing"):
        grown(small, 1)
    small.chain.close()
