"""Deposits, payments and coins, as a Bitcoin node tells of them."""

from typing import Any

import attrs
import pytest

from alysd.audit.bitcoin_side import BitcoinSide, check_network, federation_script, payout_script
from alysd.audit.credit import Credit, TimeRange
from alysd.audit.federations import federation_leaf
from alysd.audit.records import RESERVE, Spent
from alysd.errors import Malformed, UserError
from alysd.peg.federation import spending_script
from alysd.types.federation import quorum_of
from alysd.types.units import Sat

FEDERATION = "5120" + "fe" * 32
LATER = "5120" + "fd" * 32
PAYEE = "0014" + "01" * 20
SCRIPTS = {bytes.fromhex(FEDERATION): 0, bytes.fromhex(LATER): 1}
LEAF, LATER_LEAF = b"\x20" + b"\x01" * 32 + b"\xac", b"\x20" + b"\x02" * 32 + b"\xac"
INTERNAL = "50929b74c1a04954b78b4b6035e97a5e078a5a0f28ec96d547bfee9ace803ac0"
ALICE = "a1" * 20
Output = tuple[str, float]


def named(recipient: str) -> Output:
    data = bytes.fromhex(recipient)
    return "6a" + bytes([len(data)]).hex() + recipient, 0.0


class Node:
    """A Bitcoin node: blocks of transactions, each with the places of what it spends and its outputs."""

    def __init__(self) -> None:
        self.blocks: list[list[dict[str, Any]]] = [[]]
        self.count = 0
        self.fork = ""

    def block(self) -> None:
        self.blocks.append([])

    def transaction(self, *outputs: Output, spends: tuple[tuple[str, int], ...] = (("77" * 32, 0),)) -> str:
        self.count += 1
        txid = f"{self.count:064x}"
        inputs: list[dict[str, Any]] = [
            {"txid": at, "vout": index, "scriptSig": {"hex": ""}, "txinwitness": ["aa" * 64, "bb" * 300]}
            for at, index in spends
        ] or [{"coinbase": "00"}]
        made = [{"value": value, "scriptPubKey": {"hex": script}} for script, value in outputs]
        self.blocks[-1].append({"txid": txid, "vin": inputs, "vout": made, "weight": 1_000})
        return txid

    async def call(self, method: str, *params: Any) -> Any:
        if method == "getblockchaininfo":
            return {"blocks": len(self.blocks) - 1}
        if method == "getblockhash":
            return f"hash{params[0]}{self.fork}"
        number = int(params[0][4:].rstrip("f"))
        previous = f"hash{number - 1}{self.fork}"
        return {"previousblockhash": previous, "mediantime": 100 * number, "tx": self.blocks[number]}

    def reader(self) -> BitcoinSide:
        return BitcoinSide(self.call, SCRIPTS, Sat(1_000), 0)

    def reader_with(self, *every: Credit) -> BitcoinSide:
        """A reader with the blocks in which the outputs to each federation count."""
        return attrs.evolve(self.reader(), credit=dict(enumerate(every)), leaves={LEAF: 0, LATER_LEAF: 1})


def silent(_height: int, _last: int) -> None:
    """Show no progress."""


async def read(reader: BitcoinSide) -> BitcoinSide:
    await reader.read_to_tip(silent)
    return reader


@pytest.mark.parametrize(
    "data", [ALICE, ALICE.encode().hex(), b"0x".hex() + ALICE.encode().hex(), ALICE.upper().encode().hex()]
)
async def test_a_deposit_names_its_recipient(data: str) -> None:
    node = Node()
    node.transaction((FEDERATION, 0.5), (PAYEE, 1.0), (FEDERATION, 0.00001), named(data))
    (deposit,) = (await read(node.reader())).records().deposits
    assert (deposit.recipient.hex(), deposit.amount) == (ALICE, 50_001_000)


async def test_a_deposit_to_the_reserve() -> None:
    node = Node()
    node.transaction((FEDERATION, 0.5), named(b"reserve".hex()))
    assert (await read(node.reader())).records().deposits[0].recipient == RESERVE


