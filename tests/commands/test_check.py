"""`alysd check`."""

import re
import tomllib
from pathlib import Path

import pytest

from alysd.cli import main
from alysd.integrations.key_kinds import public_text
from alysd.testing.config_files import CONF, folder_with
from tests.integrations.libp2p import needs_libp2p


def test_a_right_configuration_is_said_with_the_genesis_hash(capsys: pytest.CaptureFixture[str]) -> None:
    """No output could mean success or failure, and founders could not compare their chains."""
    assert main(["check", "--config", str(CONF / "dev.toml")]) == 0
    first, second = capsys.readouterr().out.splitlines()
    assert first == "the configuration is valid: chain alys-dev, chain id 121212, 1 authority, engine embedded"
    assert re.fullmatch("genesis [0-9a-f]{64}", second)


def test_show_prints_the_merged_result(capsys: pytest.CaptureFixture[str]) -> None:
    """An operator could not see what their layers come to."""
    assert main(["check", "--config", str(CONF / "dev.toml"), "--set", "logging.level=debug", "--show"]) == 0
    shown = tomllib.loads(capsys.readouterr().out)
    assert shown["logging"]["level"] == "debug"
    assert shown["chain"]["spec"] == str(CONF / "chains" / "dev.toml")


@needs_libp2p
def test_a_node_that_names_no_peers_has_those_of_its_chain(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A newcomer with the two files of a chain would find nobody, or a node without a network would get one."""
    one, other = (
        f"/ip4/192.0.2.{number}/tcp/9333/p2p/{public_text('network', bytes([number] * 32))}" for number in (1, 2)
    )
    chains = CONF / "chains"
    (tmp_path / "dev.genesis.json").write_text((chains / "dev.genesis.json").read_text())
    (tmp_path / "dev.toml").write_text(f'{(chains / "dev.toml").read_text()}bootnodes = ["{one}"]\n')
    command = ["check", "--show", "--config", str(CONF / "dev.toml"), "--set", f"chain.spec={tmp_path}/dev.toml"]
    address = ["--set", "network.address=127.0.0.1:9333"]
    for options, peers in (([], []), (address, [one]), ([*address, "--set", f"network.peers={other}"], [other])):
        assert main([*command, *options]) == 0
        assert tomllib.loads(capsys.readouterr().out)["network"].get("peers", []) == peers


def test_what_is_wrong_is_said_and_ends_with_2(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A deployment would go on with it."""
    path = folder_with(tmp_path, "[chain]\nspec = 'none.toml'\n")
    assert main(["check", "--config", str(path)]) == 2
    assert capsys.readouterr().err == (f'alysd: {path}:2: chain.spec = "none.toml": there is no such file\n')


def test_a_configuration_without_authority_key_is_a_followers(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """An operator would take a node that forgot its key for an authority."""
    path = tmp_path / "follower.toml"
    path.write_text(f"[chain]\nspec = '{CONF}/chains/dev.toml'\n")
    assert main(["check", "--config", str(path)]) == 0
    assert "1 authority, follower, engine embedded" in capsys.readouterr().out


def test_a_node_beside_a_client_is_checked_without_asking_it(capsys: pytest.CaptureFixture[str]) -> None:
    """`check` would need the whole deployment to run."""
    assert main(["check", "--config", str(CONF / "regtest.toml")]) == 0
    assert "engine engine-api" in capsys.readouterr().out


def test_what_the_environment_warns_of_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    """An operator would learn it from the log of a node that runs already."""
    assert main(["check", "--config", str(CONF / "dev.toml"), "--set", "node.environment=staging"]) == 0
    lines = capsys.readouterr().out.splitlines()[2:]
    assert [line.partition(" in staging: ")[0] for line in lines] == [
        "warning: development.keys_known_to_all",
        "warning: development.accounts",
        "warning: development.account_key_file",
        "warning: engine.mode",
        "warning: mining.internal",
    ]
