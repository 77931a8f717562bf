"""The federation actor: signs final payments, gathers the members' signatures, and broadcasts complete payments.

A payment can be signed once the block with its proposal is final. This node's signer signs it, gossip brings the
signatures of the other members, and with a quorum the transaction is complete: a block can include its witnesses,
and any node can broadcast it. All of this repeats until Bitcoin has confirmed a version of the payment, so that
neither lost gossip nor a restart stops it (docs/protocol.md, "Peg-out").
"""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from heapq import nsmallest

import attrs
import trio

from alysd.actors.gossip_judge import PEG_SIGNATURES_REPEATED
from alysd.bitcoin_ports import BitcoinSigner
from alysd.consensus.federation import halted_at
from alysd.consensus.peg_ledger import spendings_at
from alysd.consensus.violations import UnknownParent
from alysd.errors import NotBroadcast, NotNow, NotSeenOnBitcoin, PaymentForbidden, SignerUnavailable, StoreError
from alysd.messages.bitcoin_watch import BitcoinWatch, Broadcast
from alysd.messages.bridge import Bridge, CheckNotHalted
from alysd.messages.chain import Chain, GetForkchoice, ListEntries
from alysd.messages.log.base import LogEvent, log
from alysd.messages.log.payments import (
    PaymentComplete,
    PaymentNotBroadcast,
    PaymentNotSigned,
    PaymentSigned,
    PegKeyNeeded,
    PegKeyNotNeeded,
)
from alysd.messages.network import Network, PublishPegSignature
from alysd.messages.peg_signatures import (
    ConsiderPegSignature,
    GetFinalized,
    GetLacking,
    InvalidPegSignature,
    PegSigning,
    ReviewPayments,
    UnknownVersion,
)
from alysd.messages.storage import GetBlockByHeight, Storage
from alysd.nurseries import Actor, Address, NotAnswered, handles
from alysd.peg.collecting import OpenVersion, open_versions
from alysd.peg.signing import Spending
from alysd.timing import Timing
from alysd.types.chain_spec import ChainContext
from alysd.types.governance import PaymentToSign
from alysd.types.hashes import BitcoinHash, BlockHash, XOnlyKey
from alysd.types.peg import Payment, PegSignature, Transaction
from alysd.types.tables import Table
from alysd.wire.bitcoin_transaction import encode_transaction, make_transaction

SENT_AGAIN = 60.0
"""Seconds after which signatures of a payment in flight are sent to the peers again.

A node that was down, or has restarted, has all signatures a minute later. In each slot at most
`PEG_SIGNATURES_REPEATED` of them are sent, those first that were sent longest ago. These are messages of up to
6.5 KB. 4 payments with 2 versions each and 20 members make 160, which take 10 slots; the payments that former
federations have not signed come on top, and with very many, a round takes longer."""

PAYMENTS_AT_ONCE = 32
"""The number of payments in flight that are read in one step, of some 10 KB each."""

BROADCAST_AGAIN = 60.0
"""Seconds after which a complete payment is sent to the Bitcoin node again. A full mempool may have dropped it."""

BROADCAST_SECONDS = 30.0
"""Deadline of the asks that may wait for the Bitcoin node: `Broadcast` and `CheckNotHalted`."""


UNKNOWN_SECONDS = 30.0
"""Seconds for which a member may not know whether the peg is halted before it logs that it does not sign."""


@attrs.define
class _Gathered:
    """A version of a payment in flight: its signatures by key, and the steps taken with it. Times are trio's."""

    open: OpenVersion
    signatures: dict[XOnlyKey, PegSignature] = attrs.field(factory=dict[XOnlyKey, PegSignature])
    sent: dict[XOnlyKey, float] = attrs.field(factory=dict[XOnlyKey, float])
    complete: Transaction | None = None
    known_since: float = attrs.field(factory=trio.current_time)
    broadcast: float | None = None
    failures: dict[type[LogEvent], str] = attrs.field(factory=dict[type[LogEvent], str])


