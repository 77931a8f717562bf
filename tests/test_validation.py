"""`check` and `run` accept the same configurations, and refuse others with the same words."""

import argparse
import json
import random
import re
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import attrs
import pytest
import trio
from hypothesis import given, settings
from hypothesis import strategies as st

import alysd.validation
from alysd.cli import main
from alysd.commands.configuration import add_configuration_arguments, decide_configuration
from alysd.config.chain_spec import ChainFiles, load_chain_spec
from alysd.config.config_source import ConfigSource
from alysd.config.model import AlysConfig
from alysd.consensus.payload import miner_share
from alysd.errors import ConfigError
from alysd.integrations.bls import public_key
from alysd.integrations.clock import SystemClock
from alysd.integrations.data_folder import claim
from alysd.integrations.key_kinds import public_text
from alysd.integrations.new_key_file import write_key_file
from alysd.integrations.signing_guard import write_first_guard
from alysd.resources import peer_choice
from alysd.testing.chain import authority_secret, bitcoin_secret, member_keys
from alysd.testing.config_files import CONF, load
from alysd.timing import Timing
from alysd.types.chain_spec import ChainSpec
from alysd.types.configuration import Reload
from alysd.types.hashes import BlockHash, displayed, sha256
from alysd.types.peers import PeerAddress
from alysd.types.units import MAX_WEI
from alysd.validation import RunningChain, genesis_of, validate_node
from alysd.wire.multiaddress import parse_peer_address
from alysd.workflows.config_reload import ConfigMemory, ConfigReload
from tests.integrations.libp2p import needs_libp2p

SPEC = load_chain_spec(CONF / "chains" / "dev.toml")


def test_the_development_chain_keeps_its_name() -> None:
    """Every data folder of the development chain would be refused as another chain's."""
    assert (
        displayed(genesis_of(SPEC).context.genesis)
        == "a3a78ceeca2da228d1efb0e76f9a8b61f1e826808f5395711ef17ff065cc53b2"
    )


@pytest.mark.parametrize(
    "other",
    [
        attrs.evolve(SPEC, bits=0x207FFFFE),
        attrs.evolve(SPEC, chain_id=121213),
        attrs.evolve(SPEC, execution_genesis={**SPEC.execution_genesis, "gasLimit": "0x1c9c381"}),
    ],
)
def test_another_beginning_is_another_chain(other: object) -> None:
    """Two chains would share a data folder, and approvals of one count on the other."""
    assert isinstance(other, type(SPEC))
    assert genesis_of(other).context.genesis != genesis_of(SPEC).context.genesis


def test_the_parent_of_the_genesis_block_is_the_hash_that_the_page_defines() -> None:
    """Nobody else could compute it from the files (docs/protocol.md, "Specification hash")."""
    values = tomllib.loads((CONF / "chains/dev.toml").read_text())
    values["execution_genesis"] = json.loads((CONF / "chains/dev.genesis.json").read_text())["config"]
    text = json.dumps(values, sort_keys=True, separators=(",", ":"))
    assert genesis_of(SPEC).block.block.parent_hash == sha256(text.encode())


DEFAULTS = ("slot_seconds = 2", "bitcoin_start_height = 0", "peg_in_confirmations = 6", "max_withdrawals = 16")


@given(order=st.randoms(use_true_random=False), upper=st.booleans(), left_out=st.sampled_from(DEFAULTS))
@settings(max_examples=20, deadline=None)
def test_the_form_of_the_files_has_no_effect_on_the_genesis_hash(
    tmp_path_factory: pytest.TempPathFactory, order: random.Random, upper: bool, left_out: str
) -> None:
    """Founders who write the same rules in another order would have different chains."""
    folder = tmp_path_factory.mktemp("chain")
    text = (CONF / "chains/dev.toml").read_text()
    assert f"\n{left_out}\n" in text
    values = tomllib.loads(text.replace(f"\n{left_out}\n", "\n"))
    genesis = json.loads((CONF / "chains/dev.genesis.json").read_text())
    (folder / "dev.genesis.json").write_text(json.dumps(shuffled(genesis, order), indent=order.randrange(8)))
    lines = ["# another comment", *(f"{key} = {json.dumps(value)}" for key, value in values.items())]
    if upper:
        lines = [re.sub("0x([0-9a-f]{48,})", lambda found: f"0x{found[1].upper()}", line) for line in lines]
    order.shuffle(lines)
    (folder / "other.toml").write_text("\n".join(lines))
    spec = load_chain_spec(folder / "other.toml")
    assert genesis_of(spec).context.genesis == genesis_of(SPEC).context.genesis


