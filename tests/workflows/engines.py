"""Execution clients for tests of the engine actor and of its workflow: one records, one refuses a head."""

from typing import Any, Self

import attrs
import trio

from alysd.errors import ComponentError
from alysd.testing.engine import FakeEngine
from alysd.types.block import ExecutionPayload, PayloadAttributes
from alysd.types.hashes import BlockHash, PayloadHash
from alysd.types.verdict import Verdict
from alysd.wire.execution_header import block_hash_of


@attrs.define
class Recording(FakeEngine):
    """Remembers what it was fed, and takes `seconds` for each payload."""

    fed: list[int] = attrs.Factory(list[int])
    seconds: float = 0.0

    @classmethod
    def like(cls, engine: FakeEngine) -> Self:
        """Return a client with the genesis, blocks and head of another."""
        return cls(engine.genesis, blocks=engine.blocks, head=engine.head)

    async def new_payload(self, payload: ExecutionPayload, parent_beacon_block_root: BlockHash) -> Verdict:
        await trio.sleep(self.seconds)
        self.fed.append(payload.block_number)
        return await super().new_payload(payload, parent_beacon_block_root)


@attrs.define
class Stubborn(FakeEngine):
    """Refuses every forkchoice update for `head_of` with the same error, whatever it is fed."""

    head_of: PayloadHash | None = None
    error: Exception = attrs.field(kw_only=True)

    async def set_forkchoice(self, head: PayloadHash, safe: PayloadHash, finalized: PayloadHash) -> None:
        if head == self.head_of:
            raise self.error
        await super().set_forkchoice(head, safe, finalized)


@attrs.define
class Lying(Recording):
    """Builds payloads with these wrong fields. With `rehashed`, the hash is that of the wrong header."""

    lies: dict[str, Any] = attrs.Factory(dict[str, Any])
    rehashed: bool = False

    async def build_payload(
        self, head: PayloadHash, safe: PayloadHash, finalized: PayloadHash, attributes: PayloadAttributes
    ) -> ExecutionPayload:
        payload = attrs.evolve(await super().build_payload(head, safe, finalized, attributes), **self.lies)
        root = attributes.parent_beacon_block_root
        return attrs.evolve(payload, block_hash=block_hash_of(payload, root)) if self.rehashed else payload


INVALID_HEAD = ComponentError("execution client", "engine_forkchoiceUpdatedV3", 0, "the head is invalid")


def stubborn(built: FakeEngine, head: PayloadHash, error: Exception) -> Stubborn:
    """Return a client with the blocks of `built` that answers every choice of `head` with the error."""
    return Stubborn(built.genesis, blocks=built.blocks, head_of=head, error=error)
