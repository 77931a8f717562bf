"""The decision whether a node can run with a configuration, without starting it.

`decide` makes it for `alysd run`, `alysd check` and each reload. It does not look at what may be in use at the
moment (the lock of the data folder, ports), at other programs such as the execution client, and at the contents of
the databases, which a running node changes.
"""

from collections.abc import Callable
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import attrs

from alysd.config.chain_spec import ChainFiles, load_chain_files
from alysd.config.checks import check_bootnodes, check_with_chain, cross_check
from alysd.config.config_source import ONLY_A_RESTART
from alysd.config.connection_sections import GovernanceConfig, PegConfig
from alysd.config.key_file import read_key_file, read_passphrase
from alysd.config.model import AlysConfig
from alysd.config.places import check_address, check_storage
from alysd.config.problems import InvalidConfig, Source
from alysd.consensus.aura import slot_at
from alysd.consensus.federation import federation_at
from alysd.consensus.genesis import genesis_block, genesis_signed, genesis_state
from alysd.errors import ConfigError, Corrupt, Malformed, StoreError, UserError
from alysd.integrations import tracing
from alysd.integrations.bls import public_key
from alysd.integrations.clock import SystemClock
from alysd.integrations.data_folder import is_claimed
from alysd.integrations.key_kinds import public_text
from alysd.integrations.node_data import NodeData
from alysd.integrations.possession import check_possession, x_only_key
from alysd.types.block import SignedBlock
from alysd.types.chain import ChainState
from alysd.types.chain_spec import ChainContext, ChainSpec
from alysd.types.hashes import EvmAddress, XOnlyKey
from alysd.types.peers import PeerAddress
from alysd.types.units import MAX_WEI
from alysd.wire.block_ssz import block_hash
from alysd.wire.evm_address import address_of_secret
from alysd.wire.execution_genesis import genesis_payload, total_supply

if TYPE_CHECKING:
    from ssl import SSLContext

T = TypeVar("T")


@attrs.frozen
class Genesis:
    """The start of a chain: its context, its genesis block and the state after that block."""

    context: ChainContext
    block: SignedBlock
    state: ChainState


@attrs.frozen
class ValidNode:
    """A valid configuration, and the data that was loaded to check it.

    `authority_secret` is the authority's BLS secret, or None for a follower. `jwt_secret` is shared with the
    execution client, or None for the embedded engine. `network_secret` identifies the node to its peers. It is
    None for a node without peers, and before the node has made its key, at its first start. `account` is the
    development account, if configured. `peg_secret` is the Bitcoin key that signs payments, or None.
    `second_jwt_secret` is shared with the second execution client, or None if there is none. `bootnodes` are those
    of the chain: the peers, if the configuration names none.
    """

    config: AlysConfig
    genesis: Genesis
    authority_secret: bytes | None = attrs.field(repr=False)
    jwt_secret: bytes | None = attrs.field(repr=False)
    network_secret: bytes | None = attrs.field(repr=False)
    account: EvmAddress | None
    peg_secret: bytes | None = attrs.field(default=None, repr=False)
    second_jwt_secret: bytes | None = attrs.field(default=None, repr=False)
    bootnodes: tuple[PeerAddress, ...] = ()


@attrs.define
class Judge:
    """Collects the problems of several checks."""

    problems: list[str] = attrs.field(factory=list[str])

    def __call__(self, load: Callable[[], T]) -> T | None:
        """Return the result of `load`; None if it finds a problem."""
        try:
            return load()
        except InvalidConfig as error:
            self.problems.extend(error.problems)
        except (UserError, Corrupt, StoreError) as error:
            self.problems.append(str(error))
        return None

    def settle(self) -> None:
        """Raise `InvalidConfig` if there are problems."""
        if self.problems:
            raise InvalidConfig(self.problems)


def decide(config: AlysConfig, chain: ChainFiles) -> ValidNode:
    """Decide whether a node can run with this configuration and chain. Raises `InvalidConfig`."""
    judged = Judge()
    valid = judged(lambda: validate_node(config, chain.spec, chain.bootnodes))
    if valid is not None:
        now = slot_at(SystemClock().time(), chain.spec.slot_seconds)
        judged(lambda: data_of(valid).check_complete(now))
    judged.settle()
    if valid is None:
        raise InvalidConfig(judged.problems)
    return valid


@attrs.frozen
class RunningChain:
    """The chain of a running node, and the configuration with which the node was started."""

    chain: ChainFiles

    def check(self, joined: AlysConfig, new: AlysConfig) -> None:
        """Decide whether a running node can take the live options of `new`. Raises `InvalidConfig`.

        `joined` are these with the other options in force, `new` is a configuration with which a node could start.
        If it is one of another chain, its live options are for a node of that chain.
        """
        judged = Judge(cross_check(joined, {}, Source("without a restart")))
        judged(lambda: check_with_chain(joined, self.chain.spec))
        judged(lambda: check_bootnodes(joined, self.chain.bootnodes, self.chain.spec))
        if judged.problems:
            judged.problems.append(ONLY_A_RESTART)
        if load_chain_files(new.chain.spec).spec != self.chain.spec:
            judged.problems.append(
                f'chain.spec = "{new.chain.spec}": the files are those of a node of another chain, so none of '
                "their options is applied: restart the node"
            )
        judged.settle()