def shuffled(value: Any, order: random.Random) -> Any:
    """The JSON value with the keys of all objects in another order."""
    if not isinstance(value, dict):
        return value
    keys = list(cast("dict[str, Any]", value))
    order.shuffle(keys)
    return {key: shuffled(value[key], order) for key in keys}


def test_a_genesis_that_is_none_is_a_configuration_error() -> None:
    """A person would see a stack trace."""
    with pytest.raises(ConfigError):
        genesis_of(attrs.evolve(SPEC, execution_genesis={**SPEC.execution_genesis, "gasLimit": "much"}))


def with_balances(*balances: str) -> ChainSpec:
    """The development chain with accounts of these balances beside its own 1,000 BTC."""
    more = {f"0x{number:040x}": {"balance": balance} for number, balance in enumerate(balances, 1)}
    alloc = {**SPEC.execution_genesis["alloc"], **more}
    return attrs.evolve(SPEC, execution_genesis={**SPEC.execution_genesis, "alloc": alloc})


@pytest.mark.parametrize("balances", [("20999000000000000000000001",), (hex(2**255),), (hex(2**84), hex(2**84))])
def test_a_genesis_with_more_than_all_bitcoin_is_refused(balances: tuple[str, ...]) -> None:
    """Fees of more than 2.3e28 wei do not fit into a withdrawal: the block that pays them could not be encoded."""
    with pytest.raises(ConfigError, match="BTC, more than the 21,000,000 BTC that can exist"):
        genesis_of(with_balances(*balances))


def test_a_genesis_with_all_bitcoin_is_right() -> None:
    """The bound holds with any sum of fees below it: the miner's share is encoded in 64 bits."""
    assert genesis_of(with_balances("20989000000000000000000000"))
    assert miner_share(MAX_WEI) < 2**64


def replaced(folder: Path, old: str, new: str) -> str:
    """The development chain with one text of its two files replaced, as an option."""
    for name in ("dev.toml", "dev.genesis.json"):
        (folder / name).write_text((CONF / "chains" / name).read_text().replace(old, new))
    return f"chain.spec={folder / 'dev.toml'}"


def key_file(folder: Path, text: str, mode: int = 0o600) -> Path:
    """A key file with this content."""
    path = folder / "a.key"
    path.write_text(text)
    path.chmod(mode)
    return path


def authority_key(folder: Path, text: str, mode: int = 0o600) -> tuple[str, ...]:
    """Options that name a key file with this content."""
    path = key_file(folder, text, mode)
    return f"chain.authority_key_file={path}", "development.keys_known_to_all=false"


def jwt(folder: Path, text: str) -> tuple[str, ...]:
    """Options of a node beside a client with this shared secret."""
    (folder / "jwt").write_text(text)
    urls = "engine.url=http://127.0.0.1:2", "engine.engine_url=http://127.0.0.1:1"
    return ("engine.mode=engine-api", *urls, f"engine.jwt_secret_file={folder / 'jwt'}")


AUTHORITY = "0x" + SPEC.authorities[0].hex()
SECOND = "0x" + public_key(authority_secret(1)).hex()


def two_authorities(folder: Path) -> tuple[str, ...]:
    """The option of a chain with a second member, which has proved its keys."""
    path = folder / "dev.toml"
    replaced(folder, "", "")
    second = member_keys(authority_secret(1), bitcoin_secret(1), SPEC.chain_id)
    both = {
        SPEC.authorities[0]: second.authority,
        SPEC.authority_proofs[0]: second.authority_proof,
        SPEC.federation_bitcoin_keys[0]: second.bitcoin_key,
        SPEC.federation_bitcoin_proofs[0]: second.bitcoin_proof,
    }
    for first, other in both.items():
        path.write_text(path.read_text().replace(f'"0x{first.hex()}"', f'"0x{first.hex()}", "0x{other.hex()}"'))
    return (f"chain.spec={path}",)


def networked_member(folder: Path) -> tuple[str, ...]:
    """Options of a member of two, with a network."""
    return (*two_authorities(folder), "network.address=127.0.0.1:9333", "development.accounts=false")


def followers_as_bootnodes(folder: Path) -> tuple[str, ...]:
    options = networked_member(folder)
    peers = [f"/ip4/192.0.2.7/tcp/9333/p2p/{public_text('network', bytes([number] * 32))}" for number in (1, 2, 3)]
    with (folder / "dev.toml").open("a") as file:
        file.write(f"\nbootnodes = {json.dumps(peers)}\n")
    return options


