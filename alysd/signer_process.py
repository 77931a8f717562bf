"""A signer of the federation's payments in a process of its own, with the key on another machine than the node.

It judges for itself: it signs only payments that it knows from final blocks, and records each on disk first
(docs/protocol.md, "Signer").
"""

import os
import ssl
from collections.abc import Callable, Generator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path

import attrs
import trio

from alysd.config.addresses import SignerAddress
from alysd.config.chain_spec import load_chain_spec
from alysd.config.key_file import read_key_file
from alysd.config.signer_file import SignerConfig
from alysd.consensus.federation import federation_at
from alysd.consensus.following import first_followed
from alysd.consensus.peg_ledger import spendings_at
from alysd.errors import HANDLING, AddressInUse, ConfigError
from alysd.integrations.bls import BLS
from alysd.integrations.clock import SystemClock
from alysd.integrations.payment_follow_file import read_follow_file, write_follow_file
from alysd.integrations.payment_follower import FollowedChain, Knowledge, PaymentFollower
from alysd.integrations.payment_link import HANDSHAKE_SECONDS, TlsFiles
from alysd.integrations.payment_record import PaymentRecord, locked_record
from alysd.integrations.payment_server import PaymentServer
from alysd.integrations.payment_signing import RecordedSigner
from alysd.integrations.possession import check_possession, x_only_key
from alysd.integrations.unix_socket import listening, peer_user
from alysd.messages.log.base import log
from alysd.messages.log.signer import SignerReady
from alysd.nurseries import ExponentialBackoff, OneForOne, open_system, supervisor, task
from alysd.peg.followed import FollowedLedger
from alysd.types.hashes import XOnlyKey
from alysd.validation import check_unchanging, genesis_of

MAX_HANDSHAKES = 16
"""The maximum number of connections in the TLS handshake. Strangers can fill it for `HANDSHAKE_SECONDS` only."""


@attrs.frozen
class ReadySigner:
    """A signer whose files are open."""

    config: SignerConfig
    server: PaymentServer
    key: XOnlyKey
    chain: str
    known: Knowledge
    tls: ssl.SSLContext | None


@contextmanager
def ready_signer(config: SignerConfig, passphrase: Callable[[], str]) -> Generator[ReadySigner]:
    """Read and check the files of a signer, and open its record. `passphrase` is called for an encrypted key.

    Raises `UserError`, `Corrupt` or `StoreError`.
    """
    spec = load_chain_spec(config.chain)
    genesis = genesis_of(spec)
    context, rules = genesis.context, genesis.context.peg
    check_possession(spec)
    if rules is None:
        raise ConfigError(f"{config.chain}: the chain {spec.name} has no peg, so there are no payments to sign")
    check_unchanging(spec, str(config.chain))
    secret = read_key_file(config.key_file, kind="bitcoin", passphrase=passphrase).secret
    federation, key = federation_at(genesis.state, context), x_only_key(secret)
    if key not in federation.bitcoin_keys:
        raise ConfigError(
            f"{config.key_file}: its public key {key.hex()[:16]}… is none of the {len(federation.bitcoin_keys)} "
            f"Bitcoin keys of the chain {spec.name}: name another key file"
        )
    tls = _tls(config)
    spendings = spendings_at(genesis.state, context)
    known = read_follow_file(config.followed, context.genesis)
    if known is None:
        known = Knowledge(first_followed(context), FollowedLedger())
    with ExitStack() as stack:
        stack.enter_context(locked_record(config.record))
        record = PaymentRecord.open(config.record, key)
        stack.callback(record.close)
        follower = PaymentFollower(
            FollowedChain(context, rules, federation, spendings),
            known,
            BLS.verify,
            partial(write_follow_file, config.followed, context.genesis),
        )
        write_follow_file(config.followed, context.genesis, known)  # so that a wrong path is found at the start
        signer = RecordedSigner(secret, spendings, record, SystemClock(), config.hourly_limit_sat)
        yield ReadySigner(config, PaymentServer(context, follower, signer), key, spec.name, known, tls)


async def run_signer(ready: ReadySigner) -> None:
    """Serve until cancelled. Raises `AddressInUse`, and `SystemFailed` if the socket fails again and again."""
    address = ready.config.listen
    if address.path is not None:
        socket = partial(_serve_unix, ready, address.path)
    elif ready.tls is not None:
        socket = partial(_serve_port, ready, address, ready.tls)
    else:
        raise ConfigError(f"listen = {address} needs TLS: set certificate, key and authority")
    refusals = tuple(error for error, how in HANDLING.items() if how.refusal)
    fatal = tuple(error for error, how in HANDLING.items() if how.fatal)
    tree = supervisor("Signer", OneForOne(), [task("socket", socket, restart=ExponentialBackoff())])
    async with open_system(tree, refusals=refusals, fatal=fatal) as system:
        await system.ended()


async def _serve_unix(ready: ReadySigner, path: Path) -> None:
    with listening(path) as listener:
        _log_ready(ready)
        await trio.serve_listeners(partial(_serve_own_user, ready.server), [listener])


async def _serve_port(ready: ReadySigner, address: SignerAddress, tls: ssl.SSLContext) -> None:
    try:
        listeners = await trio.open_tcp_listeners(address.port, host=address.host)
    except OSError as error:
        raise AddressInUse(f"listen = {address} cannot be opened: {error.strerror}") from None
    _log_ready(ready)
    handshakes = trio.CapacityLimiter(MAX_HANDSHAKES)
    await trio.serve_listeners(partial(_serve_tls, ready.server, tls, handshakes), listeners)


def _log_ready(ready: ReadySigner) -> None:
    log(SignerReady(str(ready.config.listen), ready.chain, ready.key.hex(), ready.known.at.height))


async def _serve_own_user(server: PaymentServer, stream: trio.SocketStream) -> None:
    if peer_user(stream) in (os.geteuid(), 0):
        await server.serve(stream)
    else:
        await stream.aclose()


async def _serve_tls(
    server: PaymentServer, context: ssl.SSLContext, handshakes: trio.CapacityLimiter, stream: trio.SocketStream
) -> None:
    """Serve a client that shows a certificate. Others cost a handshake, of which only a few run at once."""
    # Frames have lengths, so a connection needs no message at its end, for which a slow client could let it wait.
    secured = trio.SSLStream(stream, context, server_side=True, https_compatible=True)
    try:
        handshakes.acquire_nowait()
    except trio.WouldBlock:
        await stream.aclose()
        return
    try:
        with trio.fail_after(HANDSHAKE_SECONDS):
            await secured.do_handshake()
    except (trio.BrokenResourceError, trio.ClosedResourceError, trio.TooSlowError):
        await stream.aclose()
        return
    finally:
        handshakes.release()
    await server.serve(secured)


def _tls(config: SignerConfig) -> ssl.SSLContext | None:
    if config.certificate is None or config.key is None or config.authority is None:
        return None
    return TlsFiles(config.certificate, config.key, config.authority).context(ssl.Purpose.CLIENT_AUTH)
