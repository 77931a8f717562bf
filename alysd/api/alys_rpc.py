"""The JSON-RPC of Alys: merged mining in Namecoin's form, and the chain's blocks (docs/json-rpc.md)."""

from collections.abc import Callable, Mapping
from typing import Any, Generic, TypeVar

import trio

from alysd.api.alys_json import block_json, deposit_json, evidence_json, finality_json, offer_json, queued_json
from alysd.api.federation_json import federation_json, former_addresses
from alysd.api.hex_values import address, text
from alysd.api.jsonrpc import Encoded, InvalidParams, Method, Params, RpcError
from alysd.consensus.federation import federation_at, halted_at
from alysd.errors import HANDLING, Malformed, NoPeg, RpcCode
from alysd.messages.auxpow import CreateWork, GetQueuedWork, MergedMining, SubmitWork
from alysd.messages.reads import (
    ReadBlockByHash,
    ReadBlockByHeight,
    ReadEvidence,
    ReadFinalityProof,
    ReadForkchoice,
    Reads,
)
from alysd.nurseries import Address, Ask, NotAnswered
from alysd.peg.federation import deposit_address
from alysd.timing import Timing
from alysd.types.auxpow import AuxPow
from alysd.types.chain import PlacedBlock
from alysd.types.chain_spec import ChainContext
from alysd.types.hashes import AuxHash, BlockHash, EvmAddress
from alysd.types.latest import Latest
from alysd.types.peg import BRIDGE_ADDRESS, RESERVE
from alysd.types.units import Height
from alysd.wire.auxpow import MAX_AUXPOW_BYTES, decode_auxpow
from alysd.wire.block_ssz import encode_block
from alysd.wire.hex import from_displayed, from_hex

CODES: Mapping[type[Exception], int] = {
    **{error: how.rpc_code for error, how in HANDLING.items() if how.refusal},
    NotAnswered: RpcCode.INTERNAL_ERROR,
}
"""Error codes by class, for the dispatcher (docs/json-rpc.md, "Errors")."""

IN_PLACE = 8192
"""The maximum size, in bytes, of a proof that is decoded in the event loop.

Decoding a usual proof of 1 to 2 kB takes 0.1 ms.
"""

ASKS = 4
"""The maximum number of asks of RPC clients to one actor at a time.

The most expensive ask is the check of a proof, which takes 20 ms. Four checks take 80 ms, which is less than block
production waits for an answer (`Timing.work_ask`).
"""

P = TypeVar("P")
R = TypeVar("R")

_MAX_HEIGHT = 2**63
_MAX_VERBOSITY = 3


class Asks(Generic[P]):
    """The asks of all RPC clients to one actor, each with a deadline of `seconds`.

    At most `ASKS` at a time are in the actor's mailbox. The others wait here, in order, so that block production's
    messages to the same actor do not wait for them.
    """

    def __init__(self, actor: Address[P], seconds: float) -> None:
        self._actor = actor
        self._seconds = seconds
        self._limiter = trio.CapacityLimiter(ASKS)

    async def ask(self, question: Ask[P, R]) -> R:
        """Ask the actor. Raises the errors of `Address.ask`."""
        async with self._limiter:
            return await self._actor.ask(question, seconds=self._seconds)


