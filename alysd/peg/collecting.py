"""The collection of the members' signatures of a payment (docs/protocol.md, "Peg-out")."""

from collections.abc import Mapping, Sequence

import attrs

from alysd.peg.payments import spent_outputs
from alysd.peg.signing import Spending, assemble_witness, message_of, signature_holds
from alysd.peg.versions import MakeTransaction, transaction_of
from alysd.types.hashes import BitcoinHash, XOnlyKey
from alysd.types.peg import Payment, PaymentVersion, PegSignature, Transaction


def places_of(payment: Payment, key: bytes, spendings: Sequence[Spending]) -> tuple[int, ...]:
    """The inputs of a payment that `key` can sign. `spendings` are those of all federations."""
    return tuple(place for place, one in enumerate(payment.inputs) if key in spendings[one.federation].keys)


def open_versions(payment: Payment) -> tuple[PaymentVersion, ...]:
    """The versions of a payment that may still need signatures, or to be broadcast; oldest first.

    These are the newest version and, until a block has the witnesses of the newest one, also the version before. A
    block already has the witnesses of the version before: only a signed version can be replaced.
    """
    *before, newest = payment.versions
    return (*before[-1:], newest) if newest.signed is None else (newest,)


@attrs.frozen
class OpenVersion:
    """A version of a final payment, with its transaction and the message that members sign for each input."""

    payment: Payment
    version: PaymentVersion
    transaction: Transaction
    messages: tuple[bytes, ...]
    spendings: tuple[Spending, ...]

    @classmethod
    def of(
        cls, payment: Payment, version: PaymentVersion, spendings: Sequence[Spending], make: MakeTransaction
    ) -> "OpenVersion":
        """Make the transaction and its messages. Takes 5 ms for 100 inputs."""
        transaction = transaction_of(payment, version, spendings, make)
        spent = spent_outputs(payment, spendings)
        leaves = tuple(spendings[one.federation] for one in payment.inputs)
        messages = tuple(
            message_of(transaction, spent, place, spending.leaf_hash) for place, spending in enumerate(leaves)
        )
        return cls(payment, version, transaction, messages, leaves)

    @property
    def txid(self) -> BitcoinHash:
        """The txid of the version."""
        return self.version.txid

    @property
    def needed(self) -> int:
        """The number of members whose signatures are needed: the largest quorum of the inputs' federations."""
        return max(spending.threshold for spending in self.spendings)

    def fault(self, signature: PegSignature) -> str | None:
        """The reason why a member's signatures are not valid; None if they are. Takes 0.1 ms per input."""
        places = [place for place, one in enumerate(self.spendings) if signature.key in one.keys]
        if not places:
            return "the key belongs to no member"
        if len(signature.signatures) != len(places):
            return f"{len(places)} signatures expected, found {len(signature.signatures)}"
        for place, one in zip(places, signature.signatures, strict=True):
            if not signature_holds(signature.key, self.messages[place], one):
                return f"the signature of input {place} is not valid"
        return None

    def complete(self, given: Mapping[XOnlyKey, PegSignature]) -> Transaction | None:
        """The transaction with its witnesses; None while signatures are missing. The `given` are valid ones."""
        stacks: list[tuple[bytes, ...]] = []
        for place, spending in enumerate(self.spendings):
            signatures = {
                spending.keys.index(key): signature.signatures[self._number(key, place)]
                for key, signature in given.items()
                if key in spending.keys
            }
            if len(signatures) < spending.threshold:
                return None
            stacks.append(assemble_witness(spending, signatures))
        return attrs.evolve(self.transaction, witness=tuple(stacks))

    def _number(self, key: bytes, place: int) -> int:
        """The number of the signature of input `place` among those of `key`."""
        return sum(key in spending.keys for spending in self.spendings[:place])