@pytest.mark.parametrize(
    ("outputs", "reason"),
    [
        ([(FEDERATION, 0.1)], "it names 0 recipients"),
        ([(FEDERATION, 0.1), named(ALICE), named("b0" * 20)], "it names 2 recipients"),
        ([(FEDERATION, 0.1), named("00" * 20)], "it names 0 recipients"),
        ([(FEDERATION, 0.1), ("6a14" + "a1" * 19, 0.0)], "it names 0 recipients"),
        ([(FEDERATION, 0.1), ("6a", 0.0)], "it names 0 recipients"),
        ([(FEDERATION, 0.1), named(b"zz".hex() * 20)], "it names 0 recipients"),
        ([(FEDERATION, 0.00000999)] * 3 + [named(ALICE)], "no output has the minimum of 1000 sat"),
        ([*[(FEDERATION, 0.1)] * 65, named(ALICE)], "more than 64"),
    ],
)
async def test_other_payments_to_the_federation_are_not_credited(outputs: list[Output], reason: str) -> None:
    node = Node()
    node.transaction(*outputs)
    records = (await read(node.reader())).records()
    assert records.deposits == ()
    assert reason in records.uncredited[0].reason
    assert records.coins == {}


async def test_small_outputs_are_no_part_of_a_deposit() -> None:
    """They are not in the ledger, so that they must not be in the sum of what is held."""
    node = Node()
    node.transaction((FEDERATION, 0.5), *[(FEDERATION, 0.00000999)] * 70, named(ALICE))
    reader = await read(node.reader())
    records = reader.records()
    assert (records.deposits[0].amount, list(records.coins.values())) == (50_000_000, [50_000_000])
    (rest,) = records.uncredited
    assert rest.amount == 70 * 999
    assert rest.reason == "70 of its outputs have less than the minimum of 1000 sat"
    reader.deposits_only = True
    node.block()
    node.transaction((FEDERATION, 0.25), (FEDERATION, 0.00000999), named(ALICE))
    records = (await read(reader)).records()
    assert [one.amount for one in records.deposits] == [50_000_000, 25_000_000]
    assert len(records.uncredited) == 1


async def test_a_coinbase_is_no_deposit() -> None:
    node = Node()
    node.transaction((FEDERATION, 0.5), named(ALICE), spends=())
    assert "coinbase" in (await read(node.reader())).records().uncredited[0].reason


async def test_a_payment_spends_coins_and_its_change_is_one() -> None:
    node = Node()
    coin = node.transaction((FEDERATION, 0.5), named(ALICE))
    node.block()
    node.transaction((PAYEE, 0.1), (FEDERATION, 0.39), spends=((coin, 0),))
    records = (await read(node.reader())).records()
    (payment,) = records.payments
    assert (payment.spent, payment.change, payment.fee) == (50_000_000, 39_000_000, 1_000_000)
    assert (payment.weight, payment.inputs) == (1_000, (Spent(Sat(50_000_000), 4 * 41 + 1 + 65 + 303),))
    assert list(records.coins.values()) == [39_000_000]
    assert not records.problems


async def test_coins_that_are_spent_with_others_are_a_problem() -> None:
    node = Node()
    coin = node.transaction((FEDERATION, 0.5), named(ALICE))
    node.transaction((PAYEE, 0.1), (FEDERATION, 0.1), spends=((coin, 0), ("77" * 32, 1)))
    (problem,) = (await read(node.reader())).records().problems
    assert "together with others" in problem


async def test_only_the_last_output_of_a_payment_is_change() -> None:
    """A user may burn to the address of a federation that is not in force yet. The ledger does not hold this."""
    node = Node()
    coin = node.transaction((FEDERATION, 0.5), named(ALICE))
    paid = node.transaction((LATER, 0.1), (PAYEE, 0.1), (FEDERATION, 0.29), spends=((coin, 0),))
    records = (await read(node.reader())).records()
    (payment,) = records.payments
    assert payment.payees == ((bytes.fromhex(LATER), 10_000_000), (bytes.fromhex(PAYEE), 10_000_000))
    assert (payment.change, list(records.coins.values())) == (29_000_000, [29_000_000])
    (own,) = records.uncredited
    assert (own.amount, own.reason) == (10_000_000, "it is a payment to a federation")
    node.transaction((PAYEE, 0.1), spends=((paid, 0),))
    assert not (await read(node.reader())).records().problems


async def test_coins_are_moved_to_a_later_federation_and_never_back() -> None:
    node = Node()
    first = node.transaction((FEDERATION, 0.5), (LATER, 0.25), named(ALICE))
    second = node.transaction((FEDERATION, 0.125), named(ALICE))
    records = (await read(node.reader())).records()
    assert (records.former, sum(records.coins.values())) == (62_500_000, 87_500_000)
    assert [(one.amount, one.less) for one in records.deposits] == [(75_000_000, (50_000_000,)), (12_500_000, ())]
    node.transaction((LATER, 0.62), spends=((first, 0), (second, 0)))
    records = (await read(node.reader())).records()
    (payment,) = records.payments
    assert ([one.federation for one in payment.inputs], payment.federation, payment.moves) == ([0, 0], 1, True)
    assert (records.former, sum(records.coins.values()), records.problems) == (0, 87_000_000, ())
    node.transaction((FEDERATION, 0.24), spends=((first, 1),))
    records = (await read(node.reader())).records()
    assert "brings coins of a federation to a former one" in records.problems[0]
    assert not records.payments[1].moves


