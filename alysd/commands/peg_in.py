"""`alysd peg in`: shows how to send bitcoin to an account on the chain."""

import argparse
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import attrs

from alysd.audit.federations import NamedUpdate, checked
from alysd.commands.burn_terms import NETWORKS
from alysd.commands.output import say
from alysd.commands.peg_node import ask_once
from alysd.commands.peg_text import btc, sat_of
from alysd.config.chain_spec import load_chain_spec
from alysd.config.update_file import read_update
from alysd.errors import ConfigError, Malformed, NodeUnavailable, UserError
from alysd.peg.addresses import NotPayable, payout_script
from alysd.peg.federation import deposit_address
from alysd.types.bitcoin import CLI_OPTIONS
from alysd.types.chain_spec import has_peg
from alysd.types.units import MAX_SAT, Sat
from alysd.validation import genesis_of
from alysd.wire.evm_address import parse_address
from alysd.wire.json_input import integer_field, text_field
from alysd.wire.plain_text import plain

_MOST_CONFIRMATIONS = 10_000


@attrs.frozen
class DepositTerms:
    """The terms on which a chain credits deposits: the federation's address, and the smallest deposit."""

    address: str
    network: str
    minimum: Sat
    confirmations: int
    can_change: bool = False
    """Whether the chain has governance keys, which can change its federation."""


def peg_in(args: argparse.Namespace) -> int:
    """Print the outputs of a deposit, the commands that make it, and a QR code.

    Raises `ConfigError` for a wrong option, `UserError` if the node contradicts the chain specification, and
    `NodeUnavailable` if the answer is not that of a node.
    """
    try:
        recipient = parse_address(args.to)
    except ValueError as error:
        raise ConfigError(f"--to {args.to}: {error}") from None
    if not any(recipient):
        raise ConfigError(f"--to {args.to}: a deposit to the zero address is not credited: name your own account")
    chain: Path | None = args.chain
    if args.update and chain is None:
        raise ConfigError("--update: needs --chain FILE, the specification of the chain that the change is of")
    expected = None if chain is None else _terms_of_chain(chain, args.update)
    answer = ask_once(args.url, "getdepositaddress", f"0x{recipient.hex()}")
    try:
        terms = _terms_of_node(answer)
    except (Malformed, NotPayable) as error:
        reason = f"the answer to getdepositaddress is not that of an Alys node: {error}"
        raise NodeUnavailable(args.url, reason) from None
    if expected is not None and chain is not None:
        _compare(terms, expected, chain)
    sat = terms.minimum if args.amount is None else sat_of(args.amount)
    if sat < terms.minimum:
        raise ConfigError(f"--amount {args.amount}: a deposit must have at least {btc(terms.minimum)} BTC")
    data = recipient.hex()
    say(_instructions(args.to, btc(sat), data, terms, expected))
    if args.qr:
        uri = f"bitcoin:{terms.address}?amount={btc(sat)}&req-op_return_raw={data}"
        say(f"\n{_qr_code(uri)}\n{uri}\n")
    return 0


def _terms_of_chain(path: Path, changes: Sequence[Path]) -> DepositTerms:
    """The terms of the chain with this specification, with the address of its federation after these changes."""
    spec = load_chain_spec(path)
    if not has_peg(spec.execution_genesis):
        raise ConfigError(f"--chain {path}: the chain {spec.name} has no peg: its federation credits nothing")
    keys = spec.federation_bitcoin_keys
    if changes:
        named = [NamedUpdate(str(one), read_update(one)) for one in changes]
        for update in checked(named, spec, genesis_of(spec).context.genesis):
            if update.kind == "members":
                keys = tuple(member.bitcoin_key for member in update.members)
    address = deposit_address(keys, spec.bitcoin_network)
    return DepositTerms(
        address,
        spec.bitcoin_network,
        Sat(spec.peg_in_minimum),
        spec.peg_in_confirmations,
        can_change=bool(spec.governance_keys),
    )


def _terms_of_node(answer: dict[str, Any]) -> DepositTerms:
    """Read the answer to `getdepositaddress`. Raises `Malformed`, or `NotPayable` for what is no address."""
    network, address = text_field(answer, "network"), text_field(answer, "address")
    if network not in NETWORKS:
        raise Malformed(f"network: {plain(network[:40])!r} is none of {', '.join(NETWORKS)}")
    payout_script(address.encode(errors="replace"), network, ())
    return DepositTerms(
        address,
        network,
        Sat(integer_field(answer, "minimum", 1, MAX_SAT + 1)),
        integer_field(answer, "confirmations", 1, _MOST_CONFIRMATIONS),
    )


def _compare(found: DepositTerms, expected: DepositTerms, chain: Path) -> None:
    """Compare the terms of the node with those of the chain. Raises `UserError` for the first difference."""
    for field in ("network", "address", "minimum", "confirmations"):
        stated, right = getattr(found, field), getattr(expected, field)
        if stated == right:
            continue
        may_be_right = field == "address" and expected.can_change
        changed = ", or the federation has changed since then: see --update (docs/peg.md)" if may_be_right else ""
        raise UserError(
            f"do not pay: the node names the {field} {stated}, but {chain} has {right}; the node is of another "
            f"chain, or lies{changed}"
        )


def _instructions(to: str, amount: str, data: str, terms: DepositTerms, expected: DepositTerms | None) -> str:
    outputs = f'[{{"{terms.address}": {amount}}}, {{"data": "{data}"}}]'
    trust = "The address is the node's own word: ask your own node, or check it with --chain."
    if expected is not None:
        trust = "The address is that of the chain specification's federation."
        if expected.can_change:
            trust = (
                "The address is that of the federation in your files. The chain has governance keys, and no file "
                "shows\nwhether they have changed the federation since: only a node of your own knows that."
            )
    client = f"bitcoin-cli{CLI_OPTIONS[terms.network]}"
    return (
        f"Send one Bitcoin transaction on {terms.network} with both outputs:\n\n"
        f"  {amount} BTC to  {terms.address}\n"
        f"  OP_RETURN with   {data}\n\n"
        f"{trust}\n"
        "Without the OP_RETURN output nothing is credited. With the wallet of Bitcoin Core:\n\n"
        f"  {client} send '{outputs}'\n\n"
        "For a wallet whose keys are elsewhere, this makes a transaction to sign (PSBT):\n\n"
        f"  {client} walletcreatefundedpsbt '[]' '{outputs}'\n\n"
        f"The account {to} gets the BTC after {terms.confirmations} confirmations and one more.\n"
    )


def _qr_code(uri: str) -> str:
    """A QR code of the URI for a terminal.

    Wallets that do not know the OP_RETURN parameter must refuse the URI, because its name begins with `req-`
    (BIP-21). A code of the address alone would make them send bitcoin that is not credited.
    """
    import segno

    text = io.StringIO()
    segno.make(uri, error="l", micro=False).terminal(text, border=2, compact=True)
    return text.getvalue()
