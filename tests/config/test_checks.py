"""Rules between several options, and between options and the chain."""

from contextlib import nullcontext
from pathlib import Path

import attrs
import pytest

from alysd.config.addresses import SignerAddress
from alysd.config.chain_spec import load_chain_spec
from alysd.config.checks import check_bootnodes, check_with_chain
from alysd.config.problems import InvalidConfig
from alysd.config.show import show_config
from alysd.testing.blocks import make_spec
from alysd.testing.config_files import CONF, folder_with, load, problems_of
from alysd.types.checkpoint import Checkpoint
from alysd.types.hashes import BlockHash
from alysd.types.health_limits import HealthLimits
from alysd.types.units import Height
from alysd.wire.multiaddress import parse_peer_address

PAYS = "mining.fee_recipient=0x2992504C5C8fe1995c84EA5e98aaB0A146bBd472"


def problems(path: Path, *overrides: str) -> list[str]:
    """The problems that loading finds with these options."""
    with pytest.raises(InvalidConfig) as caught:
        load(path, *overrides)
    return list(problems_of(caught.value))


def test_a_real_client_needs_its_addresses_and_its_secret(tmp_path: Path) -> None:
    """The node would start and never make a block."""
    found = problems(folder_with(tmp_path), "engine.mode=engine-api")
    assert [text.rpartition(" ")[2] for text in found] == [
        "engine.url",
        "engine.engine_url",
        "engine.jwt_secret_file",
    ]
    assert all(text.startswith("--set engine.mode: ") for text in found)


PEER = "/ip4/192.0.2.7/tcp/9333/p2p/16Uiu2HAm8ZGMjT2tREXHaUFoJQpfKos93LXhngv6s2oXjRe4YmQt"


SECOND = {
    "second_url": "http://127.0.0.1:2",
    "second_engine_url": "http://127.0.0.1:3",
    "second_jwt_secret_file": "{folder}/jwt.hex",
}
FIRST = ("engine.mode=engine-api", "engine.url=http://127.0.0.1:5", "engine.engine_url=http://127.0.0.1:6")


def second_client(folder: Path, **changed: str) -> list[str]:
    """The problems of a configuration with the options of a second client; an empty one is left out."""
    (folder / "jwt.hex").write_text("ab" * 32)
    options = {name: value.format(folder=folder) for name, value in {**SECOND, **changed}.items() if value}
    first = (*FIRST, f"engine.jwt_secret_file={folder}/jwt.hex")
    return problems(folder_with(folder), *first, *(f"engine.{name}={value}" for name, value in options.items()))


@pytest.mark.parametrize("missing", list(SECOND))
def test_a_second_execution_client_has_all_three_options(missing: str, tmp_path: Path) -> None:
    """The node would start without it, although its operator has named one."""
    (found,) = second_client(tmp_path, **{missing: ""})
    assert found.endswith(f"needs engine.{missing}: a second client has all three")


@pytest.mark.parametrize(("option", "same"), [("second_url", 5), ("second_engine_url", 6)])
def test_the_second_execution_client_is_another_one(option: str, same: int, tmp_path: Path) -> None:
    (found,) = second_client(tmp_path, **{option: f"http://127.0.0.1:{same}"})
    assert f"engine.{option} = http://127.0.0.1:{same} is that of the first client" in found


def test_the_embedded_engine_has_no_second_client(tmp_path: Path) -> None:
    (found,) = problems(folder_with(tmp_path), "engine.second_url=http://127.0.0.1:2")
    assert 'engine.second_url needs engine.mode = "engine-api"' in found


def test_peers_need_an_address_of_this_node(tmp_path: Path) -> None:
    """The node would start without a network, although its operator has named peers."""
    (found,) = problems(folder_with(tmp_path), f"network.peers={PEER}")
    assert "network.peers needs network.address" in found
    config = load(folder_with(tmp_path), f"network.peers={PEER}", "network.address=127.0.0.1:9333")
    assert [str(peer) for peer in config.network.peers] == [PEER]
    assert config.listeners["network.address"].port == 9333


def test_a_node_is_degraded_before_it_is_unhealthy(tmp_path: Path) -> None:
    """An operator who raises one of the two would never see the node degraded."""
    (found,) = problems(folder_with(tmp_path), "monitoring.degraded_slots=10")
    assert "monitoring.degraded_slots, but 10 is not more than 10" in found
    config = load(folder_with(tmp_path), "monitoring.degraded_slots=10", "monitoring.unhealthy_slots=11")
    assert config.monitoring.limits == HealthLimits(10, 11, 512, 0)


def test_a_node_has_a_bounded_number_of_peers(tmp_path: Path) -> None:
    """The peer host has open files for that many; it would fail again and again."""
    path, address = folder_with(tmp_path), "network.address=127.0.0.1:9333"
    assert len(load(path, address, f"network.peers={','.join([PEER] * 64)}").network.peers) == 64
    (found,) = problems(path, address, f"network.peers={','.join([PEER] * 65)}")
    assert "network.peers has 65 peers, at most 64" in found


