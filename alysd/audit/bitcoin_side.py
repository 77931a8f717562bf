"""Reads the federation's deposits and payments from a Bitcoin node (`getblock`, verbosity 2)."""

import re
from collections.abc import Awaitable, Callable, Mapping
from itertools import pairwise
from types import MappingProxyType
from typing import Any

import attrs

from alysd.audit.credit import ALWAYS, Credit
from alysd.audit.records import RESERVE, BitcoinFindings, Deposited, NotCreditedPayment, Paid, Spent
from alysd.errors import Malformed, UserError
from alysd.types.hashes import BitcoinHash, EvmAddress
from alysd.types.peg import OutPoint
from alysd.types.units import SAT_PER_BTC, Sat
from alysd.wire.json_input import displayed_hash, hex_field, integer_field, list_field, object_of, text_field

Call = Callable[..., Awaitable[Any]]
"""Calls a JSON-RPC method: `await call(method, *params)`."""

MAX_OUTPUTS = 64
"""The maximum number of outputs of a deposit to the federation (docs/protocol.md, "Peg-in")."""

_MAX_ITEMS = 200_000
_MAX_SCRIPT = 4_000_000
_MAX_WEIGHT = 4_000_000
_WEIGHT_PER_BYTE = 4
_OUTPOINT_AND_SEQUENCE = 36 + 4
_OP_RETURN, _PUSHDATA1 = 0x6A, 0x4C
_ANNEX = "50"
_INTERNAL = "50929b74c1a04954b78b4b6035e97a5e078a5a0f28ec96d547bfee9ace803ac0"
"""The internal key of a federation's output: BIP-341's point without a secret."""

_CONTROL_BLOCKS = ("c0" + _INTERNAL, "c1" + _INTERNAL)
_NETWORKS: Mapping[str, str] = MappingProxyType(
    {"mainnet": "main", "testnet": "test", "signet": "signet", "regtest": "regtest"}
)
"""Bitcoin Core's names of the networks that a chain specification can name."""

_PAID_SCRIPTS = (
    rb"\x76\xa9\x14.{20}\x88\xac",  # P2PKH
    rb"\xa9\x14.{20}\x87",  # P2SH
    rb"\x00\x14.{20}",  # P2WPKH
    rb"\x00\x20.{32}",  # P2WSH
    rb"\x51\x20.{32}",  # P2TR
)


async def check_network(call: Call, network: str) -> None:
    """Raise `UserError` unless the node is on the Bitcoin network of the chain."""
    found = text_field(object_of(await call("getblockchaininfo"), "getblockchaininfo"), "chain")
    if found != _NETWORKS[network]:
        raise UserError(
            f"the Bitcoin node is on the network {found[:40]!r}, but the chain needs {_NETWORKS[network]!r}: give "
            "the URL of a node of that network"
        )


async def federation_script(call: Call, keys: tuple[bytes, ...], quorum: int) -> bytes:
    """The output script of the federation with these x-only keys, as derived by the Bitcoin node."""
    plain = f"tr({_INTERNAL},multi_a({quorum},{','.join(key.hex() for key in keys)}))"
    described = object_of(await call("getdescriptorinfo", plain), "getdescriptorinfo")
    answer: Any = await call("deriveaddresses", text_field(described, "descriptor"))
    addresses = list_field({"deriveaddresses": answer}, "deriveaddresses", 1)
    script = await payout_script(call, str(addresses[0])) if addresses else None
    if script is None:
        raise Malformed("deriveaddresses: the Bitcoin node does not accept its own address")
    return script


async def payout_script(call: Call, address: str) -> bytes | None:
    """The output script of `address`; None if the Bitcoin node refuses it, or if its kind is never paid.

    An address has 1 to 90 letters and digits (docs/protocol.md, "Burns"). The node also accepts spaces around it.
    """
    if not re.fullmatch("[0-9A-Za-z]{1,90}", address):
        return None
    found = object_of(await call("validateaddress", address), "validateaddress")
    if found.get("isvalid") is not True:
        return None
    script = hex_field(found, "scriptPubKey", 1, 10_000)
    return script if any(re.fullmatch(kind, script, re.DOTALL) for kind in _PAID_SCRIPTS) else None


