"""The files of a development federation: every node accepts them, and they are made once."""

from pathlib import Path

import pytest

from alysd.commands.federation_files import check, open_federation
from alysd.config.chain_spec import load_chain_spec
from alysd.errors import ConfigError
from alysd.integrations.possession import x_only_key
from alysd.testing.config_files import load
from alysd.validation import ValidNode, validate_node


def validate(config: Path) -> ValidNode:
    """Make the checks of `alysd check`."""
    loaded = load(config)
    return validate_node(loaded, load_chain_spec(loaded.chain.spec))


def test_every_member_accepts_its_files_and_all_are_on_one_chain(tmp_path: Path) -> None:
    """The command would show four nodes that do not start."""
    members = open_federation(tmp_path / "new", 4)
    valid = [validate(member.config) for member in members]
    assert len({each.genesis.context.genesis for each in valid}) == 1
    (spec,) = {each.genesis.context.spec.name for each in valid}
    assert spec == "federation-of-4"
    ports = [port.port for each in valid for port in each.config.listeners.values()]
    assert len(set(ports)) == 12
    dialled = [port for member in members for port in member.dials.values()]
    assert len(set(dialled) | set(ports)) == 12 + 12, "each link has a port of its own"
    for index, each in enumerate(valid):
        assert each.config.network.address
        assert each.config.network.address.port == members[index].network
        assert {peer.port for peer in each.config.network.peers} == set(members[index].dials.values())
        assert set(members[index].dials) == {1, 2, 3, 4} - {index + 1}
        assert each.config.storage.path == (tmp_path / "new" / f"member-{index + 1}" / "data").absolute()


def test_a_federation_goes_on_with_its_files(tmp_path: Path) -> None:
    """A second start would make a chain of its own, or have other ports than those that a person has noted."""
    first = open_federation(tmp_path, 2)
    text = first[0].config.read_text()
    assert open_federation(tmp_path, 2) == first
    assert first[0].config.read_text() == text
    with pytest.raises(ConfigError, match="has a federation of 2 members: start it with --members 2"):
        open_federation(tmp_path, 3)


def test_members_that_reach_each_other_directly_are_refused(tmp_path: Path) -> None:
    """A partition of a federation that an earlier version has made would part nobody."""
    one, two = open_federation(tmp_path, 2)
    text = one.config.read_text()
    one.config.write_text(text.replace(f"tcp/{one.dials[2]}/", f"tcp/{two.network}/"))
    with pytest.raises(ConfigError, match="reach each other directly, as those of earlier versions did"):
        open_federation(tmp_path, 2)


def test_two_federations_of_different_size_are_different_chains(tmp_path: Path) -> None:
    """A transaction for one of them would be valid on the other."""
    one, two = (validate(open_federation(tmp_path / str(count), count)[0].config) for count in (1, 2))
    assert one.genesis.context.spec.chain_id != two.genesis.context.spec.chain_id
    assert one.genesis.context.genesis != two.genesis.context.genesis


def test_a_folder_with_something_else_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(ConfigError, match="is not empty: name another folder with --folder"):
        open_federation(tmp_path, 2)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


def test_a_configuration_that_no_node_accepts_is_said_at_once(tmp_path: Path) -> None:
    """A person would see four processes end, and have to look for the reason in four logs."""
    (member, _) = open_federation(tmp_path, 2)
    check(member)
    (tmp_path / "member-1/bls.key").write_text("nonsense")
    with pytest.raises(ConfigError, match="not a key file"):
        check(member)


def test_a_federation_with_a_bitcoin_node_has_a_peg_and_its_members_keys(tmp_path: Path) -> None:
    """Deposits would be credited, and nobody could sign a payment."""
    valid = [validate(member.config) for member in open_federation(tmp_path, 2, "http://u:p@127.0.0.1:18443")]
    assert {each.genesis.context.peg is not None for each in valid} == {True}
    keys = valid[0].genesis.context.spec.federation_bitcoin_keys
    assert [x_only_key(each.peg_secret or b"") for each in valid] == list(keys)
    assert [str(each.config.bitcoin.url) for each in valid] == ["http://127.0.0.1:18443"] * 2
