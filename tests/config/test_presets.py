"""Profiles and environments: their defaults, what overrides them, and what production refuses."""

from pathlib import Path

import attrs
import pytest

from alysd.config.addresses import HttpUrl, ListenAddress
from alysd.config.chain_sections import ChainConfig, EngineConfig, MiningConfig
from alysd.config.connection_sections import ApiConfig, BitcoinConfig, NetworkConfig, PegConfig
from alysd.config.load import load_layers
from alysd.config.model import AlysConfig, all_options
from alysd.config.operation_sections import DevelopmentConfig, NodeConfig
from alysd.config.origins import show_origins
from alysd.config.presets import (
    ENVIRONMENTS,
    PRESETS,
    WITHOUT_SECRETS,
    Environment,
    exposed_options,
    refusals,
    warnings,
)
from alysd.config.problems import InvalidConfig
from alysd.testing.config_files import CONF, RIGHT, folder_with, load

OPTIONS = {one.key: one for one in all_options()}

CLIENT = ("engine.mode=engine-api", "engine.url=http://127.0.0.1:1", "engine.engine_url=http://127.0.0.1:2")


def value(config: AlysConfig, key: str) -> object:
    section, _, name = key.partition(".")
    return getattr(getattr(config, section), name)


def test_every_preset_changes_defaults_of_options_that_exist() -> None:
    """A preset that only repeats defaults, or sets nothing, would promise something."""
    for presets in PRESETS.values():
        for name, defaults in presets.items():
            for key, preset in defaults.items():
                assert OPTIONS[key].default != preset, (name, key)


def test_each_preset_is_loaded_and_documented(tmp_path: Path) -> None:
    page = (CONF.parent / "docs" / "configuration.md").read_text()
    for kind, presets in PRESETS.items():
        for name, defaults in presets.items():
            more = CLIENT if name == "production" else ()
            jwt = ("engine.jwt_secret_file=" + str(tmp_path / "jwt.hex"),) if more else ()
            config = load(folder_with(tmp_path), f"node.{kind}={name}", *more, *jwt)
            row = next(line for line in page.splitlines() if line.startswith(f"| `{name}` |"))
            for key, preset in defaults.items():
                assert value(config, key) == preset
                assert f"`{key}` {str(preset).lower() if isinstance(preset, bool) else preset}" in row


def test_the_layers_override_each_other(tmp_path: Path) -> None:
    path = folder_with(tmp_path, RIGHT + '[node]\nprofile = "low-latency"\n')
    assert load(path).api.max_requests == 64
    assert load(path, "node.profile=high-throughput").api.max_requests == 1024
    with_file = folder_with(tmp_path, RIGHT + '[node]\nprofile = "low-latency"\n[api]\nmax_requests = 99\n')
    assert load(with_file).api.max_requests == 99
    assert load(with_file, environment={"ALYS_API__MAX_REQUESTS": "98"}).api.max_requests == 98


def test_an_unknown_preset_is_refused(tmp_path: Path) -> None:
    with pytest.raises(
        InvalidConfig, match='node.profile = "fast": must be one of "high-throughput", "low-latency"'
    ):
        load(folder_with(tmp_path), "node.profile=fast")


def test_the_origin_of_each_value_is_shown_without_secrets(tmp_path: Path) -> None:
    path = folder_with(
        tmp_path,
        RIGHT + '[node]\nprofile = "low-latency"\nenvironment = "development"\n[logging]\nformat = "text"\n',
    )
    loaded = load_layers(
        path,
        environment={"ALYS_MINING__INTERNAL": "false"},
        overrides=["engine.url=http://user:secret@127.0.0.1:1"],
    )
    text = show_origins(loaded)
    lines = {line.partition(" = ")[0]: line for line in text.splitlines()}
    assert list(lines) == list(OPTIONS)
    for key, shown, origin in (
        ("api.max_requests", "64", "profile low-latency"),
        ("api.buffer_mib", "64", "default"),
        ("logging.level", '"debug"', "environment development"),
        ("logging.format", '"text"', f"{path}:8"),
        ("mining.internal", "false", "ALYS_MINING__INTERNAL"),
        ("engine.url", '"http://127.0.0.1:1"', "--set engine.url"),
        ("network.checkpoint", "not set", "default"),
    ):
        found, _, said = lines[key].partition("  # ")
        assert (found.rstrip(), said) == (f"{key} = {shown}", origin)
    assert "secret" not in text.replace("jwt_secret_file", "")