@pytest.mark.parametrize(
    ("setting", "needed"),
    [
        ("cookie_file=.cookie", "url"),
        ("second_url=http://127.0.0.1:8332", "url"),
        ("second_cookie_file=.cookie", "second_url"),
    ],
)
def test_a_part_of_the_bitcoin_section_is_not_enough(setting: str, needed: str, tmp_path: Path) -> None:
    """The node would follow no Bitcoin node, although its operator has named one."""
    (found,) = problems(folder_with(tmp_path), f"bitcoin.{setting}")
    assert found.endswith(f"needs bitcoin.{needed}")


def test_a_cookie_may_be_written_later(tmp_path: Path) -> None:
    """The Bitcoin node may start after this node."""
    config = load(folder_with(tmp_path), "bitcoin.url=http://u:p@127.0.0.1:1", f"bitcoin.cookie_file={tmp_path}/c")
    assert config.bitcoin.cookie_file == tmp_path / "c"
    assert str(config.bitcoin.url) == "http://127.0.0.1:1"


def test_a_bitcoin_node_needs_a_chain_with_a_peg(tmp_path: Path) -> None:
    """The operator would wait for deposits that are never credited."""
    config = load(folder_with(tmp_path), "bitcoin.url=http://u:p@127.0.0.1:1")
    spec = load_chain_spec(config.chain.spec)
    with pytest.raises(InvalidConfig, match=r"bitcoin.url = http://127.0.0.1:1: the chain .* has no peg"):
        check_with_chain(config, spec)


def test_known_keys_are_only_for_a_node_that_is_a_whole_chain() -> None:
    """Everybody could spend the money of a chain that others use."""
    config = load(CONF / "dev.toml")
    spec = load_chain_spec(config.chain.spec)
    check_with_chain(config, spec)
    assert config.accounts_open
    assert not load(CONF / "dev.toml", "network.address=127.0.0.1:9333").accounts_open
    secret = load(CONF / "dev.toml", "development.keys_known_to_all=false")
    assert not attrs.evolve(config, engine=attrs.evolve(config.engine, mode="engine-api")).accounts_open
    assert not attrs.evolve(config, chain=attrs.evolve(config.chain, authority_key_file=None)).accounts_open
    shared = attrs.evolve(spec, authorities=spec.authorities * 2)
    for found, chain, words in (
        (secret, spec, "development.keys_known_to_all must be true"),
        (config, shared, "the chain alys-dev has 2 authorities"),
    ):
        with pytest.raises(InvalidConfig, match=words):
            check_with_chain(found, chain)


CHECKPOINT = f"1000:{'0a' * 31}ff"


def test_a_checkpoint_is_a_height_and_a_hash_as_the_rpc_shows_it(tmp_path: Path) -> None:
    (found,) = problems(folder_with(tmp_path), f"network.checkpoint={CHECKPOINT}")
    assert "network.checkpoint needs network.address" in found
    config = load(folder_with(tmp_path), f"network.checkpoint={CHECKPOINT}", "network.address=127.0.0.1:9333")
    checkpoint = config.network.checkpoint
    assert checkpoint == Checkpoint(Height(1000), BlockHash(b"\xff" + b"\x0a" * 31))
    assert str(checkpoint) == CHECKPOINT
    assert f'checkpoint = "{CHECKPOINT}"' in show_config(config)


@pytest.mark.parametrize("wrong", ["1000", "0a" * 32, "0:" + "0a" * 32, "-1:" + "0a" * 32, "5:0x" + "0a" * 31])
def test_what_is_no_checkpoint_is_refused(wrong: str, tmp_path: Path) -> None:
    (found,) = problems(folder_with(tmp_path), f"network.checkpoint={wrong}", "network.address=127.0.0.1:9333")
    assert "must be HEIGHT:HASH" in found


def test_a_real_client_with_all_of_it_is_right(tmp_path: Path) -> None:
    """The production configuration would be refused."""
    config = load(
        folder_with(tmp_path),
        "engine.mode=engine-api",
        "engine.url=http://127.0.0.1:8545",
        "engine.engine_url=http://127.0.0.1:8551",
        f"engine.jwt_secret_file={tmp_path}/jwt.hex",
    )
    assert config.engine.jwt_secret_file == tmp_path / "jwt.hex"


def test_two_servers_cannot_share_an_address(tmp_path: Path) -> None:
    """The second would fail at start, naming only itself."""
    (text,) = problems(folder_with(tmp_path), "api.ethereum_address=127.0.0.1:3000")
    assert text == (
        "--set api.ethereum_address: api.ethereum_address and api.address are both 127.0.0.1:3000: "
        "give each its own port"
    )
    (text,) = problems(folder_with(tmp_path), "api.operator_address=127.0.0.1:8545")
    assert "both 127.0.0.1:8545" in text


def test_an_address_that_is_not_served_may_be_anything(tmp_path: Path) -> None:
    """A node beside geth could not use port 8545's default twice in the file."""
    load(
        folder_with(tmp_path),
        "engine.mode=engine-api",
        "engine.url=http://127.0.0.1:8545",
        "engine.engine_url=http://127.0.0.1:8551",
        f"engine.jwt_secret_file={tmp_path}/jwt.hex",
        "api.address=127.0.0.1:8545",
    )


