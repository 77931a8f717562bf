"""Asks the governance for signatures that a payment lacks, and checks the answers like those of any peer.

Nothing that the governance sends makes this node sign: its signer signs final payments only, by its own record.
"""

import attrs
import trio

from alysd.actors.rate_limits import AllowedRate, RateLimits
from alysd.errors import NotNow, Refused
from alysd.messages.governance import SendSignatureRequest
from alysd.messages.peg_signatures import ConsiderPegSignature, GetLacking, PegSigning, UnknownVersion
from alysd.nurseries import Address, NotAnswered
from alysd.types.governance import PaymentToSign
from alysd.types.hashes import BitcoinHash
from alysd.types.peg import PegSignature

LACKING_SECONDS = 60.0
"""The time for which a final payment must lack signatures: gossip brings them in a few seconds, and once more
after a minute (`peg_signatures.SENT_AGAIN`)."""

ASKED_AGAIN = 600.0
"""Seconds after which the governance is asked for the signatures of a payment again: a Bitcoin block later."""

ANSWERS = AllowedRate(per_second=1.0, burst=16.0)
"""The answers that are checked. The signatures of one may take 30 ms of a processor until a wrong one is found."""

ASK_SECONDS = 5.0
"""Deadline of the asks to the federation actor."""


class TooManyAnswers(Refused):
    """The governance has sent more signatures than this node checks."""

    def __str__(self) -> str:
        return "this node checks one answer with signatures per second"


@attrs.define
class SignatureAsks:
    """The payments for whose signatures the governance was asked, with trio's time. It outlives the actor."""

    signing: Address[PegSigning]
    _asked: dict[BitcoinHash, float] = attrs.field(factory=dict[BitcoinHash, float])
    _limits: RateLimits = attrs.field(factory=lambda: RateLimits(ANSWERS))

    async def due(self) -> list[PaymentToSign]:
        """The payments to ask for now; none while the federation actor does not answer."""
        try:
            lacking = await self.signing.ask(GetLacking(LACKING_SECONDS), seconds=ASK_SECONDS)
        except (NotAnswered, Refused):
            return []
        now, open_ones = trio.current_time(), {one.txid for one in lacking}
        self._asked = {txid: at for txid, at in self._asked.items() if txid in open_ones}
        return [one for one in lacking if now - self._asked.get(one.txid, float("-inf")) >= ASKED_AGAIN]

    def asked(self, message: SendSignatureRequest) -> None:
        """Remember that the request is in the outbox."""
        self._asked[message.payment.txid] = trio.current_time()

    async def take(self, signatures: tuple[PegSignature, ...]) -> int:
        """Have each member's signatures checked and counted. Returns how many members' were new.

        Raises the `Refused` of the first that is wrong, or of a payment that lacks none, and `NotNow` while the
        federation actor does not answer.
        """
        if not self._limits.take("governance", trio.current_time()):
            raise TooManyAnswers
        new = 0
        for one in signatures:
            try:
                new += await self.signing.ask(ConsiderPegSignature(one), seconds=ASK_SECONDS)
            except UnknownVersion:
                raise
            except (NotAnswered, NotNow) as error:
                raise NotNow(f"this node cannot check signatures now: {error}") from None
        return new
