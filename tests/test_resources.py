"""Opening the parts: what a configuration gets wrong is said in words, and whatever was opened is closed."""

from pathlib import Path

import attrs
import pytest

from alysd.config.chain_spec import load_chain_spec
from alysd.config.load import load_config
from alysd.config.model import AlysConfig
from alysd.errors import ConfigError
from alysd.integrations.bls import public_key
from alysd.integrations.lmdb_store import LmdbStore
from alysd.resources import open_resources
from alysd.testing.chain import authority_secret
from alysd.types.chain_spec import ChainSpec
from alysd.types.hashes import BlsPublicKey
from alysd.types.units import Height

ROOT = Path(__file__).parents[1]


@pytest.fixture
def configured(tmp_path: Path) -> tuple[AlysConfig, ChainSpec]:
    config = load_config(
        ROOT / "conf" / "dev.toml", environment={}, overrides=(f"storage.path={tmp_path / 'data'}",)
    )
    return config, load_chain_spec(config.chain.spec)


async def test_a_development_node_gets_the_embedded_engine_at_the_chains_genesis(
    configured: tuple[AlysConfig, ChainSpec],
) -> None:
    config, spec = configured
    async with open_resources(config, spec) as parts:
        assert parts.embedded is not None
        assert parts.signer is not None
        assert parts.signer.public_key == spec.authorities[0]
        assert await parts.engine.genesis_hash() == parts.genesis.block.payload.block_hash
        assert parts.store.block_by_height(Height(0)) == parts.genesis
        assert (config.storage.path / "signing-guard").exists()


async def test_what_was_opened_is_closed_and_opens_again(configured: tuple[AlysConfig, ChainSpec]) -> None:
    config, spec = configured
    for _ in range(2):
        async with open_resources(config, spec) as parts:
            store = parts.store
            assert isinstance(store, LmdbStore)


async def test_a_key_that_is_no_authoritys_is_named(
    configured: tuple[AlysConfig, ChainSpec], tmp_path: Path
) -> None:
    config, spec = configured
    key_file = tmp_path / "other.key"
    key_file.write_text("01" * 32 + "\n")
    key_file.chmod(0o600)
    other = attrs.evolve(config, chain=attrs.evolve(config.chain, authority_key_file=key_file))
    with pytest.raises(ConfigError, match=r"other\.key.*is none of the 1 authorities"):
        async with open_resources(other, spec):
            raise AssertionError("it must not open")


async def test_a_real_client_is_not_asked_for_anything_yet(
    configured: tuple[AlysConfig, ChainSpec], tmp_path: Path
) -> None:
    _, spec = configured
    secret = tmp_path / "jwt.hex"
    secret.write_text("ab" * 32)
    settings = (
        f"storage.path={tmp_path / 'data'}",
        "engine.mode=engine-api",
        "engine.url=http://127.0.0.1:2",
        "engine.engine_url=http://127.0.0.1:1",
        f"engine.jwt_secret_file={secret}",
    )
    config = load_config(ROOT / "conf" / "dev.toml", environment={}, overrides=settings)
    async with open_resources(config, spec) as parts:
        assert parts.embedded is None
        assert parts.sync_engine is not parts.engine


async def test_a_chain_that_one_authority_cannot_run_is_refused(configured: tuple[AlysConfig, ChainSpec]) -> None:
    config, spec = configured
    others = tuple(public_key(authority_secret(index)) for index in range(3))
    with pytest.raises(ConfigError, match="needs 3 approvals per block"):
        async with open_resources(config, attrs.evolve(spec, authorities=(*spec.authorities, *others))):
            raise AssertionError("it must not open")


async def test_a_follower_runs_a_chain_of_any_quorum_without_key_or_guard(
    configured: tuple[AlysConfig, ChainSpec],
) -> None:
    config, spec = configured
    others = tuple(public_key(authority_secret(index)) for index in range(3))
    without = attrs.evolve(config, chain=attrs.evolve(config.chain, authority_key_file=None))
    async with open_resources(without, attrs.evolve(spec, authorities=(*spec.authorities, *others))) as resources:
        assert (resources.signer, resources.role) == (None, "follower")
    assert not (config.storage.path / "signing-guard").exists()


async def test_an_authority_whose_key_is_no_point_is_named(configured: tuple[AlysConfig, ChainSpec]) -> None:
    config, spec = configured
    broken = attrs.evolve(spec, authorities=(*spec.authorities, BlsPublicKey(b"\x9f" + bytes(47))))
    with pytest.raises(ConfigError, match=r"authorities\[1\] of the chain alys-dev: 9f00"):
        async with open_resources(config, broken):
            raise AssertionError("it must not open")