@attrs.frozen
class _Coin:
    """An unspent output to the federation with this number. Only one that is `credited` is in the ledger."""

    amount: Sat
    credited: bool
    federation: int


@attrs.define
class BitcoinSide:
    """Reads block after block from the height `start`.

    `scripts` maps the output scripts of the federations to their numbers: the first has 0, and a later one has a
    larger number. `credit` has the blocks in which outputs to a federation count, by its number; without an entry,
    they count in all. `leaves` maps the scripts with which the outputs are spent to the same numbers.

    With `deposits_only`, further payments and uncredited transactions are left out. An audit reads Bitcoin, then
    the execution layer, then the deposits of newer Bitcoin blocks. So it knows the deposit of every mint that it
    has read on the execution layer, and the requests of every payment that it has read on Bitcoin.
    """

    call: Call
    scripts: Mapping[bytes, int]
    minimum: Sat
    start: int
    deposits_only: bool = False
    credit: Mapping[int, Credit] = attrs.field(factory=dict[int, Credit])
    leaves: Mapping[bytes, int] = attrs.field(factory=dict[bytes, int])
    next_height: int = attrs.field(init=False, default=attrs.Factory(lambda self: self.start, takes_self=True))
    _tip: str = attrs.field(init=False, default="")
    _coins: dict[OutPoint, _Coin] = attrs.field(init=False, factory=dict[OutPoint, _Coin])
    _deposits: list[Deposited] = attrs.field(init=False, factory=list[Deposited])
    _uncredited: dict[BitcoinHash, NotCreditedPayment] = attrs.field(
        init=False, factory=dict[BitcoinHash, NotCreditedPayment]
    )
    _payments: list[Paid] = attrs.field(init=False, factory=list[Paid])
    _problems: list[str] = attrs.field(init=False, factory=list[str])

    async def read_to_tip(self, progress: Callable[[int, int], None]) -> None:
        """Read all blocks up to the node's tip. Raises `UserError` if the chain is reorganised meanwhile."""
        info = object_of(await self.call("getblockchaininfo"), "getblockchaininfo")
        tip = integer_field(info, "blocks", 0, 2**31)
        while self.next_height <= tip:
            block_hash: Any = await self.call("getblockhash", self.next_height)
            block = object_of(await self.call("getblock", block_hash, 2), f"block {self.next_height}")
            if self._tip and block.get("previousblockhash") != self._tip:
                raise UserError("the Bitcoin chain was reorganised during the audit: run it again")
            median = integer_field(block, "mediantime", 0, 2**32)
            for transaction in list_field(block, "tx", _MAX_ITEMS):
                self._take(object_of(transaction, "transaction"), median)
            self._tip = str(block_hash)
            self.next_height += 1
            progress(self.next_height, tip)

    def records(self) -> BitcoinFindings:
        """All that was found so far."""
        newest = max(self.scripts.values())
        return BitcoinFindings(
            height=self.next_height - 1,
            deposits=tuple(self._deposits),
            uncredited=tuple(self._uncredited.values()),
            payments=tuple(self._payments),
            coins={at: coin.amount for at, coin in self._coins.items() if coin.credited},
            problems=tuple(self._problems),
            federations=newest + 1,
            former=sum(coin.amount for coin in self._coins.values() if coin.credited and coin.federation < newest),
        )

    def _credit(self, number: int) -> Credit:
        return self.credit.get(number, ALWAYS)

    def _take(self, fields: dict[str, Any], median: int) -> None:
        txid = BitcoinHash(displayed_hash(fields, "txid"))
        inputs = [object_of(one, "input") for one in list_field(fields, "vin", _MAX_ITEMS)]
        outputs = [_output(one) for one in list_field(fields, "vout", _MAX_ITEMS)]
        spends = [
            OutPoint(BitcoinHash(displayed_hash(one, "txid")), integer_field(one, "vout", 0, 2**32))
            for one in inputs
            if "coinbase" not in one
        ]
        known = [at for at in spends if at in self._coins]
        if any(self._coins[at].credited for at in known):
            if not self.deposits_only:
                self._spend(fields, spends, known, outputs)
            return
        spent = {self._coins[at].federation for at in known} | self._revealed(inputs)
        for at in known:  # the operators have moved what was not credited
            self._return(at)
        if any(script in self.scripts for script, _ in outputs):
            own = any(self._credit(number).has_begun(median) for number in spent)
            refusal = "it spends an output of a federation" if own else None
            refusal = "it is a coinbase transaction" if not spends else refusal
            self._receive(txid, outputs, median, refusal)

    def _revealed(self, inputs: list[dict[str, Any]]) -> set[int]:
        """The federations with whose script and control block the inputs are spent (BIP-341)."""
        found: set[int] = set()
        for one in inputs:
            stack = list_field(one, "txinwitness", _MAX_ITEMS) if "txinwitness" in one else []
            last = stack[:-1] if stack and str(stack[-1]).startswith(_ANNEX) else stack
            if len(last) > 1 and str(last[-1]) in _CONTROL_BLOCKS:
                leaf = hex_field({"witness": last[-2]}, "witness", 0, _MAX_SCRIPT)
                found |= {self.leaves[leaf]} if leaf in self.leaves else set()
        return found

    def _spend(
        self,
        fields: dict[str, Any],
        spends: list[OutPoint],
        known: list[OutPoint],
        outputs: list[tuple[bytes, Sat]],
    ) -> None:
        taken = [self._coins[at] for at in known]
        for at, coin in zip(known, taken, strict=True):
            if coin.credited:
                del self._coins[at]
            else:
                self._return(at)
        txid = BitcoinHash(displayed_hash(fields, "txid"))
        name = f"Bitcoin transaction {txid[::-1].hex()}"
        if len(known) < len(spends) or not all(coin.credited for coin in taken):
            self._problems.append(f"{name} spends the federation's coins together with others")
        change, federation, payees = Sat(0), 0, tuple(outputs)
        if outputs and outputs[-1][0] in self.scripts:
            (script, change), payees = outputs[-1], tuple(outputs[:-1])
            federation = self.scripts[script]
            self._coins[OutPoint(txid, len(payees))] = _Coin(change, credited=True, federation=federation)
            if any(coin.federation > federation for coin in taken):
                self._problems.append(f"{name} brings coins of a federation to a former one")
        own = {
            index: _Coin(amount, credited=False, federation=self.scripts[script])
            for index, (script, amount) in enumerate(payees)
            if script in self.scripts and amount
        }
        if own:  # users may burn to the address of a federation before it is in force
            self._coins |= {OutPoint(txid, index): coin for index, coin in own.items()}
            amount = Sat(sum(coin.amount for coin in own.values()))
            self._uncredited[txid] = NotCreditedPayment(txid, amount, "it is a payment to a federation")
        weights = dict(zip(spends, _input_weights(fields), strict=True))
        inputs = sorted(
            (coin.amount, at.key, weights[at], coin.federation) for at, coin in zip(known, taken, strict=True)
        )
        self._payments.append(
            Paid(
                txid,
                self.next_height,
                tuple(Spent(amount, weight, number) for amount, _, weight, number in inputs),
                payees,
                change,
                integer_field(fields, "weight", 1, _MAX_WEIGHT + 1),
                federation,
            )
        )

    def _less(self, credited: Mapping[int, Sat], outputs: list[tuple[bytes, Sat]], median: int) -> tuple[Sat, ...]:
        """The sums of the outputs up to each paid federation but the last one, the largest first.

        A block can have minted such a sum only before the next federation was in force.
        """
        paid = {index: self.scripts[outputs[index][0]] for index in credited}
        numbers = sorted(set(paid.values()), reverse=True)
        former = [
            number
            for later, number in pairwise(numbers)
            if median < self._credit(later).in_force or not self.credit
        ]
        return tuple(
            Sat(sum(amount for index, amount in credited.items() if paid[index] <= number)) for number in former
        )

    def _return(self, at: OutPoint) -> None:
        """Take note that an output that was not credited is spent: it is not held any more."""
        amount = self._coins.pop(at).amount
        one = self._uncredited.get(at.txid)
        if one is not None:
            left = attrs.evolve(one, amount=Sat(one.amount - amount))
            self._uncredited[at.txid] = left
            if not left.amount:
                del self._uncredited[at.txid]

    def _receive(
        self, txid: BitcoinHash, outputs: list[tuple[bytes, Sat]], median: int, refusal: str | None
    ) -> None:
        own = {
            index: amount for index, (script, amount) in enumerate(outputs) if script in self.scripts and amount
        }
        if not own:
            return
        enough = {index: amount for index, amount in own.items() if amount >= self.minimum}
        large = {
            index: amount
            for index, amount in enough.items()
            if self._credit(self.scripts[outputs[index][0]]).counts(median)
        }
        named = [found for script, _ in outputs if (found := _recipient(script)) is not None]
        reason = refusal
        if reason is None and len(large) > MAX_OUTPUTS:
            reason = f"it has {len(large)} outputs to the federation, more than {MAX_OUTPUTS}"
        elif reason is None and len(named) != 1:
            reason = f"it names {len(named)} recipients"
        elif reason is None and not large:
            small = f"no output has the minimum of {self.minimum} sat"
            reason = "deposits to this address are not credited at this time" if enough else small
        if reason is not None and self.deposits_only:
            return
        credited = large if reason is None else {}
        for index, value in own.items():
            if OutPoint(txid, index) in self._coins:
                raise Malformed(f"the Bitcoin node has the transaction {txid[::-1].hex()} in two blocks")
            number = self.scripts[outputs[index][0]]
            self._coins[OutPoint(txid, index)] = _Coin(value, index in credited, number)
        if reason is None:
            amount = Sat(sum(credited.values()))
            less = self._less(credited, outputs, median)
            self._deposits.append(Deposited(txid, self.next_height, named[0], amount, less))
            reason = f"{len(own) - len(enough)} of its outputs have less than the minimum of {self.minimum} sat"
            if len(enough) > len(large):
                reason = f"{len(enough) - len(large)} of its outputs are to an address that is not credited then"
        if len(credited) < len(own) and not self.deposits_only:
            rest = Sat(sum(value for index, value in own.items() if index not in credited))
            self._uncredited[txid] = NotCreditedPayment(txid, rest, reason)