def test_a_follower_has_no_work_for_the_internal_miner(tmp_path: Path) -> None:
    """A core would run hot for nothing, or the miner fail for ever."""
    (problem,) = problems(folder_with(tmp_path), "mining.internal=true", PAYS, "chain.authority_key_file=")
    assert "mining.internal = true needs chain.authority_key_file" in problem


@pytest.mark.parametrize("host", ["0.0.0.0", "localhost"])  # noqa: S104  an address in a test
def test_servers_whose_addresses_overlap_are_refused(host: str, tmp_path: Path) -> None:
    """The second server would be told that another process has its port."""
    (problem,) = problems(folder_with(tmp_path), f"api.address={host}:8545")
    assert problem.endswith(
        f"api.ethereum_address and api.address (127.0.0.1:8545 and {host}:8545) overlap: give each its own port"
    )


def test_the_internal_miner_is_refused_where_it_would_never_find_anything(tmp_path: Path) -> None:
    """A core would run hot for nothing, and the chain halt all the same."""
    config = load(folder_with(tmp_path), "mining.internal=true", PAYS)
    spec = load_chain_spec(config.chain.spec)
    check_with_chain(config, spec)
    hard = attrs.evolve(spec, pow_limit=0x1D00FFFF, bits=0x1D00FFFF)
    with pytest.raises(InvalidConfig, match="use `alysd mine`"):
        check_with_chain(config, hard)
    check_with_chain(load(folder_with(tmp_path)), hard)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        (("peg.signer=unix:/s", "peg.key_file={key}"), "peg.signer and peg.key_file are both set"),
        (("peg.signer=tls://host:1",), "peg.signer = tls://host:1 needs peg.signer_certificate"),
        (
            ("peg.signer=unix:/s", "peg.signer_key={key}"),
            "peg.signer_key needs a TLS address, not peg.signer = unix:/s",
        ),
        (("peg.signer_authority={key}",), "peg.signer_authority needs peg.signer at a TLS address"),
        (("peg.signer=tcp://host:1",), 'must be "unix:" and an absolute path'),
        (("peg.signer=unix:relative",), 'must be "unix:" and an absolute path'),
        ((f"peg.signer=tls://{'x' * 64}.example:1",), 'must be "unix:" and an absolute path'),
        (("peg.signer=tls://a b:1",), 'must be "unix:" and an absolute path'),
        (("peg.signer=tls://host",), 'must be "unix:" and an absolute path'),
        (("peg.signer=tls://host:99999",), 'must be "unix:" and an absolute path'),
        (("peg.signer=tls://user@host:1/x",), 'must be "unix:" and an absolute path'),
        ((f"peg.signer=unix:/{'x' * 107}",), "has at most 107 bytes"),
    ],
)
def test_a_signer_in_another_process_is_named_in_one_way(
    settings: tuple[str, ...], words: str, tmp_path: Path
) -> None:
    """A signer over a network without certificates would sign for everyone who reaches it."""
    key = tmp_path / "some.key"
    key.write_text("x")
    found = problems(folder_with(tmp_path), *(setting.format(key=key) for setting in settings))
    assert words in found[0]


def test_a_signer_needs_a_member_with_a_bitcoin_node(tmp_path: Path) -> None:
    config = load(folder_with(tmp_path), "peg.signer=unix:/s")
    spec = load_chain_spec(config.chain.spec)
    with pytest.raises(InvalidConfig) as raised:
        check_with_chain(attrs.evolve(config, chain=attrs.evolve(config.chain, authority_key_file=None)), spec)
    first, second = raised.value.problems
    assert 'peg.signer = "unix:/s": the chain' in first
    assert "needs chain.authority_key_file, which says which member this is" in second
    assert 'signer = "unix:/s"' in show_config(config)
    assert str(SignerAddress(None, "::1", 5)) == "tls://[::1]:5"


@pytest.mark.parametrize(
    ("members", "bootnodes", "options", "refused"),
    [
        (4, 5, (), True),
        (4, 4, (), False),
        (4, 5, (f"network.peers={PEER}",), False),
        (1, 5, (), False),
    ],
    ids=["followers among them", "members only", "peers are named", "alone"],
)
def test_an_authority_does_not_trust_followers_like_members(
    tmp_path: Path, members: int, bootnodes: int, options: tuple[str, ...], refused: bool
) -> None:
    """Followers were published as bootnodes, and so had the rights of members at each member without `peers`."""
    peers, spec = (parse_peer_address(PEER),) * bootnodes, make_spec(members)
    config = load(folder_with(tmp_path), "network.address=127.0.0.1:9333", *options)
    assert config.chain.authority_key_file is not None
    with pytest.raises(InvalidConfig) if refused else nullcontext() as caught:
        check_bootnodes(config, peers, spec)
    if caught is not None:
        (found,) = problems_of(caught.value)
        assert "it has 5 bootnodes and 4 authorities, so some bootnodes are followers" in found
    follower = attrs.evolve(config, chain=attrs.evolve(config.chain, authority_key_file=None))
    check_bootnodes(follower, peers, spec)
