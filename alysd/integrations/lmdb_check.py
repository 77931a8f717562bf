"""The checks of the node's database when it is opened: that it is of the right chain, and that its tables agree.

LMDB's pages have no checksum. A damaged page can hide records, which then seem to be missing. Therefore the checks
compare the tables with each other. They read the blocks from the end of the previous final range upwards. For
older blocks, they only check that the number of canonical blocks is right. So their time does not depend on the
length of the chain.
"""

from pathlib import Path

from alysd.errors import RESTORE_DATABASE, ConfigError, Corrupt, WrongChain
from alysd.integrations.lmdb_layout import FORMAT, STATE, TABLES, height_key, state_key
from alysd.integrations.lmdb_records import RecordTransaction
from alysd.types.chain import ChainState
from alysd.types.hashes import BlockHash, displayed
from alysd.types.units import Height
from alysd.wire.records import CHECKSUM_BYTES, unseal


def is_empty(txn: RecordTransaction) -> bool:
    """Whether no chain was ever written to the database."""
    return all(txn.count(table) == 0 for table in TABLES)


def check_format(txn: RecordTransaction, folder: Path) -> None:
    """Raise `ConfigError` for a database of another format, and `Corrupt` if its format is missing."""
    record = txn.lmdb.get(b"format", db=txn.tables["meta"])
    if record is None:
        raise _damaged(folder, "the record of the database's format is missing")
    # In format 1 the record had no checksum.
    found = bytes(record) if len(record) <= CHECKSUM_BYTES else unseal("meta", b"format", bytes(record))
    if found != FORMAT.encode():
        raise ConfigError(
            f"the database in {folder} has format {found.decode(errors='replace')}, but this version of alysd "
            f"uses format {FORMAT}: use the version that made the database, or set storage.path to a new folder"
        )


def check_genesis(txn: RecordTransaction, folder: Path, genesis: BlockHash) -> None:
    """Raise `WrongChain` for a database of another chain, and `Corrupt` if its genesis is missing."""
    found = txn.get("meta", b"genesis")
    if found is None:
        raise _damaged(folder, "the record of the genesis block is missing")
    if found != genesis:
        raise WrongChain(
            f"the database in {folder} belongs to the chain with genesis {displayed(found)}, "
            f"but the configured chain has genesis {displayed(genesis)}: use another data folder for this chain"
        )


def check_chain(txn: RecordTransaction, folder: Path, genesis: BlockHash) -> None:
    """Raise `Corrupt` unless the canonical blocks, their states and the final block agree with each other."""
    key = txn.get("meta", b"final")
    record = None if key is None else txn.get("states", key)
    if record is None:
        raise _damaged(folder, "the state of its final block is missing")
    final = STATE.decode(record)
    for height, expected in ((Height(0), genesis), (final.height, final.hash)):
        found = txn.get("canonical", height_key(height))
        if found != expected:
            shown = "missing" if found is None else displayed(found)
            raise _damaged(folder, f"its canonical block {height} is {shown}, not {displayed(expected)}")
    _check_branch(txn, folder, _check_states(txn, folder, final), final)


def _check_states(txn: RecordTransaction, folder: Path, final: ChainState) -> dict[bytes, ChainState]:
    """The states from the end of the previous final range upwards, by key."""
    states: dict[bytes, ChainState] = {}
    for key, value in txn.scan("states", height_key(final.last_final_height)):
        state = STATE.decode(value)
        if state_key(state) != key or state.last_final_height > final.height:
            raise _damaged(
                folder, f"the state of block {displayed(state.hash)} has a wrong key or a later final block"
            )
        states[key] = state
    return states


def _check_branch(
    txn: RecordTransaction, folder: Path, states: dict[bytes, ChainState], final: ChainState
) -> None:
    """Check that each height has a canonical block, and that each of the newest is the parent of the next."""
    above: ChainState | None = None
    for key, block in txn.scan_back("canonical"):
        height = Height(int.from_bytes(key, "big"))
        if above is None and txn.count("canonical") != height + 1:
            found = txn.count("canonical")
            raise _damaged(folder, f"there are {found} canonical blocks, but the newest has the height {height}")
        state = states.get(key + block)
        if state is None or (above is not None and above.parent_hash != block):
            raise _damaged(
                folder,
                f"canonical block {height}, {displayed(block)}, has no state or is not the parent of the next",
            )
        if above is None and txn.get("blocks", block) is None:
            raise _damaged(folder, f"the newest block {displayed(block)} is missing")
        if height <= final.last_final_height:
            return
        above = state


def _damaged(folder: Path, what: str) -> Corrupt:
    return Corrupt(f"the database in {folder} is damaged: {what}: {RESTORE_DATABASE}")
