"""Opens the signer of the federation's payments that the configuration names."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import trio

from alysd.config.model import AlysConfig
from alysd.consensus.peg_ledger import spendings_at
from alysd.integrations.payment_record import PaymentRecord
from alysd.integrations.payment_signing import RecordedSigner
from alysd.integrations.possession import x_only_key
from alysd.ports import BitcoinSigner, Clock
from alysd.types.chain import ChainState
from alysd.types.chain_spec import ChainContext


@asynccontextmanager
async def open_payment_signer(
    config: AlysConfig, context: ChainContext, genesis: ChainState, secret: bytes | None, clock: Clock
) -> AsyncGenerator[BitcoinSigner | None]:
    """Open the signer in this process; None for a node without a Bitcoin key.

    `genesis` is the chain's state after the genesis block, `secret` the Bitcoin key. The data folder must be
    locked. Raises the errors of `PaymentRecord.open`.
    """
    if secret is None:
        yield None
        return
    record = await trio.to_thread.run_sync(PaymentRecord.open, config.storage.payment_record, x_only_key(secret))
    try:
        spendings = await trio.to_thread.run_sync(spendings_at, genesis, context)
        yield RecordedSigner(secret, spendings, record, clock, config.peg.hourly_limit_sat)
    finally:
        record.close()