def governed(folder: Path) -> tuple[str, ...]:
    """A chain of one member whose federation can change."""
    key = SPEC.federation_bitcoin_keys[0].hex()
    option = replaced(folder, "governance_threshold = 0", "governance_threshold = 1")
    text = (folder / "dev.toml").read_text()
    (folder / "dev.toml").write_text(text.replace("governance_keys = []", f'governance_keys = ["0x{key}"]'))
    return (option, "network.address=127.0.0.1:9333", "development.accounts=false")


def lost_database(folder: Path) -> tuple[str, ...]:
    (folder / "data").mkdir()
    claim(folder / "data", SPEC.name, genesis_of(SPEC).context.genesis)
    return ()


def guard_of_another_key(folder: Path) -> tuple[str, ...]:
    (folder / "data").mkdir()
    write_first_guard(folder / "data" / "signing-guard", public_key(authority_secret(1)))
    return ()


def file_as_data_folder(folder: Path) -> tuple[str, ...]:
    (folder / "data").write_text("")
    return ()


def data_of_another_chain(folder: Path) -> tuple[str, ...]:
    (folder / "data").mkdir()
    claim(folder / "data", "other", BlockHash(b"\x07" * 32))
    return ()


def file_as_control_socket(folder: Path) -> tuple[str, ...]:
    (folder / "data" / "control.sock").mkdir(parents=True)
    return ()


WRONG: dict[str, tuple[Callable[[Path], tuple[str, ...]], str]] = {
    "two authorities": (two_authorities, "needs 2 approvals per block"),
    "a member without the secret of its key": (
        lambda folder: (replaced(folder, AUTHORITY, SECOND),),
        "authority_proofs[0] of the chain alys-dev: does not prove",
    ),
    "a proof for another chain": (
        lambda folder: (replaced(folder, "121212", "121213"),),
        "federation_bitcoin_proofs[0] of the chain alys-dev: does not prove",
    ),
    "an authority that is no point": (
        lambda folder: (replaced(folder, AUTHORITY, "0x9f" + "00" * 47),),
        "authorities[0] of the chain alys-dev: 9f00",
    ),
    "a target out of reach": (
        lambda folder: (replaced(folder, "0x207fffff", "0x1d00ffff"),),
        "mining.internal = true: the target of chain alys-dev",
    ),
    "a genesis that cannot be computed": (
        lambda folder: (replaced(folder, '"0x3b9aca00"', '"much"'),),
        "execution genesis: baseFeePerGas",
    ),
    "another's key": (lambda folder: authority_key(folder, "11" * 32), "is none of the 1 authorities"),
    "a key out of range": (lambda folder: authority_key(folder, "00" * 32), "not a BLS key"),
    "a key that others may read": (
        lambda folder: authority_key(folder, "11" * 32, 0o644), "the secret key is accessible to other users",
    ),
    "a file without key": (lambda folder: authority_key(folder, "nonsense"), "not a key file"),
    "an account's file without key": (
        lambda folder: (f"development.account_key_file={key_file(folder, 'nonsense')}",), "not a key file",
    ),
    "an account's key out of range": (
        lambda folder: (f"development.account_key_file={key_file(folder, '00' * 32)}",), "not a secp256k1 key",
    ),
    "two servers on one port": (lambda _: ("api.address=0.0.0.0:8545",), "overlap: give each its own port"),
    "another machine's address": (lambda _: ("api.address=192.0.2.1:3000",), "name an address of this machine"),
    "a data folder that is a file": (file_as_data_folder, "cannot be used: Not a directory"),
    "a data folder of another chain": (data_of_another_chain, "belongs to chain other"),
    "a file in place of the control socket": (file_as_control_socket, "control.sock is not a socket"),
    "a follower with an internal miner": (
        lambda _: ("chain.authority_key_file=",), "mining.internal = true needs chain.authority_key_file",
    ),
    "a short shared secret": (lambda folder: jwt(folder, "short"), "JWT secret"),
    "a member without its guard": (networked_member, "the signing guard is missing"),
    "a member that can lose its seat, without its guard": (governed, "the signing guard is missing"),
    "followers that would be trusted": (followers_as_bootnodes, "it has 3 bootnodes and 2 authorities"),
    "a data folder without its database": (lost_database, "the database is missing"),
    "a guard of another key": (guard_of_another_key, "belongs to the key"),
    "a Bitcoin node on a chain without a peg": (
        lambda _: ("bitcoin.url=http://127.0.0.1:1",), "the chain alys-dev has no peg",
    ),
    "a URL that no client takes": (lambda _: ("tracing.endpoint=http://300.0.0.1:1",), "must be a URL such as"),
    "traces without their extra": (lambda _: ("tracing.console=true",), "with the extra alysd[traces]"),
}  # fmt: skip
"""Options over those of the development node, and words of the problem."""