def unsafe(environment: Environment | None) -> AlysConfig:
    """A configuration with everything that production refuses."""
    return AlysConfig(
        chain=ChainConfig(Path("chain.toml")),
        node=NodeConfig(environment=environment),
        mining=MiningConfig(internal=True),
        development=DevelopmentConfig(keys_known_to_all=True, accounts=True, account_key_file=Path("key")),
    )


REFUSED = {
    "development.keys_known_to_all", "development.accounts", "development.account_key_file", "engine.mode",
    "mining.internal",
}  # fmt: skip


def test_production_refuses_options_for_development() -> None:
    assert {key for key, _ in refusals(unsafe("production"))} == REFUSED
    for environment in ("staging", "development", None):
        assert refusals(unsafe(environment)) == ()
    assert {key for key, _ in warnings(unsafe("staging"))} == REFUSED
    assert warnings(unsafe("development")) == warnings(unsafe(None)) == ()


def test_a_refusal_names_the_place_and_the_reason(tmp_path: Path) -> None:
    path = folder_with(tmp_path, RIGHT + '[node]\nenvironment = "production"\n')
    with pytest.raises(InvalidConfig) as refused:
        load(path)
    assert str(refused.value) == (
        f'{path}: engine.mode is not allowed with node.environment = "production": the embedded engine is for '
        'development: set it to "engine-api"'
    )


URLS = [one.key for one in all_options() if "HttpUrl" in str(one.kind)]


@pytest.mark.parametrize("key", URLS)
@pytest.mark.parametrize("user", ["", "user:password@"])
def test_every_url_over_which_a_secret_passes_is_warned_of(key: str, user: str) -> None:
    """`bitcoin.second_url` was forgotten: its password crossed the network, and nothing said so."""
    config = attrs.evolve(unsafe("production"), engine=EngineConfig("engine-api"))
    section, _, name = key.partition(".")
    url = HttpUrl(f"http://{user}10.0.0.1:1")
    config = attrs.evolve(config, **{section: attrs.evolve(getattr(config, section), **{name: url})})
    assert (key in dict(exposed_options(config))) is (bool(user) or key not in WITHOUT_SECRETS)
    assert len(URLS) == 7


def test_production_warns_of_what_is_exposed() -> None:
    config = attrs.evolve(
        unsafe("production"),
        engine=EngineConfig("engine-api", engine_url=HttpUrl("http://10.0.0.1:1")),
        api=ApiConfig(address=ListenAddress("0.0.0.0", 1), operator_address=ListenAddress("::1", 2)),  # noqa: S104
        network=NetworkConfig(address=ListenAddress("0.0.0.0", 3)),  # noqa: S104
        bitcoin=BitcoinConfig(url=HttpUrl("http://node.example:8332")),
        peg=PegConfig(key_file=Path("key")),
    )
    assert [key for key, _ in warnings(config)] == [
        "api.address",
        "peg.key_file",
        "engine.engine_url",
        "bitcoin.url",
    ]
    safe = attrs.evolve(
        config,
        engine=EngineConfig("engine-api", engine_url=HttpUrl("https://10.0.0.1:1")),
        api=ApiConfig(address=ListenAddress("localhost", 1)),
        bitcoin=BitcoinConfig(url=HttpUrl("http://[::1]:8332")),
        peg=PegConfig(key_file=Path("key"), passphrase_file=Path("words")),
    )
    assert not warnings(safe)
    assert set(ENVIRONMENTS) == {"development", "staging", "production"}