def data_of(valid: ValidNode) -> NodeData:
    """The data folder of a node, not opened yet."""
    genesis = valid.genesis
    return NodeData(
        valid.config.storage.path,
        genesis.context.spec.name,
        genesis.block,
        genesis.state,
        valid.authority_secret,
        federation_at(genesis.state, genesis.context).authorities,
        None if valid.peg_secret is None else x_only_key(valid.peg_secret),
    )


def validate_node(config: AlysConfig, spec: ChainSpec, bootnodes: tuple[PeerAddress, ...] = ()) -> ValidNode:
    """Load and check everything that the node needs but its data. Raises `InvalidConfig` with all problems."""
    judged = Judge()
    judged(lambda: check_bootnodes(config, bootnodes, spec))
    judged(lambda: check_with_chain(config, spec))
    judged(lambda: _check_places(config))
    judged(lambda: _check_installed(config))
    jwt_secret = judged(lambda: _jwt_secret(config.engine.jwt_secret_file))
    second_jwt_secret = judged(lambda: _jwt_secret(config.engine.second_jwt_secret_file))
    account = judged(lambda: _account(config))
    network_secret = judged(lambda: _network_secret(config))
    authority_secret = judged(lambda: _authority_secret(config))
    peg_secret = judged(lambda: _peg_secret(config))
    genesis = judged(lambda: genesis_of(spec))
    if genesis is not None:
        judged(lambda: check_possession(spec))
        if check_storage(config.storage) is None:
            judged(lambda: is_claimed(config.storage.path, spec.name, genesis.context.genesis))
        if authority_secret is not None:
            judged(lambda: _check_membership(config, genesis, authority_secret))
        if peg_secret is not None:
            judged(lambda: _check_peg_key(config, genesis, peg_secret))
        if config.peg.signer is not None:
            judged(lambda: check_unchanging(spec, f"peg.signer = {config.peg.signer}"))
    judged(lambda: signer_tls(config.peg))
    judged(lambda: check_governance(config.governance))
    judged.settle()
    if genesis is None:
        raise InvalidConfig(judged.problems)
    return ValidNode(
        config, genesis, authority_secret, jwt_secret, network_secret, account, peg_secret, second_jwt_secret,
        bootnodes,
    )  # fmt: skip


def genesis_of(spec: ChainSpec) -> Genesis:
    """Compute the genesis block of a chain. Raises `ConfigError` if the execution genesis is invalid."""
    payload = genesis_payload(spec.execution_genesis)
    supply = total_supply(spec.execution_genesis)
    if supply > MAX_WEI:
        raise ConfigError(
            f"execution genesis: the sum of the balances in alloc is {supply / 10**18:,.0f} BTC, more than the "
            f"{MAX_WEI // 10**18:,} BTC that can exist: lower them"
        )
    block = genesis_block(spec, payload)
    context = ChainContext(spec, block_hash(block))
    return Genesis(context, genesis_signed(context, block), genesis_state(context, payload))


def _check_places(config: AlysConfig) -> None:
    problems = [
        f"{key} = {address}: {reason}"
        for key, address in config.listeners.items()
        if (reason := check_address(address)) is not None
    ]
    if (reason := check_storage(config.storage)) is not None:
        problems.append(f'storage.path = "{config.storage.path}": {reason}')
    if problems:
        raise InvalidConfig(problems)


def _check_installed(config: AlysConfig) -> None:
    tracing.check_installed(config.tracing)
    if config.engine.mode == "embedded":
        from alysd import embedded  # not needed with a separate execution client

        embedded.check_installed()
    if config.network.address is not None and find_spec("libp2p") is None:
        raise ConfigError("network.address needs libp2p: install alysd with the extra alysd[network]")


def _authority_secret(config: AlysConfig) -> bytes | None:
    path = config.chain.authority_key_file
    if path is None:
        return None
    secret = read_key_file(path, kind="bls", known_to_all=config.development.keys_known_to_all).secret
    try:
        public_key(secret)
    except Malformed as error:
        raise ConfigError(f"{path}: not a BLS key: {error}") from None
    return secret


def _check_membership(config: AlysConfig, genesis: Genesis, secret: bytes) -> None:
    """Raise `ConfigError` unless the key is an authority's, which has a network if it is no quorum alone.

    On a chain whose federation can change, the key may be that of a later or a former member.
    """
    name, federation = genesis.context.spec.name, federation_at(genesis.state, genesis.context)
    key = public_key(secret)
    if federation.index_of(key) is None and not genesis.context.spec.governance_keys:
        raise ConfigError(
            f'chain.authority_key_file = "{config.chain.authority_key_file}": its public key {key.hex()[:16]}… is '
            f"none of the {len(federation.authorities)} authorities of the chain {name}: name another key file"
        )
    if (federation.quorum > 1 or federation.index_of(key) is None) and config.network.address is None:
        raise ConfigError(
            f"the chain {name} needs {federation.quorum} approvals per block: set network.address, and name the "
            "other authorities in network.peers, unless they are bootnodes of the chain"
        )


