"""Answers nodes that ask the signer for signatures of payments (docs/protocol.md, "Signer").

A request changes only what the rules allow: blocks count when their finality is proved, and only payments in such
blocks are signed. So it does not matter which node asks, nor how many do at once.
"""

from collections import deque

import trio

from alysd.consensus.following import first_followed
from alysd.errors import Malformed, PaymentForbidden, Refused, StoreError
from alysd.integrations.payment_follower import PaymentFollower
from alysd.integrations.payment_link import Slow, Stream, receive_frame, send_frame
from alysd.integrations.payment_signing import RecordedSigner
from alysd.messages.log.base import log
from alysd.messages.log.signer import SignerRefused, SignerSigned
from alysd.types.chain_spec import ChainContext
from alysd.types.following import FinalityStep
from alysd.types.peg import PegSignature
from alysd.types.units import Height
from alysd.wire.signer_messages import (
    VERSION,
    AskKnown,
    AskSignature,
    Known,
    Message,
    RefusedBySigner,
    SendViews,
    SignerRefusal,
    decode_message,
    encode_message,
    most_frame_bytes,
    refuse,
)

MAX_CONNECTIONS = 4
"""The maximum number of open connections. A node has one; a second one for its next instance."""

REASONS_KEPT = 32
"""The number of remembered reasons of refusals. A refusal for one of these reasons is not logged again."""

IDLE_SECONDS = 120.0
"""Seconds after which a connection without requests is closed. A node asks at least once per minute."""


class PaymentServer:
    """Serves connections. `follower` and `signer` are those of one chain and one key."""

    def __init__(self, context: ChainContext, follower: PaymentFollower, signer: RecordedSigner) -> None:
        self._genesis = first_followed(context).hash
        self._most = most_frame_bytes(context.spec)
        self._follower = follower
        self._signer = signer
        self._connections = 0
        # A node that may not sign a payment asks again in every slot, so each reason is logged once.
        self._logged: deque[str] = deque(maxlen=REASONS_KEPT)
        # Steps and blocks change what is known, one request after the other.
        self._one_at_a_time = trio.CapacityLimiter(1)

    async def serve(self, stream: Stream) -> None:
        """Answer the requests of a connection until it is closed, slow, idle, or sends an invalid request."""
        self._connections += 1
        try:
            async with stream:
                if self._connections <= MAX_CONNECTIONS:
                    await self._talk(stream)
        except (trio.BrokenResourceError, trio.ClosedResourceError, Slow):
            return  # there is nobody to answer
        finally:
            self._connections -= 1

    async def _talk(self, stream: Stream) -> None:
        while True:
            try:
                content = await receive_frame(stream, self._most, IDLE_SECONDS)
                if content is None:
                    return
                message = await trio.to_thread.run_sync(decode_message, content, limiter=self._one_at_a_time)
            except Malformed as error:
                await send_frame(stream, encode_message(self._refused(SignerRefusal.MALFORMED, str(error))))
                return
            await send_frame(stream, encode_message(await self._answer(message)))

    async def _answer(self, message: Message) -> Message:
        try:
            if isinstance(message, AskSignature):
                return await self._sign(message)
            if isinstance(message, FinalityStep | SendViews | AskKnown):
                return await trio.to_thread.run_sync(self._follow, message, limiter=self._one_at_a_time)
        except PaymentForbidden as error:
            return self._refused(SignerRefusal.FORBIDDEN, str(error))
        except Refused as error:
            if isinstance(message, AskSignature):  # a node asks a moment before it has sent the blocks
                return refuse(SignerRefusal.NOT_FOLLOWED, str(error))
            return self._refused(SignerRefusal.NOT_FOLLOWED, str(error))
        except StoreError as error:
            return self._refused(SignerRefusal.NOT_STORED, str(error))
        return self._refused(
            SignerRefusal.MALFORMED, f"{type(message).__name__} is a message that only a signer sends"
        )

    def _follow(self, message: FinalityStep | SendViews | AskKnown) -> Known:
        if isinstance(message, FinalityStep):
            self._follower.step(message)
        elif isinstance(message, SendViews):
            self._follower.views(message.views)
        at = self._follower.known.at
        return Known(VERSION, self._genesis, self._signer.key, Height(at.height), at.hash, self._follower.wanted)

    async def _sign(self, message: AskSignature) -> PegSignature:
        payment = self._follower.known.ledger.payment_to_sign(message.txid)
        signature = await self._signer.sign(payment, message.txid)
        log(SignerSigned(message.txid, len(payment.payees), payment.spent))
        return signature

    def _refused(self, refusal: SignerRefusal, reason: str) -> RefusedBySigner:
        if reason not in self._logged:
            self._logged.append(reason)
            log(SignerRefused(reason))
        return refuse(refusal, reason)