class AlysRpc:
    """Answers requests by asking the node's actors.

    `commits` returns `Store.commits`. `miner` is the fee recipient of `getauxblock`, if configured.
    """

    def __init__(
        self,
        reader: Address[Reads],
        commits: Callable[[], int],
        auxpow: Address[MergedMining],
        context: ChainContext,
        miner: Latest[EvmAddress | None],
        timing: Timing,
    ) -> None:
        self._reader = Asks(reader, timing.rpc_ask)
        self._commits = commits
        self._auxpow = Asks(auxpow, timing.rpc_ask)
        self._context = context
        self._miner = miner
        self._newest: tuple[int, Encoded] | None = None
        self._reading = trio.Lock()

    def methods(self) -> dict[str, Method]:
        """The table for the dispatcher."""
        return {
            "createauxblock": Method(self.create_aux_block, 1),
            "submitauxblock": Method(self.submit_aux_block, 2),
            "getauxblock": Method(self.get_aux_block, 2),
            "getqueuedpow": Method(self.get_queued_pow),
            "getdepositaddress": Method(self.get_deposit_address, 1),
            "getheadblock": Method(self.get_head_block),
            "getblockbyheight": Method(self.get_block_by_height, 1),
            "getblockbyhash": Method(self.get_block_by_hash, 1),
            "getblock": Method(self.get_block, 2),
            "getevidence": Method(self.get_evidence),
            "getfederation": Method(self.get_federation),
            "getfinalityproof": Method(self.get_finality_proof, 1),
        }

    async def create_aux_block(self, params: Params) -> Any:
        """Offer work whose fees go to an EVM address."""
        return await self._offer(params.required(0, address))

    async def submit_aux_block(self, params: Params) -> Any:
        """Submit a proof. The result is true, or the error of the failed check."""
        work = SubmitWork(AuxHash(params.required(0, _hash)), await _auxpow(params, 1))
        await self._auxpow.ask(work)
        return True

    async def get_aux_block(self, params: Params) -> Any:
        """Offer work to the configured miner, or with two parameters submit a proof, as in Namecoin.

        With one parameter, an address, offer work to this address, as `createauxblock` does.
        """
        if len(params.values) == 1:
            return await self.create_aux_block(params)
        if params.values:
            return await self.submit_aux_block(params)
        if self._miner.value is None:
            words = "no miner is configured: set mining.fee_recipient, or call createauxblock with an address"
            raise RpcError(RpcCode.REFUSED, words)
        return await self._offer(self._miner.value)

    async def get_queued_pow(self, _params: Params) -> Any:
        """The proof that the next block would include, or null."""
        queued = await self._auxpow.ask(GetQueuedWork())
        return None if queued is None else queued_json(queued)

    async def get_deposit_address(self, params: Params) -> Any:
        """The federation's Bitcoin address, and with an EVM address also how a deposit names it as recipient.

        Raises `NoPeg` on a chain without a peg: a deposit to the address would be lost.
        """
        if self._context.peg is None:
            raise NoPeg(
                f"the chain {self._context.spec.name} has no peg: do not send bitcoin to its federation, "
                "because nothing is credited"
            )
        recipient = params.optional(0, _recipient, None)
        tip = await self._reader.ask(ReadForkchoice())
        if halted_at(tip.head):
            raise RpcError(
                RpcCode.REFUSED,
                "governance has halted the peg: send no bitcoin before it resumes, because nothing is credited",
            )
        keys, network = federation_at(tip.head, self._context).bitcoin_keys, self._context.spec.bitcoin_network
        to = await trio.to_thread.run_sync(deposit_address, keys, network)
        return deposit_json(to, recipient, self._context.spec)

    async def get_federation(self, _params: Params) -> Any:
        """The federation that makes the next block, and the change that waits."""
        head = (await self._reader.ask(ReadForkchoice())).head
        federation, network = federation_at(head, self._context), self._context.spec.bitcoin_network
        to = await trio.to_thread.run_sync(deposit_address, federation.bitcoin_keys, network)
        former = await trio.to_thread.run_sync(former_addresses, head, self._context)
        return federation_json(head, federation, to, former)

    async def get_head_block(self, _params: Params) -> Any:
        """The block at the head. The encoded result is kept until another block is committed."""
        if self._newest is None or self._newest[0] != self._commits():
            async with self._reading:  # one client reads the new head, the others wait for it
                if self._newest is None or self._newest[0] != self._commits():
                    commits = self._commits()
                    head = await self._reader.ask(ReadBlockByHeight(None))
                    self._newest = commits, Encoded.of(block_json(_found(head)))
        return self._newest[1]

    async def get_block_by_height(self, params: Params) -> Any:
        """The block at a height on the branch of the head."""
        height = params.required(0, _height)
        found = await self._reader.ask(ReadBlockByHeight(height))
        return block_json(_found(found, f"no canonical block has height {height}"))

    async def get_block(self, params: Params) -> Any:
        """The block with a hash, or the block that includes the proof for the work with this hash.

        Pools ask with the hash of their work, because on other merge-mined chains the hash of the work is the
        block's hash. The second parameter is Bitcoin's verbosity: with 0 or false the result is the encoded block
        in hex.
        """
        wanted, verbosity = params.required(0, _hash), params.optional(1, _verbosity, 1)
        found = _found(
            await self._reader.ask(ReadBlockByHash(BlockHash(wanted), or_work=True)),
            "this is neither a block's hash nor the hash of work whose proof a block includes",
        )
        if not verbosity:
            return (await trio.to_thread.run_sync(encode_block, found.signed)).hex()
        return block_json(found)

    async def get_block_by_hash(self, params: Params) -> Any:
        """The block with a hash, on any branch."""
        wanted = BlockHash(params.required(0, _hash))
        return block_json(_found(await self._reader.ask(ReadBlockByHash(wanted))))

    async def get_finality_proof(self, params: Params) -> Any:
        """The proof of work that makes a block final, with everything that its check needs.

        The proof of a range of 10,000 blocks has 0.7 MB; a thread encodes it.
        """
        wanted = BlockHash(params.required(0, _hash))
        found = await self._reader.ask(ReadFinalityProof(wanted))
        if found is None:
            raise RpcError(RpcCode.BLOCK_NOT_FOUND, "block not found: no block has this hash")
        return await trio.to_thread.run_sync(lambda: Encoded.of(finality_json(wanted, found)))

    async def get_evidence(self, _params: Params) -> Any:
        """The evidence that authorities have broken the approval rule, oldest slot first."""
        return [evidence_json(one) for one in await self._reader.ask(ReadEvidence())]

    async def _offer(self, recipient: EvmAddress) -> Any:
        offer = await self._auxpow.ask(CreateWork(recipient))
        return offer_json(offer, self._context.spec.chain_id)