async def test_operators_may_move_what_was_not_credited() -> None:
    node = Node()
    coin = node.transaction((FEDERATION, 0.5))
    node.transaction((PAYEE, 0.4), spends=((coin, 0),))
    records = (await read(node.reader())).records()
    assert not records.payments
    assert not records.problems
    assert not records.coins
    assert not records.uncredited, "it was listed for ever"


async def test_an_uncredited_payment_is_listed_with_what_is_left_of_it() -> None:
    node = Node()
    coin = node.transaction((FEDERATION, 0.5), (FEDERATION, 0.25))
    node.transaction((PAYEE, 0.4), spends=((coin, 0),))
    (left,) = (await read(node.reader())).records().uncredited
    assert left.amount == 25_000_000
    small = node.transaction((FEDERATION, 0.5), (FEDERATION, 0.00000999), named(ALICE))
    node.transaction((PAYEE, 0.4), spends=((small, 0), (small, 1)))
    records = (await read(node.reader())).records()
    assert [one.amount for one in records.uncredited] == [25_000_000]
    assert "together with others" in records.problems[0], "the operators may not mix the two"


async def test_a_deposit_of_what_was_not_credited_is_none() -> None:
    """No node credits it: it spends an output of a federation."""
    node = Node()
    coin = node.transaction((FEDERATION, 0.5))
    node.transaction((FEDERATION, 0.4), named(ALICE), spends=((coin, 0),))
    reader = await read(node.reader_with(Credit(), Credit()))
    records = reader.records()
    assert (records.deposits, records.coins) == ((), {})
    (one,) = records.uncredited
    assert (one.amount, one.reason) == (40_000_000, "it spends an output of a federation")
    reader.deposits_only = True
    node.block()
    lost = node.transaction((FEDERATION, 0.3))
    node.transaction((FEDERATION, 0.2), named(ALICE), spends=((lost, 0),))
    node.blocks[-1][-1]["vin"][0]["txinwitness"] = ["aa", LEAF.hex(), "c0" + INTERNAL]
    paid = node.transaction((FEDERATION, 0.1), named(ALICE))
    node.transaction((FEDERATION, 0.09), named(ALICE), spends=((paid, 0),))
    records = (await read(reader)).records()
    assert [one.amount for one in records.deposits] == [10_000_000]


@pytest.mark.parametrize("annex", [(), ("50aa",)])
@pytest.mark.parametrize("first", ["c0", "c1"])
async def test_a_witness_with_the_script_of_a_federation_spends_an_output_of_it(
    first: str, annex: tuple[str, ...]
) -> None:
    """The output may be older than the first block that the audit reads, or of a kind that anyone can spend."""
    node = Node()
    node.transaction((FEDERATION, 0.5), named(ALICE))
    witness = node.blocks[-1][-1]["vin"][0]
    witness["txinwitness"] = ["aa", LEAF.hex(), first + INTERNAL, *annex]
    assert (await read(node.reader_with(Credit(), Credit()))).records().deposits == ()
    for other in (
        ["aa", LEAF.hex(), "c2" + INTERNAL, *annex],
        ["aa", "ac", first + INTERNAL],
        [first + INTERNAL],
        [],
    ):
        witness["txinwitness"] = other
        assert len((await read(node.reader_with(Credit(), Credit()))).records().deposits) == 1
    witness["txinwitness"] = ["aa", LATER_LEAF.hex(), first + INTERNAL]
    later = Credit(TimeRange(100, 100), None, 1, 0, 300)
    assert len((await read(node.reader_with(Credit(), later))).records().deposits) == 1, "before its time"


async def test_outputs_count_between_the_times_of_the_changes() -> None:
    first, later = Credit(end=TimeRange(500, 500)), Credit(TimeRange(300, 300), None, 1, 0, 400)
    node = Node()
    for place in range(7):
        if place:
            node.block()
        node.transaction((FEDERATION, 0.5), (LATER, 0.25), named(ALICE))
    records = (await read(node.reader_with(first, later))).records()
    amounts = [(one.height, one.amount, one.less) for one in records.deposits]
    assert amounts == [
        *((height, 50_000_000, ()) for height in range(3)),
        (3, 75_000_000, (50_000_000,)),
        (4, 75_000_000, ()),
        *((height, 25_000_000, ()) for height in (5, 6)),
    ]
    assert sum(records.coins.values()) == sum(one.amount for one in records.deposits)
    assert {one.reason for one in records.uncredited} == {
        "1 of its outputs are to an address that is not credited then"
    }
    assert sum(one.amount for one in records.uncredited) == 3 * 25_000_000 + 2 * 50_000_000
    node.block()
    node.transaction((FEDERATION, 0.5), named(ALICE))
    records = (await read(node.reader_with(first, later))).records()
    assert records.uncredited[-1].reason == "deposits to this address are not credited at this time"


