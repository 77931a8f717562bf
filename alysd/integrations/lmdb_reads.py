"""Reads the records of the node's database within a transaction, and finds the place of a block in its chain.

`lmdb_layout` describes the tables.
"""

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice

from alysd.consensus.finality import covering_proof, finality_proof
from alysd.errors import RESTORE_DATABASE, Corrupt, Malformed
from alysd.integrations.lmdb_layout import BLOCK_KEY_BYTES, ENTRIES, STATE, height_key
from alysd.integrations.lmdb_records import RecordTransaction
from alysd.types.auxpow import AuxPowHeader
from alysd.types.block import SignedBlock
from alysd.types.chain import ChainState, FinalityProof, Forkchoice, PlacedBlock
from alysd.types.evidence import Evidence
from alysd.types.federation_update import FederationUpdate
from alysd.types.hashes import BlockHash, displayed
from alysd.types.tables import Proof, Table
from alysd.types.units import Height
from alysd.wire.block_ssz import decode_block
from alysd.wire.evidence import decode_evidence
from alysd.wire.federation_update import decode_updates


def state_of(txn: RecordTransaction, key: bytes) -> ChainState:
    """The chain's state under a key of `states`. Raises `Corrupt` when it is missing, as the other reads do."""
    record = txn.get("states", key) if key else None
    if record is None:
        raise Corrupt(
            f"the database has no chain state under the key {key.hex() or 'of the final block'}: "
            f"{RESTORE_DATABASE}"
        )
    return STATE.decode(record)


def final_of(txn: RecordTransaction) -> ChainState:
    """The chain's state after the last final block."""
    return state_of(txn, txn.get("meta", b"final") or b"")


def forkchoice_of(txn: RecordTransaction) -> Forkchoice:
    """The head, safe and final block. They are those of `fork_choice.Tree.tip` after the newest commit."""
    final = final_of(txn)
    newest = next(txn.scan_back("canonical"), None)
    head = state_of(txn, b"" if newest is None else newest[0] + newest[1])
    safe = txn.get("meta", b"safe")
    return Forkchoice(head=head, safe=final if safe is None else state_of(txn, safe), finalized=final)


def block_of(txn: RecordTransaction, block: BlockHash) -> SignedBlock | None:
    """The stored block with a hash, or None."""
    data = txn.get("blocks", block)
    if data is None:
        return None
    try:
        signed = decode_block(data)
    except Malformed as error:
        words = f"the block stored as {displayed(block)} cannot be decoded: {error}: {RESTORE_DATABASE}"
        raise Corrupt(words) from error
    if signed.hash != block:
        words = f"the block stored as {displayed(block)} has the hash {displayed(signed.hash)}"
        raise Corrupt(f"{words}: {RESTORE_DATABASE}")
    return signed


def encoded_range_of(txn: RecordTransaction, start: Height, count: int, size: int) -> tuple[bytes, ...]:
    """At most `count` canonical blocks from `start` upwards, in their stored form; see `ports.Store`.

    The checksums of the records are checked, as in all reads. Nothing is decoded or hashed, which would take some
    milliseconds per block.
    """

    def stored() -> Iterator[bytes]:
        for place, (key, value) in enumerate(islice(txn.scan("canonical", height_key(start)), count)):
            height = Height(start + place)
            data = txn.get("blocks", value)
            if data is None or key != height_key(height):
                raise Corrupt(f"the canonical block {height} is not in the database: {RESTORE_DATABASE}")
            yield data

    return _until_more_than(size, stored())


def encoded_blocks_of(txn: RecordTransaction, hashes: Sequence[BlockHash], size: int) -> tuple[bytes, ...]:
    """Those of these blocks that are stored, in order and in their stored form; see `ports.Store`."""
    found = (txn.get("blocks", one) for one in hashes)
    return _until_more_than(size, (data for data in found if data is not None))


def _until_more_than(size: int, values: Iterable[bytes]) -> tuple[bytes, ...]:
    """The first of `values`, up to and including the one with which they together exceed `size` bytes."""
    taken: list[bytes] = []
    for value in values:
        taken.append(value)
        size -= len(value)
        if size < 0:
            break
    return tuple(taken)


