"""The checks when the database is opened: tables that disagree, as a damaged page leaves them, are named."""

from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import attrs
import pytest

from alysd.errors import Corrupt
from alysd.integrations.lmdb_layout import STATE, TABLES, height_key, state_key
from alysd.integrations.lmdb_records import Records, RecordTransaction
from alysd.integrations.lmdb_store import LmdbStore
from alysd.types.chain import ChainState, ExecutedBlock
from alysd.types.units import Height
from tests.integrations.stored_blocks import HAND, child, placement

Damage = Callable[[RecordTransaction, list[ChainState]], None]


def make_chain(folder: Path) -> list[ChainState]:
    """Store twelve blocks of which six are final; the states from the genesis block on."""
    state, states = HAND.genesis_state, [HAND.genesis_state]
    with closing(LmdbStore.open(folder, HAND.genesis, HAND.genesis_state)) as store:
        for slot in range(1, 13):
            last = states[slot // 3]
            signed, state = child(
                state, slot, last_final=last.hash, last_final_height=last.height, last_final_slot=last.slot
            )
            states.append(state)
            store.commit_blocks(
                [(ExecutedBlock(signed, state, ()), placement(state, state, final=states[slot // 2]))]
            )
    return states


def drop(table: str, key: Callable[[list[ChainState]], bytes]) -> Damage:
    return lambda txn, states: txn.delete(table, key(states))


def put_back_final(txn: RecordTransaction, states: list[ChainState]) -> None:
    txn.put("meta", b"final", state_key(states[1]))


def move_state(txn: RecordTransaction, states: list[ChainState]) -> None:
    txn.put("states", state_key(states[9]), STATE.encode(states[8]))


def other_parent(txn: RecordTransaction, states: list[ChainState]) -> None:
    txn.put("states", state_key(states[9]), STATE.encode(attrs.evolve(states[9], parent_hash=states[2].hash)))


def other_final(txn: RecordTransaction, states: list[ChainState]) -> None:
    txn.put("canonical", height_key(Height(6)), states[5].hash)


def no_meta(txn: RecordTransaction, _states: list[ChainState]) -> None:
    for key in (b"genesis", b"final", b"format"):
        txn.delete("meta", key)


DAMAGE: dict[str, tuple[Damage, str]] = {
    "no format": (drop("meta", lambda _: b"format"), "the record of the database's format is missing"),
    "no genesis": (drop("meta", lambda _: b"genesis"), "the record of the genesis block is missing"),
    "no final block": (drop("meta", lambda _: b"final"), "state of its final block is missing"),
    "no state of the final block": (drop("states", lambda s: state_key(s[6])), "final block is missing"),
    "an empty meta table": (no_meta, "the record of the database's format is missing"),
    "an older final block": (put_back_final, "has a wrong key or a later final block"),
    "another final block": (other_final, "its canonical block 6 is [0-9a-f]{64}, not [0-9a-f]{64}"),
    "no canonical block 0": (drop("canonical", lambda _: height_key(Height(0))), "canonical block 0 is missing"),
    "a hole far below": (
        drop("canonical", lambda _: height_key(Height(1))),
        "12 canonical blocks, but the newest",
    ),
    "no head": (drop("canonical", lambda _: height_key(Height(9))), "12 canonical blocks, but the newest"),
    "a state under another key": (move_state, "has a wrong key or a later final block"),
    "another parent": (other_parent, "has no state or is not the parent of the next"),
    "no state": (drop("states", lambda s: state_key(s[10])), "has no state or is not the parent of the next"),
    "no newest block": (drop("blocks", lambda s: s[12].hash), "newest block [0-9a-f]{64} is missing"),
}


@pytest.mark.parametrize("name", DAMAGE)
def test_tables_that_disagree_are_damage(tmp_path: Path, name: str) -> None:
    """The node would go on from another state than the chain's."""
    damage, words = DAMAGE[name]
    states = make_chain(tmp_path)
    with closing(Records.open(tmp_path, TABLES)) as records:
        records.write(lambda txn: damage(txn, states))
    with pytest.raises(Corrupt, match=f"the database in {tmp_path} is damaged: .*{words}.*backup"):
        LmdbStore.open(tmp_path, HAND.genesis, HAND.genesis_state)
