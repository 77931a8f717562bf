"""The files of a federation on one machine, whose keys everybody knows: for development only."""

import socket
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path

import attrs

ACCOUNT = "0x2992504C5C8fe1995c84EA5e98aaB0A146bBd472"
"""The account with a balance; its key is conf/dev-account.key."""

FEE_ADDRESS = "0x405C18B7D44EAF0d01F8f07Dc4B4375D663DB88e"
FIRST_CHAIN_ID = 121_300
"""The chain id is this number plus the number of members, so that no transaction is valid on two federations."""

PEG_IN_CONFIRMATIONS = 3
"""The confirmations of deposits, fewer than on a real chain, because a person mines each block by hand."""

PORTS_PER_MEMBER = 3
"""The number of ports at which a member listens. Its links need one more per other member, for forwarders."""


@attrs.frozen
class MemberFolder:
    """The files of one member. `url` is the address of its JSON-RPC and of its status page.

    Peers reach it at the port `network`. `dials` has the port at which it dials each other member, by its number.
    """

    number: int
    config: Path
    log: Path
    url: str
    network: int = 0
    dials: Mapping[int, int] = attrs.field(factory=dict[int, int])


def open_federation(folder: Path, members: int, bitcoin: str | None = None) -> tuple[MemberFolder, ...]:
    """Find the federation in `folder`, or make one in a folder that is new or empty.

    With `bitcoin`, the URL of a Bitcoin node on regtest, a new federation has a peg. Raises `ConfigError` if the
    folder has something else, or another number of members.
    """
    from alysd.errors import ConfigError

    found = sorted(folder.glob("member-*")) if folder.is_dir() else []
    try:
        if not found:
            if folder.exists() and any(folder.iterdir()):
                raise ConfigError(f"{folder} is not empty: name another folder with --folder")
            _make(folder, members, bitcoin)
        elif len(found) != members:
            raise ConfigError(
                f"{folder} has a federation of {len(found)} members: start it with --members {len(found)}, or "
                "name another folder with --folder"
            )
    except OSError as error:
        raise ConfigError(f"{error.filename or folder}: cannot be written: {error.strerror}") from None
    numbers = range(1, members + 1)
    ids = {_network_id(number): number for number in numbers}
    opened = tuple(_opened(folder / f"member-{number}", number, ids) for number in numbers)
    if any(port == opened[far - 1].network for member in opened for far, port in member.dials.items()):
        raise ConfigError(
            f"the members in {folder} reach each other directly, as those of earlier versions did: name another "
            "folder with --folder"
        )
    return opened


def _opened(folder: Path, number: int, ids: Mapping[str, int]) -> MemberFolder:
    from alysd.config.load import load_config

    path = folder / "alysd.toml"
    config = load_config(path, environment={}, overrides=())
    network = 0 if config.network.address is None else config.network.address.port
    dials = {ids[peer.peer]: peer.port for peer in config.network.peers if peer.peer in ids}
    return MemberFolder(number, path, folder / "alysd.log", config.api.address.url, network, dials)


def _network_id(member: int) -> str:
    """The id of a member in the network."""
    from alysd.integrations.key_kinds import public_text

    return public_text("network", known_secret("network", member))


def check(member: MemberFolder) -> None:
    """Check a member's configuration as `alysd run` does: it says, for example, which package is missing.

    Raises `UserError`.
    """
    from alysd.config.chain_spec import load_chain_spec
    from alysd.config.load import load_config
    from alysd.validation import validate_node

    config = load_config(member.config, environment={}, overrides=())
    validate_node(config, load_chain_spec(config.chain.spec))


def known_secret(kind: str, member: int) -> bytes:
    """The secret of a member's key. Everybody can compute it."""
    from alysd.types.hashes import sha256

    secret = sha256(f"alysd development federation: the {kind} key of member {member}".encode())
    return bytes([secret[0] & 0x3F]) + secret[1:]  # below the orders of both groups


