"""The words in which `alysd peg` shows an operation, from the JSON of a node. No part of the JSON is trusted."""

import re
from collections.abc import Mapping
from typing import Any, cast

from alysd.types.units import MAX_SAT, SAT_PER_BTC

MOST_OBJECTS = 100
"""The maximum number of operations in an answer (docs/json-rpc.md), far above the versions of a payment."""

ENDED_WELL, ENDED_BADLY, UNDER_WAY = 0, 3, 4
"""The exit statuses of `alysd peg watch` beside 1 for an error."""

_AMOUNT = re.compile(r"([0-9]{1,8})(?:\.([0-9]{1,8}))?")

_GOOD = frozenset({"minted", "final", "confirmed"})
_LAST = frozenset({"final", "confirmed"})
"""The last states of a deposit and of a burn that end well."""


def btc(sat: int) -> str:
    """An amount in BTC with 8 decimals, as Bitcoin Core writes it."""
    return f"{sat // SAT_PER_BTC}.{sat % SAT_PER_BTC:08d}"


def sat_of(amount: str, option: str = "--amount") -> int:
    """The sat of an amount in BTC, which is the value of `option`. Raises `ConfigError` for other text."""
    from alysd.errors import ConfigError

    found = _AMOUNT.fullmatch(amount)
    sat = int(found[1]) * SAT_PER_BTC + int((found[2] or "").ljust(8, "0")) if found else 0
    if not 0 < sat <= MAX_SAT:
        raise ConfigError(f"{option} {amount}: must be an amount of bitcoin with at most 8 decimals, such as 0.01")
    return sat


def word(value: object) -> str:
    """A value of an answer as one printable line of bounded length."""
    from alysd.wire.plain_text import plain

    return "-" if value is None else plain(str(value)).replace("\n", " ")


def amount(value: object) -> str:
    """An amount of an answer in BTC."""
    return f"{btc(value)} BTC" if isinstance(value, int) and 0 <= value <= MAX_SAT else word(value)


def objects(value: object) -> list[dict[str, Any]]:
    """The first objects in a list of an answer, at most `MOST_OBJECTS`; none if it is no list."""
    found = cast("list[object]", value) if isinstance(value, list) else []
    return [cast("dict[str, Any]", one) for one in found[:MOST_OBJECTS] if isinstance(one, dict)]


def is_over(one: Mapping[str, Any]) -> bool:
    """Whether the operation has ended."""
    return one.get("over") is True


def is_in_doubt(one: Mapping[str, Any]) -> bool:
    """Whether the state is the last one, but the node does not know whether Bitcoin still has the transaction."""
    return one.get("doubt") is not None and word(one.get("state")) in _LAST and not is_over(one)


def exit_status(one: Mapping[str, Any]) -> int:
    """The exit status for an operation in this state."""
    if not is_over(one):
        return UNDER_WAY
    return ENDED_WELL if word(one.get("state")) in _GOOD else ENDED_BADLY


def state_line(one: Mapping[str, Any]) -> str:
    """The state of an operation in one line."""
    state = word(one.get("state"))
    words = _PEG_OUT.get(state, "") if one.get("kind") == "peg-out" else _PEG_IN.get(state, "")
    if one.get("lost") is True:
        words = _LOST_PAYMENT if one.get("kind") == "peg-out" else _LOST_DEPOSIT
    elif is_in_doubt(one):
        words = _IN_DOUBT
    parts = [f"{state}: {words}" if words else state]
    if isinstance(one.get("confirmations"), int) and isinstance(one.get("needed"), int):
        parts.append(f"{word(one['confirmations'])} of {word(one['needed'])} confirmations")
    if isinstance(left := one.get("secondsleft"), int) and left > 0:
        parts.append(f"about {word(max(1, left // 60))} min left")
    reasons = [word(one[name]) for name in ("reason", "doubt") if one.get(name) is not None]
    halted = one.get("halted") is True and not is_over(one)
    return "; ".join((", ".join(parts), *reasons)) + (
        "; the peg is halted: no deposit is credited and no payment signed" if halted else ""
    )


def identity(one: Mapping[str, Any]) -> str:
    """The id with which to ask for an operation."""
    return word(one.get("transaction") if one.get("kind") == "peg-out" else one.get("txid"))


def details(one: Mapping[str, Any]) -> str:
    """All that is known of an operation, one fact per line."""
    out = one.get("kind") == "peg-out"
    rows: list[tuple[str, object]] = [
        ("id", identity(one)),
        ("number", one.get("number")),
        ("state", state_line(one)),
        ("amount", amount(one.get("amount"))),
        ("sender" if out else "recipient", one.get("account")),
        ("to", one.get("address") if out else None),
        ("block", one.get("height")),
    ]
    if out:
        rows.extend(("payment", _payment(payment)) for payment in objects(one.get("payments")))
        rows.append(("on Bitcoin" if word(one.get("state")) == "broadcast" else "paid by", one.get("txid")))
        rows.append(("received", None if one.get("paid") is None else amount(one.get("paid"))))
        rows.append(("refund", None if one.get("refund") is None else amount(one.get("refund"))))
        rows.append(("ended in block", one.get("endheight")))
    return "".join(f"{name:<16}{word(value)}\n" for name, value in rows if value is not None)


def _payment(payment: Mapping[str, Any]) -> str:
    signed = payment.get("signed")
    state = "no block has its signatures yet" if signed is None else f"signed in block {word(signed)}"
    return f"{word(payment.get('txid'))}, fee {amount(payment.get('fee'))}, {state}"


_LOST_DEPOSIT = "credited, but a reorganisation has removed the deposit from Bitcoin"
_LOST_PAYMENT = "a block says that it is paid, but a reorganisation has removed the payment from Bitcoin"

_IN_DOUBT = "not compared with Bitcoin yet"

_PEG_IN = {
    "seen": "in the mempool of the Bitcoin node",
    "waiting": "waits for confirmations",
    "mintable": "the next author with a Bitcoin node credits it",
    "minted": "credited, waits for a proof of work",
    "final": "credited for good",
    "not-creditable": "only the operators can return it",
}

_PEG_OUT = {
    "requested": "waits for a payment",
    "proposed": "a payment is proposed and waits for a proof of work",
    "final": "the members sign the payment",
    "signed": "a block has the signed payment, and every node broadcasts it",
    "replaced": "a payment with a higher fee is being signed",
    "broadcast": "the Bitcoin node shows the payment",
    "confirmed": "paid",
    "refused": "cannot be paid",
    "refunded": "could not be paid, and came back",
}
