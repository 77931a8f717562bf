"""A signer of payments in another process, as the node uses it (docs/protocol.md, "Signer")."""

import ssl
from collections.abc import Sequence
from contextlib import suppress
from typing import TypeVar

import trio

from alysd.config.addresses import SignerAddress
from alysd.errors import Malformed, NotFollowed, PaymentForbidden, SignerUnavailable, StoreError
from alysd.integrations.payment_link import HANDSHAKE_SECONDS, Slow, Stream, receive_frame, send_frame
from alysd.peg.signing import Spending
from alysd.types.chain_spec import ChainContext
from alysd.types.following import FinalityStep
from alysd.types.hashes import BitcoinHash, XOnlyKey, displayed
from alysd.types.peg import Payment, PegSignature
from alysd.wire.plain_text import plain
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
)

ANSWER_SECONDS = 60.0
"""Deadline for the answer to a request. Several thousand blocks take the signer seconds to check."""

UNKNOWN_SECONDS = 60.0
"""Seconds for which the node repeats a request for a signature, while the signer does not know the payment yet.
"""

AGAIN_SECONDS = 1.0
"""Seconds between two such requests."""

Answer = TypeVar("Answer", Known, PegSignature)


class RemoteSigner:
    """Implements `bitcoin_ports.FollowingSigner`. `key` is this member's; a signer with another key is refused.

    It connects when there is a request, and again after a lost connection. `tls` is needed for a TLS address.
    """

    def __init__(
        self, address: SignerAddress, key: XOnlyKey, context: ChainContext, tls: ssl.SSLContext | None
    ) -> None:
        self._address = address
        self._key = key
        self._genesis = context.genesis
        self._most = most_frame_bytes(context.spec)
        self._tls = tls
        self._stream: Stream | None = None
        self._one_at_a_time = trio.Lock()

    @property
    def key(self) -> XOnlyKey:
        """The member's Bitcoin key."""
        return self._key

    def learn(self, spendings: Sequence[Spending]) -> None:
        """Do nothing: the signer knows the only federation of its chain, and refuses chains that can change it."""

    async def sign(self, payment: Payment, txid: BitcoinHash) -> PegSignature:  # noqa: ARG002
        """Ask for the signature of the version `txid`. The signer knows the payment from the blocks.

        While the signer does not know it, this asks again for `UNKNOWN_SECONDS`: it follows a slot or two later.
        Raises `PaymentForbidden` with the signer's reason, `StoreError` if its disk fails, and
        `SignerUnavailable`.
        """
        until = trio.current_time() + UNKNOWN_SECONDS
        while True:
            try:
                return await self._ask(AskSignature(txid), PegSignature)
            except NotFollowed as error:
                if trio.current_time() >= until:
                    raise PaymentForbidden(str(error)) from None
            await trio.sleep(AGAIN_SECONDS)

    async def known(self) -> Known:
        """Get the state of the signer: its newest final block. Raises `SignerUnavailable`."""
        return await self._ask(AskKnown(VERSION, self._genesis), Known)

    async def step(self, step: FinalityStep) -> Known:
        """Send the proof that blocks are final. Raises `NotFollowed`, `StoreError` or `SignerUnavailable`."""
        return await self._ask(step, Known)

    async def views(self, views: SendViews) -> Known:
        """Send the next blocks of the last step. Raises the errors of `step`."""
        return await self._ask(views, Known)

    async def aclose(self) -> None:
        """Close the connection."""
        stream, self._stream = self._stream, None
        if stream is not None:
            await trio.aclose_forcefully(stream)

    async def _ask(self, request: Message, kind: type[Answer]) -> Answer:
        async with self._one_at_a_time:
            had = self._stream is not None
            try:
                answer = await self._exchange(request)
            except SignerUnavailable:
                if not had:
                    raise
                answer = await self._exchange(request)  # the signer has been restarted, or was not asked for long
        if isinstance(answer, kind):
            return answer
        if not isinstance(answer, RefusedBySigner):
            raise self._unavailable(
                f"it has answered with {type(answer).__name__}: it is not a signer of this version"
            )
        reason = plain(answer.reason.decode(errors="replace"))
        if answer.refusal == SignerRefusal.FORBIDDEN:
            raise PaymentForbidden(reason)
        if answer.refusal == SignerRefusal.NOT_STORED:
            raise StoreError(f"the signer at {self._address}: {reason}")
        if answer.refusal == SignerRefusal.NOT_FOLLOWED:
            raise NotFollowed(f"the signer at {self._address}: {reason}")
        raise self._unavailable(reason)

    async def _exchange(self, request: Message) -> Message:
        """Send a request and receive the answer. After an error or a cancellation, the connection is closed."""
        done = False
        try:
            stream = self._stream or await self._connect()
            self._stream = stream
            answer = await self._talk(stream, request)
            done = not (isinstance(answer, RefusedBySigner) and answer.refusal == SignerRefusal.MALFORMED)
            return answer
        finally:
            if not done:
                await self.aclose()

    async def _talk(self, stream: Stream, request: Message) -> Message:
        try:
            await send_frame(stream, await trio.to_thread.run_sync(encode_message, request))
            content = await receive_frame(stream, self._most, ANSWER_SECONDS)
            if content is None:
                raise self._unavailable("it has closed the connection, which it does with clients that it refuses")
            return decode_message(content)
        except trio.BrokenResourceError as error:
            raise self._unavailable(_reason(error)) from None
        except (Slow, Malformed) as error:
            raise self._unavailable(str(error)) from None

    async def _connect(self) -> Stream:
        """Connect, and check that the signer is that of this chain and of this member."""
        stream = await self._open()
        self._stream = stream
        known = await self._talk(stream, AskKnown(VERSION, self._genesis))
        if not isinstance(known, Known) or known.version != VERSION:
            raise self._unavailable(
                f"it does not use version {VERSION} of the protocol: install the same version of alysd"
            )
        if known.genesis != self._genesis:
            raise self._unavailable(
                f"it is of the chain with the genesis block {displayed(known.genesis)}, and this node's is "
                f"{displayed(self._genesis)}"
            )
        if known.key != self._key:
            raise self._unavailable(
                f"it has the key {known.key.hex()}, and the key of this member is {self._key.hex()}"
            )
        return stream

    async def _open(self) -> Stream:
        try:
            with trio.fail_after(HANDSHAKE_SECONDS):
                if self._address.path is not None:
                    return await trio.open_unix_socket(str(self._address.path))
                if self._tls is None:
                    raise self._unavailable(
                        "a connection over a network needs TLS: set peg.signer_certificate, peg.signer_key and "
                        "peg.signer_authority"
                    )
                tcp = await trio.open_tcp_stream(self._address.host, self._address.port)
                host = self._address.host
                secured = trio.SSLStream(tcp, self._tls, server_hostname=host, https_compatible=True)
                self._stream = secured
                await secured.do_handshake()
                return secured
        except trio.TooSlowError:
            raise self._unavailable(f"no connection within {HANDSHAKE_SECONDS:g} s") from None
        except OSError as error:
            raise self._unavailable(error.strerror or str(error)) from None
        except trio.BrokenResourceError as error:
            raise self._unavailable(_reason(error)) from None

    def _unavailable(self, reason: str) -> SignerUnavailable:
        return SignerUnavailable(str(self._address), reason)


def _reason(error: BaseException) -> str:
    """The reason of a lost connection: that of TLS, if there is one."""
    cause = error.__cause__
    with suppress(AttributeError):
        return f"the connection was refused: {getattr(cause, 'verify_message', None) or cause.reason}"  # pyright: ignore[reportOptionalMemberAccess, reportUnknownMemberType, reportAttributeAccessIssue]
    return "the connection was lost"