@attrs.frozen
class Well:
    """A node that is well."""

    def failure(self, children: frozenset[str], since: float) -> str:
        return ""

    async def unhealthy_reason(self) -> str:
        await trio.lowlevel.checkpoint()
        return ""


async def reloaded(
    started: AlysConfig, spec: ChainSpec, *words: str, bootnodes: tuple[PeerAddress, ...] = ()
) -> Reload:
    """Reload the development configuration with the command line `words` in a node that runs with `started`."""
    parser = argparse.ArgumentParser()
    add_configuration_arguments(parser)
    args = parser.parse_args(["--config", str(CONF / "dev.toml"), *words])
    memory, chain = ConfigMemory(started), RunningChain(ChainFiles(spec, bootnodes))
    source = ConfigSource(lambda: decide_configuration(args).config, None, chain.check)
    done = await ConfigReload(memory, source, [], Well(), SystemClock(), Timing(60)).run("test")
    assert done.outcome == "applied" or memory.in_force == started
    return done


def test_files_of_another_chain_are_not_applied(tmp_path: Path) -> None:
    """The file for another chain named other peers: a reload let the node of the first chain leave its own."""
    options = (
        replaced(tmp_path, '"alys-dev"', '"other"'),
        f"storage.path={tmp_path / 'data'}",
        "logging.level=debug",
    )
    words = [word for option in options for word in ("--set", option)]
    assert main(["check", "--config", str(CONF / "dev.toml"), *words]) == 0
    done = trio.run(reloaded, load(CONF / "dev.toml"), SPEC, *words)
    assert done.outcome == "refused"
    assert "the files are those of a node of another chain, so none of their options is applied" in done.reason
    moved = (replaced(tmp_path, "", ""), "logging.level=debug")
    done = trio.run(reloaded, load(CONF / "dev.toml"), SPEC, *[word for one in moved for word in ("--set", one)])
    assert ([one.key for one in done.applied], [one.key for one in done.waiting]) == (
        ["logging.level"],
        ["chain.spec"],
    ), "another file of the same chain changes nothing that matters"


def test_live_options_are_judged_with_the_chain_in_force(tmp_path: Path) -> None:
    """An authority without `peers` would trust the followers among the bootnodes like members."""
    bootnodes = tuple(
        parse_peer_address(f"/ip4/192.0.2.7/tcp/9333/p2p/{public_text('network', bytes([number] * 32))}")
        for number in (1, 2, 3)
    )
    spec = attrs.evolve(SPEC, authorities=(*SPEC.authorities, bytes(48)))
    started = load(CONF / "dev.toml", "network.address=127.0.0.1:9333", f"network.peers={bootnodes[0]}")
    joined = attrs.evolve(started, network=attrs.evolve(started.network, peers=()))
    with pytest.raises(ConfigError, match="it has 3 bootnodes and 2 authorities"):
        RunningChain(ChainFiles(spec, bootnodes)).check(joined, joined)