def canonical_of(txn: RecordTransaction, height: Height) -> SignedBlock | None:
    """The canonical block at a height, or None."""
    block = txn.get("canonical", height_key(height))
    if block is None:
        return None
    signed = block_of(txn, BlockHash(block))
    if signed is None or signed.block.height != height:
        raise Corrupt(f"the canonical block {height} is not in the database: {RESTORE_DATABASE}")
    return signed


def proof_of(txn: RecordTransaction, table: Table, key: bytes, final: Height) -> Proof | None:
    """The entry under `key`, as of the head; `table` is one of the two tables with proofs.

    `final` is the height of the last final block.
    """
    record = changed_entry(txn, table, key, changed_blocks(txn, final))
    return ENTRIES[table].decode(record) if record else None


def changed_blocks(txn: RecordTransaction, final: Height) -> tuple[bytes, ...]:
    """The state keys of the canonical blocks above the height `final` that change entries, the newest first.

    Takes one lookup per such block: only blocks with a proof or with a part in the peg change entries.
    """
    found: list[bytes] = []
    start = height_key(Height(final + 1))
    while (change := next(txn.scan("changes", start), None)) is not None:
        block = change[0][:BLOCK_KEY_BYTES]
        if txn.get("canonical", block[:8]) == block[8:]:
            found.append(block)
        start = (int.from_bytes(block, "big") + 1).to_bytes(BLOCK_KEY_BYTES, "big")
    return tuple(reversed(found))


def changed_entry(txn: RecordTransaction, table: Table, key: bytes, blocks: Iterable[bytes]) -> bytes | None:
    """The record of an entry after the first of the `blocks`; None or empty if there is no entry then.

    The blocks are those of `changed_blocks`. Takes at most one lookup per block.
    """
    name = table.value.encode() + b"|" + key
    for block in blocks:
        if (value := txn.get("changes", block + name)) is not None:
            return value
    return txn.get(table.value, key)


def placed(txn: RecordTransaction, signed: SignedBlock, tip: Forkchoice) -> PlacedBlock:
    """A stored block with its place in the chain whose forkchoice is `tip`."""
    header, final = signed.block.auxpow_header, tip.finalized.height
    canonical = txn.get("canonical", height_key(signed.block.height)) == signed.hash
    proof = proof_of(txn, Table.PROOFS, signed.hash, final)
    included = proof_of(txn, Table.PROOFS, header.range_end, final) if canonical and header is not None else None
    return PlacedBlock(signed, tip, canonical, proof, included)


def finality_of(txn: RecordTransaction, wanted: BlockHash) -> FinalityProof | None:
    """The proof of work that makes the stored block with the hash `wanted` final; None for an unknown block.

    Raises `NotFinal` and `NoProof`, as `consensus.finality.covering_proof`.
    """
    signed = block_of(txn, wanted)
    if signed is None:
        return None
    proof = covering_proof(placed(txn, signed, forkchoice_of(txn)))
    included = canonical_of(txn, proof.height)
    header = None if included is None else included.block.auxpow_header
    return finality_proof(proof, header, () if header is None else _range_of(txn, header))


def _range_of(txn: RecordTransaction, header: AuxPowHeader) -> list[BlockHash]:
    """The hashes of the canonical blocks from the start of a header's range to its end."""
    first = block_of(txn, header.range_start)
    hashes: list[BlockHash] = []
    if first is not None:
        for _, value in txn.scan("canonical", height_key(first.block.height)):
            hashes.append(BlockHash(value))
            if value == header.range_end:
                break
    return hashes


def evidence_of(txn: RecordTransaction) -> tuple[Evidence, ...]:
    """All evidence against authorities, oldest slot first."""
    try:
        return tuple(decode_evidence(value) for _, value in txn.scan("evidence", b""))
    except Malformed as error:
        raise Corrupt(f"stored evidence cannot be decoded: {error}: {RESTORE_DATABASE}") from error


UPDATES_KEY = b"updates"
"""The key in `meta` of the updates of the federation that wait for a block."""


def updates_of(txn: RecordTransaction) -> tuple[FederationUpdate, ...]:
    """The updates of the federation that wait for a block."""
    value = txn.get("meta", UPDATES_KEY)
    try:
        return () if value is None else decode_updates(value)
    except Malformed as error:
        raise Corrupt(f"stored updates cannot be decoded: {error}: {RESTORE_DATABASE}") from error
