"""Random users of the peg, and Bitcoin's miners."""

from collections.abc import Callable
from hashlib import sha256
from random import Random

import attrs
import trio
from btclib.script.script_pub_key import ScriptPubKey

from alysd.testing.federation.peg.bitcoin import LEAST_RATE, CheckedBitcoin
from alysd.testing.federation.peg.engine import GWEI_PER_SAT, BridgeCall
from alysd.testing.federation.peg.oracle import PegOracle, UserBurn, UserDeposit
from alysd.types.hashes import EvmAddress
from alysd.types.peg import RESERVE

USERS = tuple(EvmAddress(bytes([0x40 + number]) * 20) for number in range(6))

MINIMUM = 100_000
"""The smallest deposit and burn that is accepted, in sat."""

MOST_REORGANISED = 3
"""The number of blocks that Bitcoin may replace: as many as the confirmations that a deposit needs."""


@attrs.define(eq=False)
class PegUsers:
    """Makes deposits and burns, and mines Bitcoin's blocks. All choices come from `choices`.

    `busy` is false once the users have stopped; Bitcoin goes on, without reorganisations, and confirms everything.
    """

    bitcoin: CheckedBitcoin
    oracle: PegOracle
    offered: list[BridgeCall]
    choices: Random
    note: Callable[[str], object]
    second: float
    busy: bool = True
    _made: int = 0

    async def run(self) -> None:
        """Act once a second until cancelled. Bitcoin has a block every eight seconds."""
        while True:
            await trio.sleep(self.second)
            if self.busy and self.choices.random() < 0.2:
                self.deposit()
            if self.busy and self.choices.random() < 0.2:
                self.burn()
            if self.choices.random() < 1 / 8:
                self.mine()

    def mine(self) -> None:
        """Mine a block, or reorganise some. Sometimes fees rise, so that payments wait."""
        bitcoin, choices = self.bitcoin, self.choices
        if not self.busy:
            bitcoin.fee_rate, bitcoin.mined_rate = 2_000, LEAST_RATE
        elif choices.random() < 0.1:
            bitcoin.fee_rate = choices.choice((None, 1_000, 2_000, 5_000, 20_000))
            bitcoin.mined_rate = choices.choice((LEAST_RATE, LEAST_RATE, 4_000, 12_000))
            self.note(f"Bitcoin: estimate {bitcoin.fee_rate}, smallest fee mined {bitcoin.mined_rate} sat/kvB")
        depth = choices.randint(1, min(MOST_REORGANISED, bitcoin.height))
        if self.busy and choices.random() < 0.15:
            bitcoin.replace(depth, choices)
            self.note(f"Bitcoin: {depth} blocks replaced, height {bitcoin.height}")
        else:
            bitcoin.mine()
            self.note(f"Bitcoin: block {bitcoin.height} with {len(bitcoin.blocks[-1].transactions)} transactions")

    def deposit(self) -> None:
        """Pay the federation: mostly a good deposit, sometimes one that must not be credited."""
        choices, scripts = self.choices, self.oracle.federations
        script = scripts[0] if len(scripts) == 1 else choices.choice(scripts)
        recipient: EvmAddress | None = choices.choice((*USERS, RESERVE))
        amounts = [self._amount(choices.choice((10**6, 10**8))) for _ in range(choices.choice((1, 1, 1, 2)))]
        name = b"\x6a\x07reserve" if recipient == RESERVE else b"\x6a\x14" + recipient
        if recipient != RESERVE and choices.random() < 0.2:
            name = b"\x6a\x28" + recipient.hex().encode()
        outputs = [(0, name), *((amount, script) for amount in amounts)]
        if choices.random() < 0.1:
            recipient, outputs = None, outputs[1:]
        elif choices.random() < 0.1:
            recipient, amounts = None, [MINIMUM - 1]
            outputs = [(0, name), (MINIMUM - 1, script)]
        made = self.bitcoin.pay(outputs)
        places = {at: out.amount for at, out in enumerate(made.outputs) if out.script == script}
        self.oracle.deposits[made.txid] = UserDeposit(recipient, places)
        to = "nobody" if recipient is None else recipient.hex()[:4]
        self.note(f"user: pays {sum(amounts)} sat to the federation for {to}, {made.txid[::-1].hex()[:8]}")

    def fill_reserve(self, sat: int) -> None:
        """Pay to the reserve of the newest federation."""
        script = self.oracle.federations[-1]
        made = self.bitcoin.pay([(0, b"\x6a\x07reserve"), (sat, script)])
        self.oracle.deposits[made.txid] = UserDeposit(RESERVE, {1: sat})
        self.note(f"user: pays {sat} sat to the reserve, {made.txid[::-1].hex()[:8]}")

    def burn(self) -> None:
        """Call the bridge with a part of a balance: mostly a good burn, sometimes one that must be refunded."""
        choices, oracle = self.choices, self.oracle
        waiting = [burn for burn in oracle.burns.values() if burn.height is None]
        spendable = {user: oracle.balances.get(user, 0) // GWEI_PER_SAT for user in USERS}
        for burn in waiting:
            spendable[burn.call.sender] -= burn.call.sat
        rich = [user for user in USERS if spendable[user] > 2 * MINIMUM]
        if not rich:
            return
        user = choices.choice(rich)
        sat = min(self._amount(spendable[user]), spendable[user])
        nonce = sum(burn.call.sender == user for burn in oracle.burns.values())
        script: bytes | None = b"\x00\x14" + sha256(b"payee %d" % self._made).digest()[:20]
        address = ScriptPubKey(script or b"", "regtest").address.encode()
        bad = choices.random()
        if bad < 0.1:
            script, address = None, choices.choice((b"nonsense", address[:8] + address[8:].upper(), self._own()))
        elif bad < 0.2:
            script, sat = None, MINIMUM - 1 - self._made % 1000
        call = BridgeCall(user, nonce, address, sat)
        burn = oracle.burns[user, nonce] = UserBurn(call, script)
        self.offered.append(call)
        self.note(f"user: {burn}{'' if script else ', which must be refunded'}")

    def _own(self) -> bytes:
        return ScriptPubKey(self.oracle.federations[0], "regtest").address.encode()

    def _amount(self, most: int) -> int:
        """An amount from the minimum on that no other deposit or burn has."""
        self._made += 1
        return (MINIMUM + self.choices.randrange(max(1, most - MINIMUM))) // 1000 * 1000 + self._made % 1000