def _found(block: PlacedBlock | None, reason: str = "no block has this hash") -> PlacedBlock:
    if block is None:
        raise RpcError(RpcCode.BLOCK_NOT_FOUND, f"block not found: {reason}")
    return block


def _recipient(value: Any) -> EvmAddress:
    """Read the recipient of a deposit: an account for which the BTC is not lost."""
    found = address(value)
    if found == RESERVE:
        raise Malformed("a deposit to the zero address would not be credited: name the account that gets the BTC")
    if found == BRIDGE_ADDRESS:
        raise Malformed(
            "the bridge contract cannot pay out what is credited to it: name the account that gets the BTC"
        )
    return found


def _hash(value: Any) -> bytes:
    return from_displayed(text(value))


async def _auxpow(params: Params, position: int) -> AuxPow:
    """Decode a proof; a large one in a thread, because decoding can take up to 20 ms."""
    data = params.required(position, _auxpow_bytes)
    try:
        if len(data) <= IN_PLACE:
            return decode_auxpow(data)
        return await trio.to_thread.run_sync(decode_auxpow, data)
    except Malformed as error:
        raise InvalidParams(f"params[{position}]: {error}") from error


def _auxpow_bytes(value: Any) -> bytes:
    digits = text(value)
    if len(digits) > 2 * MAX_AUXPOW_BYTES:
        raise Malformed(f"a proof of work must have at most {MAX_AUXPOW_BYTES} bytes, found {len(digits) // 2}")
    return from_hex(digits)


def _verbosity(value: Any) -> int:
    """Read a verbosity: 0 to 3 or a boolean, as in `getblock` of Bitcoin Core."""
    if not isinstance(value, int) or not 0 <= value <= _MAX_VERBOSITY:
        raise Malformed(f"the verbosity must be 0, 1, 2, 3, true or false, got {str(value)[:40]}")
    return value


def _height(value: Any) -> Height:
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < _MAX_HEIGHT:
        raise Malformed(f"a height must be an integer from 0 to 2^63 - 1, got {str(value)[:40]}")
    return Height(value)