def _input_weights(fields: dict[str, Any]) -> list[int]:
    """The weight of each input of a transaction that is no coinbase, with its witness (BIP-141)."""
    return [_input_weight(object_of(one, "input")) for one in list_field(fields, "vin", _MAX_ITEMS)]


def _input_weight(fields: dict[str, Any]) -> int:
    witness = list_field(fields, "txinwitness", _MAX_ITEMS) if "txinwitness" in fields else []
    items = (len(hex_field({"witness": item}, "witness", 0, _MAX_SCRIPT)) for item in witness)
    script = len(hex_field(object_of(fields.get("scriptSig"), "scriptSig"), "hex", 0, _MAX_SCRIPT))
    return (
        _WEIGHT_PER_BYTE * (_OUTPOINT_AND_SEQUENCE + _size_bytes(script) + script)
        + _size_bytes(len(witness))
        + sum(_size_bytes(size) + size for size in items)
    )


def _size_bytes(number: int) -> int:
    """The length of a number as Bitcoin writes the size of what follows."""
    return 1 if number < 0xFD else 3 if number <= 0xFFFF else 5


def _output(value: Any) -> tuple[bytes, Sat]:
    fields = object_of(value, "output")
    amount = fields.get("value")
    if isinstance(amount, bool) or not isinstance(amount, int | float) or not 0 <= amount <= 21_000_000:
        raise Malformed(f"value: {str(amount)[:40]} is not an amount of bitcoin")
    script = hex_field(object_of(fields.get("scriptPubKey"), "scriptPubKey"), "hex", 0, _MAX_SCRIPT)
    return script, Sat(round(amount * SAT_PER_BTC))  # exact: 2.1e15 is far below 2**53


def _recipient(script: bytes) -> EvmAddress | None:
    """The address that an OP_RETURN output names: 20 bytes, 40 hex digits, or the word `reserve`."""
    if len(script) < 3 or script[0] != _OP_RETURN:
        return None
    start = 3 if script[1] == _PUSHDATA1 else 2
    data = script[start:]
    if script[start - 1] != len(data) or (start == 2 and script[1] > _PUSHDATA1 - 1):
        return None
    if data == b"reserve":
        return RESERVE
    if len(data) in (40, 42):
        text = data.decode("latin-1")
        text = text[2:] if text[:2] in ("0x", "0X") else text
        try:
            data = bytes.fromhex(text) if text.isalnum() else b""
        except ValueError:
            return None
    return EvmAddress(data) if len(data) == 20 and any(data) else None