def _peg_secret(config: AlysConfig) -> bytes | None:
    path, passphrase_file = config.peg.key_file, config.peg.passphrase_file
    if path is None:
        return None
    passphrase = None if passphrase_file is None else partial(read_passphrase, passphrase_file)
    known = config.development.keys_known_to_all
    secret = read_key_file(path, kind="bitcoin", known_to_all=known, passphrase=passphrase).secret
    try:
        public_text("bitcoin", secret)
    except Malformed as error:
        raise ConfigError(f"{path}: not a Bitcoin key: {error}") from None
    return secret


def _check_peg_key(config: AlysConfig, genesis: Genesis, secret: bytes) -> None:
    """Raise `ConfigError` unless the key belongs to a member of the federation.

    On a chain whose federation can change, the key may be that of a later or a former member. The federation's
    signatures say whether it is one (`actors.peg_signatures`).
    """
    name, federation = genesis.context.spec.name, federation_at(genesis.state, genesis.context)
    key = x_only_key(secret)
    if key not in federation.bitcoin_keys and not genesis.context.spec.governance_keys:
        raise ConfigError(
            f'peg.key_file = "{config.peg.key_file}": its public key {key.hex()[:16]}… is none of the '
            f"{len(federation.bitcoin_keys)} Bitcoin keys of the chain {name}: name another key file"
        )


def check_unchanging(spec: ChainSpec, place: str) -> None:
    """Raise `ConfigError` for a chain whose federation can change: a separate signer cannot follow changes yet.

    `place` names what refers to the chain or to the signer.
    """
    if spec.governance_keys:
        raise ConfigError(
            f"{place}: the chain {spec.name} has governance_keys, so its federation can change, and a signer in "
            "another process cannot follow such changes yet: let the node sign, with peg.key_file"
        )


def signer_tls(peg: PegConfig) -> "SSLContext | None":
    """The certificates that the node shows to its signer and requires of it; None without a TLS address.

    Raises `ConfigError` for files that are no certificates.
    """
    if peg.signer_certificate is None or peg.signer_key is None or peg.signer_authority is None:
        return None
    import ssl

    from alysd.integrations.payment_link import TlsFiles

    files = TlsFiles(peg.signer_certificate, peg.signer_key, peg.signer_authority)
    return files.context(ssl.Purpose.SERVER_AUTH)


def check_governance(governance: GovernanceConfig) -> None:
    """Check the certificates for the governance, and that the programs for its stream are installed.

    Raises `ConfigError` for files that are no certificates, and without the extra `governance`.
    """
    certificate, key, authority = governance.certificate, governance.key, governance.authority
    if not governance.endpoints or certificate is None or key is None or authority is None:
        return
    missing = [name for name in ("grpclib", "google.protobuf", "trio_asyncio") if not _is_installed(name)]
    if missing:
        raise ConfigError(
            f"governance.endpoints needs {', '.join(missing)}: install alysd with the extra alysd[governance]"
        )
    import ssl

    from alysd.integrations.payment_link import TlsFiles

    TlsFiles(certificate, key, authority).context(ssl.Purpose.SERVER_AUTH)


def _is_installed(module: str) -> bool:
    """Whether a module can be imported, also one inside of a package that is missing."""
    try:
        return find_spec(module) is not None
    except ModuleNotFoundError:
        return False


def member_bitcoin_key(config: AlysConfig, genesis: Genesis, secret: bytes | None) -> XOnlyKey:
    """The Bitcoin key of the member whose authority key has this `secret`. Raises `ConfigError`."""
    federation = federation_at(genesis.state, genesis.context)
    index = None if secret is None else federation.index_of(public_key(secret))
    if index is None:
        raise ConfigError(f"peg.signer = {config.peg.signer}: only a member of the federation has a signer")
    return XOnlyKey(federation.bitcoin_keys[index])


def _jwt_secret(path: Path | None) -> bytes | None:
    if path is None:
        return None
    from alysd.integrations.execution.auth import read_jwt_secret  # not needed with the embedded engine

    return read_jwt_secret(path)


def _network_secret(config: AlysConfig) -> bytes | None:
    path = config.network.key_file or config.storage.network_key
    if config.network.address is None or (config.network.key_file is None and not path.exists()):
        return None
    secret = read_key_file(path, kind="network", known_to_all=config.development.keys_known_to_all).secret
    try:
        public_text("network", secret)
    except Malformed as error:
        raise ConfigError(f"{path}: not a network key: {error}") from None
    return secret


def _account(config: AlysConfig) -> EvmAddress | None:
    path = config.development.account_key_file
    if path is None:
        return None
    secret = read_key_file(path, known_to_all=True).secret
    try:
        return address_of_secret(secret)
    except ValueError:
        raise ConfigError(f'development.account_key_file = "{path}": the secret is not a secp256k1 key') from None
