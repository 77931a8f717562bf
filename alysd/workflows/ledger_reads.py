"""Reads the entries of the peg's ledger that the rules of a block need, in at most two asks."""

from alysd.consensus.peg_ledger import Entries, entry_keys, stored_key, version_keys
from alysd.consensus.validity import NO_ENTRIES
from alysd.messages.chain import Chain, GetEntries
from alysd.nurseries import Address
from alysd.peg.ledger import Key
from alysd.types.auxpow import AuxPowHeader
from alysd.types.chain import ChainState
from alysd.types.chain_spec import ChainContext
from alysd.types.hashes import BlockHash
from alysd.types.peg import PegContents


async def ledger_entries(
    chain: Address[Chain],
    contents: PegContents,
    header: AuxPowHeader | None,
    parent: ChainState,
    context: ChainContext,
    seconds: float,
) -> Entries:
    """Get the entries after `parent` that the rules read for a child with these `contents` and this `header`.

    Sends no ask if the chain has no peg, or if the block has no contents and no refund is due. Each ask may take
    `seconds`. Raises `UnknownParent` if `parent` is below the last final block, and `NotAnswered`.
    """
    keys = entry_keys(contents, header, parent, context)
    if not keys:
        return NO_ENTRIES
    entries = await _read(chain, keys, parent.hash, seconds)
    more = version_keys(entries)
    return {**entries, **await _read(chain, more, parent.hash, seconds)} if more else entries


async def _read(chain: Address[Chain], keys: tuple[Key, ...], at: BlockHash, seconds: float) -> Entries:
    found = await chain.ask(GetEntries(tuple(map(stored_key, keys)), at), seconds=seconds)
    return dict(zip(keys, found, strict=True))  # pyright: ignore[reportReturnType]  the tables have these values
