"""Payments of the federation are accepted by a real Bitcoin node, and weigh exactly what was predicted."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from btclib_secp256k1 import ssa

from alysd.integrations.possession import x_only_key
from alysd.peg.federation import NUMS_KEY, deposit_address
from alysd.peg.signing import Spending, assemble_witness, message_of, spending_of
from alysd.peg.versions import SEQUENCE, VERSION
from alysd.peg.weights import signed_weight
from alysd.testing.components import Bitcoind, bitcoind
from alysd.testing.processes import ComponentRefusal
from alysd.types.federation import quorum_of
from alysd.types.hashes import BitcoinHash, SchnorrSignature, displayed, sha256
from alysd.types.peg import OutPoint, Transaction, TransactionInput, TransactionOutput
from alysd.types.units import Sat
from alysd.wire.bitcoin_transaction import decode_transaction, encode_transaction, make_transaction

pytestmark = pytest.mark.component

RELAYED_WITNESS = 1650
"""The largest witness of an input, in bytes, that Bitcoin Knots relays by default (`-maxscriptsize`).

Bitcoin Core relays larger ones. That of a federation of 20 members has 1,636 bytes, that of 21 members 1,671."""

BASE_WEIGHT = 4 * (32 + 4 + 1 + 4)
"""The weight of an input without its witness."""

DEPOSITS = (30_000_000, 20_000_001, 54_321)


def member_secrets(members: int) -> list[bytes]:
    return [sha256(b"member %d of a federation" % place) for place in range(members)]


async def fund(bitcoin: Bitcoind, spending: Spending) -> list[tuple[OutPoint, TransactionOutput]]:
    """Outputs of the federation, one per amount of `DEPOSITS`, in a block."""
    address = deposit_address(spending.keys, "regtest")
    found: list[tuple[OutPoint, TransactionOutput]] = []
    for amount in DEPOSITS:
        txid: str = await bitcoin.call("sendtoaddress", address, f"{amount / 10**8:.8f}")
        transaction = decode_transaction(bytes.fromhex(await bitcoin.call("getrawtransaction", txid)))
        (index,) = [i for i, one in enumerate(transaction.outputs) if one.script == spending.output_script]
        found.append((OutPoint(transaction.txid, index), transaction.outputs[index]))
    await bitcoin.call("generatetoaddress", 1, await bitcoin.call("getnewaddress"))
    return found


def signed(
    transaction: Transaction,
    spent: Sequence[TransactionOutput],
    spending: Spending,
    secrets: Sequence[bytes],
    members: Sequence[int],
) -> Transaction:
    """The transaction with the witnesses of these members."""
    witness: list[tuple[bytes, ...]] = []
    for place in range(len(transaction.inputs)):
        message = message_of(transaction, spent, place, spending.leaf_hash)
        given = {member: SchnorrSignature(ssa.sign(message, secrets[member])) for member in members}
        witness.append(assemble_witness(spending, given))
    return Transaction(
        transaction.raw, transaction.version, transaction.inputs, transaction.outputs, 0, tuple(witness)
    )


async def verdict(bitcoin: Bitcoind, transaction: Transaction) -> dict[str, Any]:
    (found,) = await bitcoin.call("testmempoolaccept", [encode_transaction(transaction).hex()])
    return found


@pytest.mark.parametrize(("members", "quorum"), [(1, 1), (3, 2), (7, 5), (20, 14), (21, 14)])
async def test_a_payment_is_accepted_and_mined(tmp_path: Path, members: int, quorum: int) -> None:
    """bitcoind judges addresses, messages, witnesses and weights; the last quorum of members signs."""
    secrets = member_secrets(members)
    spending = spending_of(tuple(x_only_key(secret) for secret in secrets))
    assert quorum_of(members) == spending.threshold == quorum
    async with bitcoind(tmp_path) as bitcoin:
        await bitcoin.call("createwallet", "w")
        await bitcoin.call("generatetoaddress", 101, await bitcoin.call("getnewaddress"))
        coins = await fund(bitcoin, spending)
        spent = [output for _, output in coins]
        payees = [
            TransactionOutput(Sat(1_000_000), await script_of(bitcoin, kind))
            for kind in ("legacy", "p2sh-segwit", "bech32", "bech32m")
        ]
        change = TransactionOutput(Sat(sum(DEPOSITS) - 4_000_000 - 20_000), spending.output_script)
        inputs = [TransactionInput(outpoint, b"", SEQUENCE) for outpoint, _ in coins]
        transaction = make_transaction(VERSION, inputs, [*payees, change], 0)

        payout = await bitcoin.call("getnewaddress")
        payment = signed(transaction, spent, spending, secrets, range(members - quorum, members))
        accepted = await verdict(bitcoin, payment)
        if spending.weight - BASE_WEIGHT <= RELAYED_WITNESS:
            assert accepted["allowed"], accepted
        else:
            assert accepted.get("reject-reason") in (None, "bad-witness-witness-size"), accepted
        for wrong in wrong_payments(transaction, spent, spending, secrets, payment):
            found = await verdict(bitcoin, wrong)
            assert not found["allowed"]
            # One of them has a signature more, and may be too large to be relayed.
            reason = found["reject-reason"]
            assert "script" in reason or reason == "bad-witness-witness-size", found
            with pytest.raises(ComponentRefusal, match="script"):
                await bitcoin.call("generateblock", payout, [encode_transaction(wrong).hex()])

        decoded = await bitcoin.call("decoderawtransaction", encode_transaction(payment).hex())
        scripts = [output.script for output in transaction.outputs]
        assert decoded["weight"] == signed_weight(scripts, [spending] * len(inputs))
        assert decoded["txid"] == displayed(payment.txid)
        made = await bitcoin.call("generateblock", payout, [encode_transaction(payment).hex()])
        assert decoded["txid"] in (await bitcoin.call("getblock", made["hash"]))["tx"]


async def script_of(bitcoin: Bitcoind, kind: str) -> bytes:
    address = await bitcoin.call("getnewaddress", "", kind)
    return bytes.fromhex((await bitcoin.call("getaddressinfo", address))["scriptPubKey"])


def wrong_payments(
    transaction: Transaction,
    spent: Sequence[TransactionOutput],
    spending: Spending,
    secrets: Sequence[bytes],
    payment: Transaction,
) -> list[Transaction]:
    """Payments that are not signed as they must be: another amount, one signature less or more."""
    lie = [TransactionOutput(Sat(spent[0].amount + 1), spent[0].script), *spent[1:]]
    quorum = range(len(secrets))[: spending.threshold]
    wrong = [signed(transaction, lie, spending, secrets, quorum)]
    for place in (0, len(payment.inputs) - 1):
        *signatures, script, control = payment.witness[place]
        fewer = [b"" if item == next(filter(None, signatures)) else item for item in signatures]
        wrong.append(with_witness(payment, place, (*fewer, script, control)))
        if b"" in signatures:
            message = message_of(transaction, spent, place, spending.leaf_hash)
            extra = signatures.index(b"")
            secret = secrets[len(secrets) - 1 - extra]
            more = [ssa.sign(message, secret) if i == extra else item for i, item in enumerate(signatures)]
            wrong.append(with_witness(payment, place, (*more, script, control)))
    return wrong


def with_witness(payment: Transaction, place: int, stack: tuple[bytes, ...]) -> Transaction:
    witness = (*payment.witness[:place], stack, *payment.witness[place + 1 :])
    return Transaction(payment.raw, payment.version, payment.inputs, payment.outputs, payment.locktime, witness)


def descriptor(keys: Sequence[bytes]) -> str:
    """The output descriptor of the federation (docs/protocol.md, "Peg-out")."""
    members = ",".join(key.hex() for key in keys)
    return f"tr({NUMS_KEY.hex()},multi_a({quorum_of(len(keys))},{members}))"


async def test_bitcoind_derives_the_same_address(tmp_path: Path) -> None:
    """A deposit to an address that bitcoind derives from the descriptor must be spendable by the members."""
    async with bitcoind(tmp_path) as bitcoin:
        for members in (1, 3, 7, 21):
            keys = tuple(x_only_key(secret) for secret in member_secrets(members))
            info = await bitcoin.call("getdescriptorinfo", descriptor(keys))
            (address,) = await bitcoin.call("deriveaddresses", info["descriptor"])
            assert address == deposit_address(keys, "regtest")
            script = (await bitcoin.call("validateaddress", address))["scriptPubKey"]
            assert bytes.fromhex(script) == spending_of(keys).output_script


def test_an_outpoint_is_written_as_bitcoin_writes_it() -> None:
    """The index is little-endian in a transaction and big-endian in the ledger's keys."""
    outpoint = OutPoint(BitcoinHash(bytes(32)), 1)
    made = make_transaction(
        VERSION, [TransactionInput(outpoint, b"", SEQUENCE)], [TransactionOutput(Sat(1), b"")], 0
    )
    assert made.raw[5 + 32 : 5 + 36] == b"\x01\x00\x00\x00"
    assert outpoint.key[32:] == b"\x00\x00\x00\x01"
