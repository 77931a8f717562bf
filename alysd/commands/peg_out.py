"""`alysd peg out`: burns BTC with a call of the bridge contract, to be paid out in bitcoin."""

import argparse
from functools import partial

import attrs
import trio

from alysd.cli import complain
from alysd.commands.burn_call import WEI_PER_SAT, BurnOrder, EthereumNode
from alysd.commands.burn_terms import BurnTerms, burn_terms
from alysd.commands.http_url import http_url
from alysd.commands.output import confirm, say
from alysd.commands.passphrase import passphrase_of
from alysd.commands.peg_follow import POLL_SECONDS, Screen, watch
from alysd.commands.peg_node import ask_once
from alysd.commands.peg_text import btc, sat_of, word
from alysd.config.key_file import read_key_file
from alysd.errors import ComponentError, ConfigError, EngineUnavailable, UserError, without_credentials
from alysd.integrations.json_rpc_client import JsonRpcClient
from alysd.types.hashes import EvmAddress
from alysd.types.units import Sat
from alysd.wire.evm_address import address_of_secret, checksum_address
from alysd.wire.fee_market_transaction import FeeMarketTransaction, transaction_hash
from alysd.wire.hex import to_hex


@attrs.frozen
class _Account:
    address: EvmAddress
    secret: bytes = attrs.field(repr=False)


def peg_out(args: argparse.Namespace) -> int:
    """Burn after a confirmation. Returns 0 once the transaction is sent, or with `--watch` the status of `watch`.

    Raises `UserError` before anything is sent or if the call fails, and `Unavailable` or `ComponentError` if a
    node fails.
    """
    sat, most_fee = Sat(sat_of(args.amount)), Sat(sat_of(args.max_fee, "--max-fee"))
    http_url("--ethereum", args.ethereum)
    account = _account(args)
    terms = burn_terms(ask_once(args.url, "getpeg"), args.url)
    if args.chain_id not in (None, terms.chain_id):
        node = without_credentials(args.url)
        raise ConfigError(f"--chain-id {args.chain_id}: the node at {node} is of the chain {terms.chain_id}")
    terms.script_of(args.to, sat)
    order = BurnOrder(terms.chain_id, account.address, args.to, sat, most_fee, args.nonce)
    made = trio.run(_prepare, args.ethereum, order)
    raw = made.signed(account.secret)
    name = to_hex(transaction_hash(raw))
    # Past the buffer: whatever happens to this command from here on, the user knows the hash.
    say(_summary(order, terms, made, name), now=True)
    if not args.yes:
        say(f"\nThis cannot be undone. Type the amount, {args.amount}, to send it: ", now=True)
    confirm(args.amount, yes=args.yes, what="the amount")
    trio.run(_send, args.ethereum, raw, name, made.nonce)
    say(f"sent; follow it with `alysd peg watch {name}`\n", now=True)
    return _watch(args, name, made, account.address) if args.watch else 0


def _watch(args: argparse.Namespace, name: str, made: FeeMarketTransaction, sender: EvmAddress) -> int:
    """Follow the burn; first until a block has it, because the peg knows nothing of a call that fails."""
    seconds = float("inf") if args.timeout is None else args.timeout
    succeeded, took = trio.run(_outcome, args.ethereum, seconds, name, made, sender)
    if succeeded is False:
        raise UserError(f"the call {name} has failed: the gas is paid, and nothing is burned")
    left = None if args.timeout is None else max(0.0, args.timeout - took)
    return watch(argparse.Namespace(url=args.url, id=name, timeout=left))


async def _outcome(
    url: str, seconds: float, name: str, made: FeeMarketTransaction, sender: EvmAddress
) -> tuple[bool | None, float]:
    """Whether a block has executed the call, None if it is not known after `seconds`; and how long that took."""
    began, found, screen = trio.current_time(), None, Screen()
    with trio.move_on_after(seconds):
        async with _client(url) as client:
            node = EthereumNode(client, url)
            while found is None:
                try:
                    found = await node.outcome(name, made, sender)
                except (EngineUnavailable, ComponentError) as error:
                    screen.show(f"no answer, asking again: {word(error)}")
                else:
                    screen.show("the call waits for a block" if found is None else "a block has the call")
                await trio.sleep(POLL_SECONDS if found is None else 0)
    screen.end("")
    return found, trio.current_time() - began


def _account(args: argparse.Namespace) -> _Account:
    ask = partial(passphrase_of, args.passphrase_file)
    secret = read_key_file(args.key, kind="account", passphrase=ask).secret
    try:
        return _Account(address_of_secret(secret), secret)
    except ValueError:
        raise ConfigError(f"{args.key}: the secret is not a secp256k1 key") from None


def _summary(burn: BurnOrder, terms: BurnTerms, made: FeeMarketTransaction, name: str) -> str:
    rows = [
        ("burn", f"{btc(burn.sat)} BTC of the account {checksum_address(burn.sender)}"),
        ("chain", f"{terms.chain_id}, with bitcoin of {terms.network}"),
        ("pay to", burn.address),
        ("it receives", f"{btc(burn.sat - terms.service_fee)} BTC less a share of the Bitcoin fee"),
        ("gas", f"at most {btc(-(-(made.cost - made.value) // WEI_PER_SAT))} BTC"),
        ("nonce", str(made.nonce)),
        ("transaction", name),
    ]
    if terms.halted:
        rows.append(("note", "the peg is halted: the payment waits until it goes on"))
    return "".join(f"{label:<13}{value}\n" for label, value in rows)


def _client(url: str) -> JsonRpcClient:
    return JsonRpcClient("execution client", url, EngineUnavailable, version="2.0")


async def _prepare(url: str, burn: BurnOrder) -> FeeMarketTransaction:
    async with _client(url) as client:
        return await EthereumNode(client, url).prepare(burn)


async def _send(url: str, raw: bytes, name: str, nonce: int) -> None:
    """Send the transaction, whose hash the user has been shown. An unclear answer is not a failure.

    Raises `EngineUnavailable` or `ComponentError` if the node does not show that it has the transaction.
    """
    async with _client(url) as client:
        node = EthereumNode(client, url)
        try:
            await node.send(raw, name)
        except (EngineUnavailable, ComponentError):
            if await _has(node, name):
                return
            complain(
                f"alysd: it is not certain whether the node has the transaction. `alysd peg watch {name}` "
                f"shows the burn once a block has it. To try again, add --nonce {nonce}: of two transactions with "
                "the same number, only one is executed"
            )
            raise


async def _has(node: EthereumNode, name: str) -> bool:
    try:
        return await node.has(name)
    except (EngineUnavailable, ComponentError):
        return False
