"""Random ledgers of a peg with ambiguous burns, and a check of payments that tries every possibility."""

from collections.abc import Iterator, Sequence
from functools import cache
from random import Random

import attrs

from alysd.audit.records import RESERVE, BitcoinFindings, Burned, Deposited, Paid, PegTerms, Spent, Withdrawn
from alysd.types.hashes import BitcoinHash, EvmAddress
from alysd.types.units import Height, Sat

ALICE = EvmAddress(b"\xa1" * 20)
PAYEE, OTHER = b"\x00\x14" + b"\x01" * 20, b"\x00\x14" + b"\x02" * 20
SCRIPTS = {b"payee": PAYEE, b"other": OTHER, b"nonsense": None}
TERMS = PegTerms(peg_out_minimum=Sat(1_000), service_fee=Sat(10), max_fee_rate=500_000)
LEAST = 990
WEIGHT, INPUT = 800, 100
IN_FLIGHT = 4


def txid(number: int) -> BitcoinHash:
    return BitcoinHash(number.to_bytes(32, "big"))


@attrs.define
class Made:
    """A ledger as the rules of docs/protocol.md make it: what an audit reads of both chains."""

    random: Random
    deposits: list[Deposited] = attrs.field(factory=list[Deposited])
    burns: list[Burned] = attrs.field(factory=list[Burned])
    mints: list[Withdrawn] = attrs.field(factory=list[Withdrawn])
    payments: list[Paid] = attrs.field(factory=list[Paid])
    reserve: int = 0
    _queue: list[tuple[bytes, int]] = attrs.field(factory=list[tuple[bytes, int]])
    _flight: list[Paid] = attrs.field(factory=list[Paid])

    @classmethod
    def of(cls, random: Random) -> "Made":
        """Deposits, burns of nearly the same amounts, and payments that confirm in any order."""
        made = cls(random)
        if random.random() < 0.6:
            made.reserve = random.choice((50, 400, 5_000))
            made.deposits.append(Deposited(txid(1), 1, RESERVE, Sat(made.reserve)))
        for _ in range(random.randint(1, 7)):
            made.burn()
            if random.random() < 0.2:
                made.consolidate()
            if random.random() < 0.2:
                made.move()
            while made._queue and random.random() < 0.6:
                made.pay(min(len(made._queue), random.choice((1, 1, 1, 2, 3))))
        while made._flight and (any(not one.payees for one in made._flight) or random.random() < 0.7):
            made.confirm()
        return made

    def burn(self) -> None:
        """A request of 2,000 or 7,000 sat, and up to 400 sat more, so that many differ by less than a fee."""
        script = self.random.choice((b"payee", b"payee", b"payee", b"other"))
        amount = self.random.choice((2_000, 2_000, 7_000)) + self.random.choice((0, 0, 1, 40, 100, 200, 329, 400))
        self.burns.append(Burned(Height(5), ALICE, script, Sat(amount)))
        self._queue.append((SCRIPTS[script] or b"", amount - TERMS.service_fee))
        self.reserve += TERMS.service_fee

    def consolidate(self) -> None:
        """20 coins are joined, and the first request bears the fee of the first version."""
        fee = self.random.choice((20, 100, 300))
        if not self._queue or self._queue[0][1] <= 20 * 330:  # the coins hold enough for the first request
            return
        script, owed = self._queue[0]
        self._queue[0] = (script, owed - fee)
        last = self.later_fee(fee, 1)
        if last - fee > self.reserve:
            last = fee
        self.reserve += fee - last
        self.send(Paid(txid(0), 0, self.coins([330] * 20), (), Sat(20 * 330 - last), WEIGHT))

    def move(self) -> None:
        """A few coins of a former federation go to the newest one, and the reserve pays for it."""
        fee = self.later_fee(self.random.choice((20, 100)), 1)
        if fee <= self.reserve:
            self.reserve -= fee
            amounts = [700] * self.random.randint(1, 3)
            self.send(Paid(txid(0), 0, self.coins(amounts), (), Sat(sum(amounts) - fee), WEIGHT, federation=1))

    def pay(self, count: int) -> None:
        """A payment to the first requests of the queue."""
        owed = sum(amount for _, amount in self._queue[:count])
        how = self.random.choice(("exact", "change", "unneeded", "rest", "raised"))
        amounts, change, reserve_fee, gain = [owed], 0, 0, 0
        shared = count * self.random.choice((50, 100, 150))
        rest = self.random.choice((1, 40, 200, 329))
        if how == "change":
            amounts, change = [owed + 400], 400
        elif how == "rest" and rest <= self.reserve:
            amounts, reserve_fee = [owed + rest], rest
        elif how == "raised" and rest > self.reserve:
            amounts, change, gain = [owed + rest], 330, 330 - rest
        elif how == "unneeded":
            extra = self.random.randint(1, 2)
            fee = next(
                fee for fee in range(shared, 9_999) if (fee - -(-fee * extra * INPUT // WEIGHT)) % count == 0
            )
            reserve_fee = -(-fee * extra * INPUT // WEIGHT)
            if reserve_fee <= self.reserve:
                amounts = [owed + self.random.choice((0, 330, 400)), *[700] * extra]
                change, shared = sum(amounts) - owed - reserve_fee, fee - reserve_fee
            else:
                reserve_fee = 0
        fee = shared + reserve_fee - gain
        if fee < 0:
            return
        last = self.later_fee(fee, count)
        share = (last - reserve_fee + gain) // count
        payees = tuple((script, Sat(amount - share)) for script, amount in self._queue[:count])
        self.reserve += gain - reserve_fee
        del self._queue[:count]
        self.send(Paid(txid(0), 0, self.coins(amounts), payees, Sat(change), WEIGHT))

    def later_fee(self, fee: int, count: int) -> int:
        """The fee of the version that is confirmed: sometimes a newer one."""
        if self.random.random() < 0.7:
            return fee
        least = max(-(-fee * 5 // 4), fee + WEIGHT // 4)
        return least + (fee - least) % count

    def coins(self, amounts: Sequence[int]) -> tuple[Spent, ...]:
        """Coins of new deposits, each minted at once."""
        for amount in amounts:
            self.deposits.append(Deposited(txid(len(self.deposits) + 2), 2, ALICE, Sat(amount)))
            self.mints.append(Withdrawn(Height(3), ALICE, Sat(amount)))
        return tuple(Spent(Sat(amount), INPUT) for amount in sorted(amounts))

    def send(self, payment: Paid) -> None:
        self._flight.append(payment)
        while len(self._flight) >= IN_FLIGHT or self.random.random() < 0.4:
            if not self._flight:
                break
            self.confirm()

    def confirm(self) -> None:
        payment = self._flight.pop(self.random.randrange(len(self._flight)))
        number = len(self.payments) + 1_000
        self.payments.append(attrs.evolve(payment, txid=txid(number), height=number))


def may_be_owed(payment: Paid, owed: int) -> bool:
    """Whether the payees can have been owed this sum: section "Proposal" of docs/protocol.md, word for word."""
    spent = sum(one.amount for one in payment.inputs)
    left, unneeded = spent, 0
    for one in payment.inputs:
        if left - one.amount != owed and left - one.amount < owed + 330:
            break
        left -= one.amount
        unneeded += one.weight
    if payment.change == 330 and 0 < spent - owed < 330 and not unneeded:
        return True
    reserve_fee = spent - owed - payment.change
    rest = 0 if payment.change else 329
    return any(
        least <= reserve_fee <= least + rest for least in _reserve_fees(payment.fee, payment.weight, unneeded)
    )


@cache
def _reserve_fees(last: int, weight: int, unneeded: int) -> frozenset[int]:
    """The parts that the reserve can pay of the fees of all versions of which the last one has this fee."""
    rates = [fee * 4_000 // weight for fee in range(last + 1)]
    fees = [fee for fee, rate in enumerate(rates) if 4 * rates[-1] >= 5 * rate and rates[-1] >= rate + 1_000]
    return frozenset(-(-fee * unneeded // weight) for fee in [*fees[1:], last])


def can_be_explained(made: Made, bitcoin: BitcoinFindings, burns: Sequence[Burned]) -> bool:
    """Whether any choice of requests explains all payments, their charges and what they take from the reserve."""
    requests = [(SCRIPTS[one.address], one.amount - TERMS.service_fee) for one in burns]
    payments = [one for one in bitcoin.payments if one.payees]
    runs = [tuple(_runs(one, requests)) for one in payments]
    fees = sum(one.fee for one in bitcoin.payments if not one.payees and not one.federation)
    moved = sum(one.fee for one in bitcoin.payments if one.federation)
    start = sum(one.amount for one in made.deposits if one.recipient == RESERVE) + TERMS.service_fee * len(burns)

    def explained(taken: frozenset[int], charges: int, reserve: int) -> bool:
        unpaid = [amount for number, (_, amount) in enumerate(requests) if number not in taken]
        in_flight, raised = len(bitcoin.coins) >= 20, 329 * len(unpaid)
        return (charges <= fees or in_flight) and reserve + min(max(0, fees - charges), sum(unpaid)) + raised >= 0

    def search(place: int, taken: frozenset[int], charges: int, reserve: int) -> bool:
        if place == len(payments):
            return explained(taken, charges, reserve)
        payment = payments[place]
        return any(
            search(place + 1, taken | run, charges + charge, reserve + total - payment.spent + payment.change)
            for run, charge, total in runs[place]
            if not taken & run
        )

    return search(0, frozenset(), 0, start - fees - moved)


def _runs(
    payment: Paid, requests: Sequence[tuple[bytes | None, int]]
) -> Iterator[tuple[frozenset[int], int, int]]:
    """All requests that the payment can have paid, the smallest charge of the first, and what they are owed."""
    count, spent = len(payment.payees), payment.spent
    sums = range(max(1, payment.paid), spent + 1)
    allowed = {owed for owed in sums if may_be_owed(payment, owed)}
    for first in range(len(requests) - count + 1):
        run = requests[first : first + count]
        if [script for script, _ in run] != [script for script, _ in payment.payees]:
            continue
        total = sum(amount for _, amount in run)
        for charge in range(run[0][1] - LEAST + 1 if run[0][1] > 20 * 330 else 1):
            owed = [run[0][1] - charge, *(amount for _, amount in run[1:])]
            shares = {amount - paid for amount, (_, paid) in zip(owed, payment.payees, strict=True)}
            if len(shares) == 1 and min(shares) >= 0 and total - charge in allowed:
                yield frozenset(range(first, first + count)), charge, total
                break