@attrs.define
class SignatureMemory:
    """The versions of the payments in flight as of the block `final`, with their signatures.

    It survives restarts of the actor, whose next instance would otherwise wait for all signatures again.
    `member_of` is the number of federations for which the signer's key signs, and whether the newest is one.
    """

    final: BlockHash | None = None
    member_of: tuple[int, bool] | None = None
    versions: dict[BitcoinHash, _Gathered] = attrs.field(factory=dict[BitcoinHash, _Gathered])


HALTED = "governance has halted the peg"


class FederationActor(Actor[PegSigning]):
    """Signs and gathers signatures. A node without `signer` only gathers.

    A node without a Bitcoin node has neither `watch` nor `bridge`, and neither signs nor broadcasts. Signing and
    broadcasting run in the background, because they wait for other processes.
    """

    def __init__(
        self,
        chain: Address[Chain],
        storage: Address[Storage],
        network: Address[Network],
        watch: Address[BitcoinWatch] | None,
        bridge: Address[Bridge] | None,
        signer: BitcoinSigner | None,
        context: ChainContext,
        memory: SignatureMemory,
        timing: Timing,
    ) -> None:
        self._chain = chain
        self._storage = storage
        self._network = network
        self._watch = watch
        self._bridge = bridge
        self._signer = signer
        self._context = context
        self._memory = memory
        self._timing = timing
        # Each wakes its task in the background, which looks for itself what is due.
        self._wake_signing, self._signing = trio.open_memory_channel[None](1)
        self._wake_broadcast, self._broadcasting = trio.open_memory_channel[None](1)

    async def pre_start(self) -> None:
        """Review the payments in every slot."""
        self.timers.every(self._timing.slot_seconds, ReviewPayments())

    async def background(self) -> None:
        """Sign and broadcast the payments that are due."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._sign_due)
            nursery.start_soon(self._broadcast_due)

    @handles(ReviewPayments)
    async def review(self, message: ReviewPayments) -> None:
        """Read the final payments, publish signatures again, and wake the tasks that sign and broadcast.

        If an actor does not answer, the review of the next slot does it.
        """
        try:
            await self._read_payments()
        except (NotAnswered, UnknownParent):
            return
        self._publish_again()
        _wake(self._wake_signing)
        _wake(self._wake_broadcast)

    @handles(ConsiderPegSignature)
    async def consider(self, message: ConsiderPegSignature) -> bool:
        """Check the signatures of a peer, in a thread, and count them. Returns whether they were new."""
        signature = message.signature
        gathered = self._memory.versions.get(signature.txid)
        if gathered is None:
            raise UnknownVersion(signature.txid)
        if signature.key in gathered.signatures:
            return False
        fault = await trio.to_thread.run_sync(gathered.open.fault, signature)
        if fault is not None:
            raise InvalidPegSignature(signature.txid, signature.key, fault)
        return self._count(gathered, signature)

    @handles(GetFinalized)
    async def finalized(self, message: GetFinalized) -> tuple[Transaction, ...]:
        """The complete transactions whose witnesses no final block has."""
        return tuple(
            gathered.complete
            for gathered in self._memory.versions.values()
            if gathered.complete is not None and gathered.open.version.signed is None
        )

    @handles(GetLacking)
    async def lacking(self, message: GetLacking) -> tuple[PaymentToSign, ...]:
        """The versions that lack signatures for so long."""
        now = trio.current_time()
        return tuple(
            PaymentToSign(
                txid, encode_transaction(one.open.transaction),
                tuple(spent.amount for spent in one.open.payment.inputs), one.open.needed, len(one.signatures),
            )
            for txid, one in self._memory.versions.items()
            if one.complete is None and one.open.version.signed is None
            and now - one.known_since >= message.seconds
        )  # fmt: skip

    def visible_state(self) -> Mapping[str, object]:
        """The number of signatures of each version."""
        return {txid[::-1].hex(): len(one.signatures) for txid, one in self._memory.versions.items()}

    async def _read_payments(self) -> None:
        """Read the payments as of the last final block, if this block has changed since the last time."""
        tip = await self._chain.ask(GetForkchoice(), seconds=self._timing.local_answer)
        final = tip.finalized.hash
        if final == self._memory.final:
            return
        payments = await self._payments_at(final)
        spendings = await trio.to_thread.run_sync(spendings_at, tip.finalized, self._context)
        self._learn(spendings)
        versions = {version.txid: (one, version) for one in payments for version in open_versions(one)}
        known = self._memory.versions
        for txid in known.keys() - versions.keys():
            del known[txid]
        for txid, (payment, version) in versions.items():
            made = known[txid].open if txid in known else None
            if made is None:
                made = await trio.to_thread.run_sync(OpenVersion.of, payment, version, spendings, make_transaction)
                known[txid] = _Gathered(made)
            known[txid].open = attrs.evolve(made, payment=payment, version=version)
            await self._read_witnesses(known[txid])
        self._memory.final = final

    async def _payments_at(self, final: BlockHash) -> list[Payment]:
        """All payments in flight: at most four of the newest federation, and five of each former one."""
        found: list[Payment] = []
        after: bytes | None = b""
        while after is not None:
            page = await self._chain.ask(
                ListEntries(Table.PAYMENTS, after, PAYMENTS_AT_ONCE, final), seconds=self._timing.storage_write
            )
            found += [entry for _, entry in page.entries if isinstance(entry, Payment)]
            after = page.next
        return found

    def _learn(self, spendings: Sequence[Spending]) -> None:
        """Tell the signer of the federations, and log for which of them it signs when that changes."""
        if self._signer is None:
            return
        self._signer.learn(spendings)
        key = self._signer.key
        member_of = tuple(number for number, one in enumerate(spendings) if key in one.keys)
        newest = len(spendings) - 1 in member_of
        if self._memory.member_of != (len(member_of), newest):
            self._memory.member_of = len(member_of), newest
            log(PegKeyNeeded(key.hex(), len(member_of), newest) if member_of else PegKeyNotNeeded(key.hex()))

    async def _read_witnesses(self, gathered: _Gathered) -> None:
        """Read the complete transaction from the block that has its witnesses, if this node lacks it."""
        height = gathered.open.version.signed
        if height is None or gathered.complete is not None:
            return
        signed = await self._storage.ask(GetBlockByHeight(height), seconds=self._timing.storage_read)
        finalized = () if signed is None else signed.block.finalized_peg_outs
        gathered.complete = next((one for one in finalized if one.txid == gathered.open.txid), None)

    def _lacks_own(self, gathered: _Gathered) -> bool:
        """Whether this node's signer can sign a version, and has not."""
        signer = self._signer
        if signer is None or signer.key in gathered.signatures:
            return False
        return any(signer.key in spending.keys for spending in gathered.open.spendings)

    def _newest_complete(self) -> list[_Gathered]:
        """For each payment, the newest version that is complete: it replaces the older ones."""
        newest: dict[BitcoinHash, _Gathered] = {}
        for gathered in self._memory.versions.values():
            if gathered.complete is not None:
                newest[gathered.open.payment.versions[0].txid] = gathered
        return list(newest.values())

    def _count(self, gathered: _Gathered, signature: PegSignature) -> bool:
        """Count valid signatures, and complete the transaction with a quorum. Returns whether they were new."""
        if signature.key in gathered.signatures:
            return False
        gathered.signatures[signature.key] = signature
        gathered.sent[signature.key] = trio.current_time()
        if gathered.complete is None:
            gathered.complete = gathered.open.complete(gathered.signatures)
            if gathered.complete is not None:
                log(PaymentComplete(gathered.open.txid, gathered.open.needed))
                _wake(self._wake_broadcast)
        return True

    # In the background

    async def _sign_due(self) -> None:
        async for _ in self._signing:
            due = [gathered for gathered in self._memory.versions.values() if self._lacks_own(gathered)]
            may_sign = await self._may_sign(due) if due else False
            for gathered in due if may_sign else ():
                if self._signer is not None:
                    await self._sign(self._signer, gathered)

    async def _may_sign(self, due: Sequence[_Gathered]) -> bool:
        """Whether the peg is not halted, as far as this node's Bitcoin node shows.

        Governance can halt it too. For a moment after each Bitcoin block the node cannot know, which is logged
        only if it lasts. A node
        without a Bitcoin node never knows, and signs nothing: the configuration of such a node with a key is
        refused.
        """
        if self._bridge is None:
            return False
        try:
            tip = await self._chain.ask(GetForkchoice(), seconds=self._timing.local_answer)
            if halted_at(tip.head) or halted_at(tip.finalized):
                for gathered in due:
                    _note(gathered, PaymentNotSigned(gathered.open.txid, HALTED))
                return False
            await self._bridge.ask(CheckNotHalted(), seconds=BROADCAST_SECONDS)
        except (NotSeenOnBitcoin, NotNow, NotAnswered) as error:
            lasts = isinstance(error, NotSeenOnBitcoin)
            for gathered in due:
                if lasts or trio.current_time() - gathered.known_since >= UNKNOWN_SECONDS:
                    _note(gathered, PaymentNotSigned(gathered.open.txid, str(error)))
            return False
        return True

    async def _sign(self, signer: BitcoinSigner, gathered: _Gathered) -> None:
        """Sign a version, check the result, and send it to the peers. The next review repeats a failed step."""
        opened = gathered.open
        try:
            signature = await signer.sign(opened.payment, opened.txid)
        except (PaymentForbidden, SignerUnavailable, StoreError) as error:
            _note(gathered, PaymentNotSigned(opened.txid, str(error)))
            return
        fault = await trio.to_thread.run_sync(opened.fault, signature)
        if fault is not None:
            _note(gathered, PaymentNotSigned(opened.txid, f"the signer has returned a wrong signature: {fault}"))
            return
        log(PaymentSigned(opened.txid, len(opened.payment.payees), opened.payment.spent))
        self._count(gathered, signature)
        self._publish(signature)

    async def _broadcast_due(self) -> None:
        async for _ in self._broadcasting:
            for gathered in self._newest_complete():
                last = gathered.broadcast
                due = last is None or trio.current_time() - last >= BROADCAST_AGAIN
                if self._watch is not None and due and gathered.complete is not None:
                    await self._broadcast(self._watch, gathered, gathered.complete)

    async def _broadcast(self, watch: Address[BitcoinWatch], gathered: _Gathered, complete: Transaction) -> None:
        gathered.broadcast = trio.current_time()
        try:
            await watch.ask(Broadcast(complete), seconds=BROADCAST_SECONDS)
        except (NotBroadcast, NotNow, NotAnswered) as error:
            _note(gathered, PaymentNotBroadcast(gathered.open.txid, str(error)))
        else:
            gathered.failures.pop(PaymentNotBroadcast, None)

    def _publish_again(self) -> None:
        """Send the signatures again that were sent longest ago, and at least `SENT_AGAIN` seconds ago."""
        now = trio.current_time()
        due = (
            (sent, place, key)
            for place, gathered in enumerate(self._memory.versions.values())
            for key, sent in gathered.sent.items()
            if now - sent >= SENT_AGAIN
        )
        versions = tuple(self._memory.versions.values())
        for _, place, key in nsmallest(PEG_SIGNATURES_REPEATED, due):
            versions[place].sent[key] = now
            self._publish(versions[place].signatures[key])

    def _publish(self, signature: PegSignature) -> None:
        try:
            self._network.tell(PublishPegSignature(signature))
        except NotAnswered:
            return  # without peers, or while the network restarts


def _wake(channel: "trio.MemorySendChannel[None]") -> None:
    """Wake a background task. A task that is busy looks for work once more when it is done."""
    with suppress(trio.WouldBlock):
        channel.send_nowait(None)


def _note(gathered: _Gathered, failure: PaymentNotSigned | PaymentNotBroadcast) -> None:
    """Log a failure, once until its reason changes."""
    if gathered.failures.get(type(failure)) != failure.reason:
        gathered.failures[type(failure)] = failure.reason
        log(failure)