def _make(folder: Path, members: int, bitcoin: str | None) -> None:
    """Write the keys and the configuration of each member, and the chain of all."""
    from alysd.config.shipped import shipped_folder
    from alysd.integrations.bls import public_key
    from alysd.integrations.key_kinds import public_text
    from alysd.integrations.new_key_file import write_key_file
    from alysd.integrations.node_data import GUARD_FILE, RECORD_FILE
    from alysd.integrations.payment_record import PaymentRecord
    from alysd.integrations.possession import x_only_key
    from alysd.integrations.signing_guard import write_first_guard

    numbers = range(1, members + 1)
    for name, text in _chain_files(members, peg=bitcoin is not None).items():
        _write(folder / "chain" / name, text)
    _write(folder / "chain/account.key", (shipped_folder() / "dev-account.key").read_text())
    each = PORTS_PER_MEMBER + members - 1
    ports = _free_ports(each * members)
    for number in numbers:
        home, own = folder / f"member-{number}", ports[each * (number - 1) :][:each]
        others = [other for other in numbers if other != number]
        peers = [
            f"/ip4/127.0.0.1/tcp/{port}/p2p/{_network_id(other)}"
            for other, port in zip(others, own[PORTS_PER_MEMBER:], strict=True)
        ]
        text = _config(home, own[:PORTS_PER_MEMBER], peers)
        _write(home / "alysd.toml", text if bitcoin is None else text + _PEG.format(url=bitcoin))
        for kind in ("bls", "network", "bitcoin") if bitcoin is not None else ("bls", "network"):
            secret = known_secret(kind, number)
            write_key_file(home / f"{kind}.key", kind, secret, public_text(kind, secret))
        (home / "data").mkdir(mode=0o700)
        write_first_guard(home / "data" / GUARD_FILE, public_key(known_secret("bls", number)))
        if bitcoin is not None:
            PaymentRecord.create(home / "data" / RECORD_FILE, x_only_key(known_secret("bitcoin", number)))


def _chain_files(members: int, *, peg: bool) -> dict[str, str]:
    """The chain specification and the execution genesis, by name."""
    import json

    from alysd.config.genesis import ShortGenesis, chain_toml, execution_genesis
    from alysd.integrations.bls import prove_possession, public_key
    from alysd.integrations.possession import prove_bitcoin_key, x_only_key
    from alysd.types.chain_spec import ChainParameters
    from alysd.types.units import Sat, Wei
    from alysd.wire.evm_address import parse_address

    chain_id = FIRST_CHAIN_ID + members
    secrets = [(known_secret("bls", number), known_secret("bitcoin", number)) for number in range(1, members + 1)]
    keys = [public_key(bls) for bls, _ in secrets]
    parameters = ChainParameters(
        name=f"federation-of-{members}",
        chain_id=chain_id,
        authorities=tuple(keys),
        authority_proofs=tuple(prove_possession(bls) for bls, _ in secrets),
        federation_fee_addresses=(parse_address(FEE_ADDRESS),),
        federation_bitcoin_keys=tuple(x_only_key(bitcoin) for _, bitcoin in secrets),
        federation_bitcoin_proofs=tuple(
            prove_bitcoin_key(bitcoin, chain_id, key) for (_, bitcoin), key in zip(secrets, keys, strict=True)
        ),
        bitcoin_network="regtest",
        peg_in_minimum=Sat(100_000),
        peg_out_minimum=Sat(100_000),
        bits=0x207FFFFF,
        pow_limit=0x207FFFFF,
        peg_in_confirmations=PEG_IN_CONFIRMATIONS,
        peg_out_max_fee_rate=50_000,  # so that the minimums are enough for 20 members
        auxpow_spacing_slots=10,
    )
    balances = {} if peg else {parse_address(ACCOUNT): Wei(1000 * 10**18)}  # with a peg, money comes from Bitcoin
    genesis = execution_genesis(ShortGenesis(parameters, balances, peg=peg))
    return {
        "chain.toml": chain_toml(parameters, "chain.genesis.json"),
        "chain.genesis.json": json.dumps(genesis, indent=2) + "\n",
    }


def _config(home: Path, ports: list[int], peers: list[str]) -> str:
    """The configuration of the member with this folder."""
    api, ethereum, network = ports
    lines = "".join(f'  "{peer}",\n' for peer in peers)
    return f"""\
# A member of a development federation: the keys are known to all. `alysd federation` made this file.

[chain]
spec = "../chain/chain.toml"
authority_key_file = "bls.key"

[engine]
mode = "embedded"

[api]
address = "127.0.0.1:{api}"
ethereum_address = "127.0.0.1:{ethereum}"

[network]
address = "127.0.0.1:{network}"
key_file = "network.key"
# Each port is that of a link to the other member, which `alysd federation` runs.
peers = [
{lines}]

[storage]
path = "{home.absolute() / "data"}"

[mining]
internal = true
fee_recipient = "{FEE_ADDRESS}"

[logging]
format = "json"

[development]
keys_known_to_all = true
account_key_file = "../chain/account.key"
"""


_PEG = """
[bitcoin]
url = "{url}"

[peg]
key_file = "bitcoin.key"
"""
"""The part of a member's configuration for the peg."""


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def _free_ports(count: int) -> list[int]:
    """Different loopback ports that are free at this moment."""
    with ExitStack() as stack:
        return list(_bound(stack, count))


def _bound(stack: ExitStack, count: int) -> Iterator[int]:
    for _ in range(count):
        yield stack.enter_context(socket.create_server(("127.0.0.1", 0))).getsockname()[1]
