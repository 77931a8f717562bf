"""Opens the signer of the federation's payments that the configuration names."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import attrs
import trio

from alysd.bitcoin_ports import BitcoinSigner
from alysd.consensus.peg_ledger import spendings_at
from alysd.integrations.payment_record import PaymentRecord, locked_record
from alysd.integrations.payment_signing import RecordedSigner
from alysd.integrations.possession import x_only_key
from alysd.ports import Clock
from alysd.validation import ValidNode, member_bitcoin_key, signer_tls

if TYPE_CHECKING:
    from alysd.integrations.payment_remote import RemoteSigner


@attrs.frozen
class PaymentSigners:
    """The signer of this member's payments, or None. `remote` is the same one if it is in another process."""

    signer: BitcoinSigner | None
    remote: "RemoteSigner | None" = None


@asynccontextmanager
async def open_payment_signer(valid: ValidNode, clock: Clock) -> AsyncGenerator[PaymentSigners]:
    """Open the signer in this process, or the link to another one.

    The data folder must be locked. Raises the errors of `PaymentRecord.open` and `locked_record`.
    """
    config, genesis, secret = valid.config, valid.genesis, valid.peg_secret
    if config.peg.signer is not None:
        from alysd.integrations.payment_remote import RemoteSigner  # needs ssl, which other nodes do not

        key = member_bitcoin_key(config, genesis, valid.authority_secret)
        remote = RemoteSigner(config.peg.signer, key, genesis.context, signer_tls(config.peg))
        try:
            yield PaymentSigners(remote, remote)
        finally:
            await remote.aclose()
    elif secret is None:
        yield PaymentSigners(None)
    else:
        path, key = config.storage.payment_record, x_only_key(secret)
        with locked_record(path):
            record = await trio.to_thread.run_sync(PaymentRecord.open, path, key)
            try:
                spendings = await trio.to_thread.run_sync(spendings_at, genesis.state, genesis.context)
                yield PaymentSigners(RecordedSigner(secret, spendings, record, clock, config.peg.hourly_limit_sat))
            finally:
                record.close()
