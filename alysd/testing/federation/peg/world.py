"""The peg of a simulated federation: the parts outside of the members' machines, and each member's resources."""

from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from random import Random
from typing import Any

import attrs
from btclib_secp256k1 import ssa

from alysd.bitcoin_ports import BitcoinSigner
from alysd.bitcoin_resources import BitcoinResources, watched_of
from alysd.consensus.federation import federation_at
from alysd.integrations import payment_signing
from alysd.integrations.payment_signing import RecordedSigner
from alysd.peg.signing import spending_of
from alysd.ports import Clock
from alysd.testing.chain import ChainHand, bitcoin_secret, peg_chain_spec
from alysd.testing.federation.disk import DiskSession
from alysd.testing.federation.history import History
from alysd.testing.federation.peg.adversary import PegHabits, PegLiar
from alysd.testing.federation.peg.bitcoin import CheckedBitcoin, MemberBitcoin
from alysd.testing.federation.peg.engine import BridgeCall, PegEngine
from alysd.testing.federation.peg.oracle import PegOracle
from alysd.testing.federation.peg.records import MemoryBitcoinRecords, SimulatedRecord
from alysd.testing.federation.peg.users import MINIMUM, PegUsers
from alysd.testing.virtual_time import VirtualClock
from alysd.types.chain import ChainState
from alysd.types.hashes import BitcoinHash
from alysd.types.peg import OutPoint, Transaction, TransactionOutput
from alysd.types.units import Sat

CONFIRMATIONS = 3
SERVICE_FEE = 500


@attrs.define(eq=False)
class SimulatedPeg:
    """Bitcoin, the users, the oracle, and the members' Bitcoin nodes, which outlive the members' processes."""

    hand: ChainHand
    bitcoin: CheckedBitcoin
    oracle: PegOracle
    users: PegUsers
    nodes: tuple[MemberBitcoin, ...]
    habits: Mapping[int, PegHabits]

    def resources(self, member: int, session: DiskSession, clock: Clock) -> "MemberPeg":
        """The resources of a member's node. The signer of a member that lies signs everything."""
        lies = member in self.habits
        context = self.hand.context
        bitcoin = BitcoinResources(
            self.nodes[member], MemoryBitcoinRecords(session), watched_of(context, self.hand.genesis_state)
        )
        record = SimulatedRecord(session, careless=lies)
        signer = RecordedSigner(bitcoin_secret(member), (self.bitcoin.spending,), record, clock)
        return MemberPeg(bitcoin, signer, lies)

    def add_federation(self, keys: tuple[bytes, ...]) -> None:
        """Tell Bitcoin, the users and the oracle of a later federation: users pay to its address from now on."""
        spending = spending_of(keys)
        self.bitcoin.later.append(spending)
        self.oracle.federations.append(spending.output_script)

    def left_behind(self) -> dict[OutPoint, TransactionOutput]:
        """The unspent outputs of former federations that the ledger can hold."""
        refused = {txid for txid, one in self.oracle.deposits.items() if one.recipient is None}
        newest = self.oracle.federations[-1]
        found = self.bitcoin.unspent().items()
        return {point: out for point, out in found if out.script != newest and point.txid not in refused}

    def liar(self, member: int, choices: Random) -> PegLiar | None:
        """The lies of a Byzantine member about the peg; None if it tells none."""
        habits = self.habits.get(member)
        return None if habits is None else PegLiar(habits, choices, self.bitcoin)

    def check_bitcoin(self) -> None:
        """Check the best chain of Bitcoin."""
        self.oracle.check_chain(self._transactions())

    def unsettled(self, head: ChainState) -> list[str]:
        """The descriptions of unsettled operations, as far as the ledger after `head` says."""
        deep = {one.txid for block in self.bitcoin.blocks[:-CONFIRMATIONS] for one in block.transactions}
        return self.oracle.unsettled(self._transactions(), deep, self.bitcoin.unspent(), head.peg)

    def counts(self) -> str:
        """The numbers of deposits, burns, payments and refunds so far, as text."""
        oracle = self.oracle
        burns = [burn for burn in oracle.burns.values() if burn.height is not None]
        paid = sum(self.oracle.payments_of(self._transactions()).values())
        refunded = sum(burn.end is not None for burn in burns)
        return (
            f"{len(oracle.minted)} deposits minted, {len(burns)} burns, {paid} paid by "
            f"{len(self.bitcoin.payments)} transactions, {refunded} refunded"
        )

    def _transactions(self) -> list[Transaction]:
        return [one for block in self.bitcoin.blocks for one in block.transactions]


@attrs.frozen
class MemberPeg:
    """A member's Bitcoin node with the database of the watch, its signer of payments, and whether it lies."""

    bitcoin: BitcoinResources
    signer: BitcoinSigner
    lies: bool


def peg_hand(members: int, offered: list[BridgeCall], **governed: Any) -> ChainHand:
    """A chain with a peg, whose execution clients know accounts, and the calls that users have `offered`.

    `governed` are further parameters.
    """
    spec = peg_chain_spec(
        members,
        **governed,
        peg_in_confirmations=CONFIRMATIONS,
        peg_in_minimum=Sat(MINIMUM),
        peg_out_minimum=Sat(MINIMUM),
        peg_out_service_fee=Sat(SERVICE_FEE),
    )
    return attrs.evolve(
        ChainHand.of(spec), engine=attrs.evolve(PegEngine.of(spec.execution_genesis), offered=offered)
    )


def make_peg(
    hand: ChainHand,
    offered: list[BridgeCall],
    habits: Mapping[int, PegHabits],
    broken: Callable[[str], object],
    history: History,
    choices: Random,
    nodes: int,
) -> SimulatedPeg:
    """The peg of the chain of `hand`, with a Bitcoin of some blocks, and this number of Bitcoin `nodes`.

    `offered` are the calls that the execution clients know of. `habits` are those of the members that lie about
    the peg. `broken` takes the violations.
    """
    federation = federation_at(hand.genesis_state, hand.context)
    spending = spending_of(federation.bitcoin_keys)
    places: dict[BitcoinHash, frozenset[BitcoinHash]] = {}
    oracle = PegOracle([spending.output_script], SERVICE_FEE, places, broken)
    bitcoin = CheckedBitcoin(
        spending=spending,
        seen=oracle.check_payment,
        places=places,
        fee_rate=2_000,
        clock=VirtualClock().time,
    )
    bitcoin.mine(3)
    users = PegUsers(bitcoin, oracle, offered, choices, lambda text: history.note("", text), 1.0)
    own = tuple(MemberBitcoin(chain=bitcoin) for _ in range(nodes))
    return SimulatedPeg(hand, bitcoin, oracle, users, own, habits)


@contextmanager
def repeatable_signatures() -> Generator[None]:
    """While the `with` block runs, signatures of payments depend on key and message alone.

    Otherwise each has randomness of its own (BIP-340), and so the blocks with the witnesses of payments.
    """
    module: Any = payment_signing
    usual = module.ssa
    module.ssa = _Repeatable
    try:
        yield
    finally:
        module.ssa = usual


class _Repeatable:
    @staticmethod
    def sign(message: bytes, secret: bytes) -> bytes:
        """Sign without randomness."""
        return ssa.sign(message, secret, bytes(32))