@pytest.mark.parametrize("wrong", WRONG)
def test_check_and_run_refuse_the_same(
    wrong: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A deployment that `check` approved would fail when the service starts."""
    monkeypatch.setitem(sys.modules, "alysd.integrations.open_telemetry", None)
    options, words = WRONG[wrong]
    data = tmp_path / "data"
    sets = [word for option in (*options(tmp_path), f"storage.path={data}") for word in ("--set", option)]
    said: list[str] = []
    for command in ("check", "run"):
        assert main([command, "--config", str(CONF / "dev.toml"), *sets]) == 2
        said.append(capsys.readouterr().err)
    assert said[0] == said[1]
    assert words in said[0]
    reload = trio.run(reloaded, load(CONF / "dev.toml"), SPEC, *sets)
    assert (reload.outcome, reload.changes) == ("refused", ())
    assert words in reload.reason
    assert all(len(line) <= 300 + len(str(tmp_path)) for line in said[0].splitlines())
    assert not (data / "lock").exists(), "nothing was started"


def test_every_problem_is_said_at_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A person would correct one after the other, with a start for each."""
    options = (replaced(tmp_path, "0x207fffff", "0x1d00ffff"), *authority_key(tmp_path, "nonsense"))
    options = (*options, "development.accounts=false")
    sets = [word for option in options for word in ("--set", option)]
    assert main(["check", "--config", str(CONF / "dev.toml"), *sets]) == 2
    assert capsys.readouterr().err.count("alysd: ") == 2


def test_what_was_loaded_is_handed_on() -> None:
    """The node would read the files again, and might find others."""
    valid = validate_node(load(CONF / "dev.toml"), SPEC)
    assert valid.authority_secret is not None
    assert public_key(valid.authority_secret) == SPEC.authorities[0]
    assert valid.account is not None
    assert valid.jwt_secret is None
    assert valid.genesis.state.hash == valid.genesis.block.hash == valid.genesis.context.genesis
    assert valid.authority_secret.hex() not in repr(valid)


def networked(folder: Path, *overrides: str) -> AlysConfig:
    """The development node with a network, and its data in `folder`."""
    return load(CONF / "dev.toml", f"storage.path={folder / 'data'}", "network.address=127.0.0.1:9333", *overrides)


def test_a_network_needs_its_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The process of the peer host would fail again and again, and nobody would see why."""

    def not_installed(name: str) -> None:
        assert name == "libp2p"

    with monkeypatch.context() as patch:
        patch.setattr(alysd.validation, "find_spec", not_installed)
        with pytest.raises(ConfigError, match=r"install alysd with the extra alysd\[network\]"):
            validate_node(networked(tmp_path), SPEC)
        assert validate_node(load(CONF / "dev.toml", f"storage.path={tmp_path / 'data'}"), SPEC)


@needs_libp2p
def test_the_network_key_is_checked(tmp_path: Path) -> None:
    """A key of another kind would be published, or the node would be its own peer."""
    wrong, right = tmp_path / "bls.key", tmp_path / "right.key"
    write_key_file(wrong, "bls", bytes([7] * 32), "x")
    with pytest.raises(
        ConfigError, match="this is a key of the kind bls, but a key of the kind network is required"
    ):
        validate_node(networked(tmp_path, f"network.key_file={wrong}"), SPEC)
    write_key_file(tmp_path / "zero.key", "network", bytes(32), "x")
    with pytest.raises(ConfigError, match="not a network key: the secret must be"):
        validate_node(networked(tmp_path, f"network.key_file={tmp_path / 'zero.key'}"), SPEC)
    own = public_text("network", bytes([7] * 32))
    write_key_file(right, "network", bytes([7] * 32), own)
    node = validate_node(networked(tmp_path, f"network.key_file={right}"), SPEC)
    assert node.network_secret == bytes([7] * 32)
    other = public_text("network", bytes([8] * 32))
    peers = ",".join(f"/ip4/192.0.2.7/tcp/9333/p2p/{peer}" for peer in (own, other))
    node = validate_node(networked(tmp_path, f"network.key_file={right}", f"network.peers={peers}"), SPEC)
    found = peer_choice(node)
    assert found is not None
    assert [peer.peer for peer in found.host.value.peers] == [other], "one list of peers serves all members"


@needs_libp2p
def test_a_member_of_many_needs_the_network(tmp_path: Path) -> None:
    """Alone, it would approve and never reach a quorum."""
    secret = authority_secret(1)
    second = member_keys(secret, bitcoin_secret(1), SPEC.chain_id)
    spec = attrs.evolve(
        SPEC,
        authorities=(*SPEC.authorities, second.authority),
        authority_proofs=(*SPEC.authority_proofs, second.authority_proof),
        federation_bitcoin_keys=(*SPEC.federation_bitcoin_keys, second.bitcoin_key),
        federation_bitcoin_proofs=(*SPEC.federation_bitcoin_proofs, second.bitcoin_proof),
    )
    write_key_file(tmp_path / "member.key", "bls", secret, "x")
    key = f"chain.authority_key_file={tmp_path / 'member.key'}"
    member = (key, "mining.internal=false", "development.accounts=false")
    alone = load(CONF / "dev.toml", f"storage.path={tmp_path / 'data'}", *member)
    with pytest.raises(ConfigError, match="needs 2 approvals per block: set network.address"):
        validate_node(alone, spec)
    assert validate_node(networked(tmp_path, *member), spec).authority_secret == secret