async def test_a_deposit_whose_credit_is_not_known_ends_the_audit() -> None:
    node = Node()
    node.block()
    node.transaction((LATER, 0.5), named(ALICE))
    with pytest.raises(UserError, match="--included 1=HEIGHT"):
        await read(node.reader_with(Credit(), Credit(TimeRange(50, 150), None, 1, 0, 200)))


@pytest.mark.parametrize("members", range(1, 21))
def test_the_script_of_a_federation_is_that_of_the_node(members: int) -> None:
    keys = tuple(bytes([7]) * 31 + bytes([number]) for number in range(members))
    assert federation_leaf(keys, quorum_of(members)) == spending_script(keys)


async def test_payments_after_the_execution_layer_was_read_are_left_out() -> None:
    node = Node()
    coin = node.transaction((FEDERATION, 0.5), named(ALICE))
    reader = await read(node.reader())
    reader.deposits_only = True
    node.block()
    node.transaction((PAYEE, 0.1), (FEDERATION, 0.39), spends=((coin, 0),))
    node.transaction((FEDERATION, 0.2), named(ALICE))
    node.transaction((FEDERATION, 0.3))
    records = (await read(reader)).records()
    assert (len(records.deposits), records.payments, records.uncredited) == (2, (), ())
    assert sorted(records.coins.values()) == [20_000_000, 50_000_000]


async def test_a_reorganisation_during_the_audit_ends_it() -> None:
    node = Node()
    reader = await read(node.reader())
    node.block()
    node.fork = "f"
    with pytest.raises(UserError, match="reorganised"):
        await read(reader)


async def test_an_impossible_amount_is_refused() -> None:
    node = Node()
    node.transaction((FEDERATION, 21_000_001.0))
    with pytest.raises(Malformed, match="not an amount"):
        await read(node.reader())


@pytest.mark.parametrize("amount", [True, "1.0", None, float("nan"), float("inf"), -0.1, 10**30])
async def test_a_value_that_is_no_amount_is_refused(amount: Any) -> None:
    node = Node()
    node.transaction((FEDERATION, amount))
    with pytest.raises(Malformed, match="not an amount"):
        await read(node.reader())


async def test_a_deposit_in_two_blocks_is_refused() -> None:
    """A node that lies would have it counted twice."""
    node = Node()
    node.transaction((FEDERATION, 0.5), named(ALICE))
    node.block()
    node.blocks[-1] += node.blocks[0]
    with pytest.raises(Malformed, match="in two blocks"):
        await read(node.reader())


async def test_a_node_of_another_network_is_refused() -> None:
    async def call(method: str, *params: Any) -> Any:
        return {"chain": "test"}

    await check_network(call, "testnet")
    with pytest.raises(UserError, match="on the network 'test', but the chain needs 'main'"):
        await check_network(call, "mainnet")


@pytest.mark.parametrize(
    ("addresses", "message"), [([], "does not accept its own"), ("bc1q", "not a list"), (["a", "b"], "2 items")]
)
async def test_a_federation_address_that_cannot_be_is_refused(addresses: Any, message: str) -> None:
    async def call(method: str, *params: Any) -> Any:
        return {"descriptor": "tr()"} if method == "getdescriptorinfo" else addresses

    with pytest.raises(Malformed, match=message):
        await federation_script(call, (bytes(32),), 1)


@pytest.mark.parametrize(
    ("valid", "script", "paid"), [(True, PAYEE, True), (False, PAYEE, False), (True, "5220" + "01" * 32, False)]
)
async def test_an_address_must_have_a_kind_that_is_paid(valid: bool, script: str, paid: bool) -> None:
    async def call(method: str, *params: Any) -> Any:
        return {"isvalid": valid, "scriptPubKey": script}

    assert ((await payout_script(call, "anAddress1")) is not None) is paid


@pytest.mark.parametrize("address", ["anAddress ", " anAddress", "anAddress\n", "", "a" * 91, "anAddréss"])
async def test_an_address_of_other_characters_is_not_paid(address: str) -> None:
    """Bitcoin Core accepts spaces around an address, so the audit missed a payment of a refunded burn for ever."""

    async def call(method: str, *params: Any) -> Any:
        return {"isvalid": True, "scriptPubKey": PAYEE}

    assert await payout_script(call, address) is None
