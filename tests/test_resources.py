"""Opening the parts: what a configuration gets wrong is said in words, and whatever was opened is closed."""

import stat
import time
from pathlib import Path

import attrs
import pytest

from alysd.config.addresses import ListenAddress
from alysd.config.chain_spec import load_chain_spec
from alysd.config.load import load_config
from alysd.config.model import AlysConfig
from alysd.config.runtime_sections import SystemConfig
from alysd.errors import ConfigError, WrongChain
from alysd.integrations.bls import public_key
from alysd.integrations.clock_step import StepFile
from alysd.integrations.data_folder import claim
from alysd.integrations.lmdb_store import LmdbStore
from alysd.integrations.new_key_file import write_key_file
from alysd.integrations.signing_guard import write_guard
from alysd.messages.log.base import LogEvent
from alysd.messages.log.process import SignedBlockMissing
from alysd.resources import open_resources, peer_choice
from alysd.testing.chain import authority_secret, chain_spec
from alysd.types.chain_spec import ChainSpec
from alysd.types.checkpoint import Checkpoint
from alysd.types.hashes import BlockHash, BlsPublicKey
from alysd.types.peers import PeerHostConfig
from alysd.types.signing import SignedSlot
from alysd.types.units import Height, Slot
from alysd.validation import validate_node
from tests.integrations.libp2p import needs_libp2p

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
    async with open_resources(validate_node(config, spec)) as parts:
        assert parts.embedded is not None
        assert parts.signer is not None
        assert parts.signer.public_key == spec.authorities[0]
        assert await parts.engine.genesis_hash() == parts.genesis.block.payload.block_hash
        assert parts.store.block_by_height(Height(0)) == parts.genesis
        assert (config.storage.path / "signing-guard").exists()


async def test_a_database_of_another_chain_than_the_checkpoint_is_refused(
    configured: tuple[AlysConfig, ChainSpec],
) -> None:
    config, spec = configured
    genesis = validate_node(config, spec).genesis.block.hash

    def with_checkpoint(block: BlockHash) -> AlysConfig:
        checkpoint = Checkpoint(Height(0), block)
        return attrs.evolve(config, network=attrs.evolve(config.network, checkpoint=checkpoint))

    with pytest.raises(WrongChain, match="but network.checkpoint is 0:00000000"):
        async with open_resources(validate_node(with_checkpoint(BlockHash(bytes(32))), spec)):
            pass
    async with open_resources(validate_node(with_checkpoint(genesis), spec)) as parts:
        assert parts.checkpoint == Checkpoint(Height(0), genesis)


async def test_what_was_opened_is_closed_and_opens_again(configured: tuple[AlysConfig, ChainSpec]) -> None:
    config, spec = configured
    for _ in range(2):
        async with open_resources(validate_node(config, spec)) as parts:
            store = parts.store
            assert isinstance(store, LmdbStore)


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
    async with open_resources(validate_node(config, spec)) as parts:
        assert parts.embedded is None
        assert parts.sync_engine is not parts.engine


async def test_the_operator_is_patient_with_a_slow_machine(configured: tuple[AlysConfig, ChainSpec]) -> None:
    config, spec = configured
    config = attrs.evolve(config, system=SystemConfig(patience=3))
    async with open_resources(validate_node(config, spec)) as parts:
        assert (parts.timing.engine_call, parts.timing.stuck) == (36.0, 60.0)


async def test_a_follower_runs_a_chain_of_any_quorum_without_key_or_guard(
    configured: tuple[AlysConfig, ChainSpec],
) -> None:
    config, spec = configured
    others = chain_spec(authorities=3, chain_id=spec.chain_id)
    without = attrs.evolve(config, chain=attrs.evolve(config.chain, authority_key_file=None))
    many = attrs.evolve(
        spec,
        authorities=others.authorities,
        authority_proofs=others.authority_proofs,
        federation_bitcoin_keys=others.federation_bitcoin_keys,
        federation_bitcoin_proofs=others.federation_bitcoin_proofs,
    )
    async with open_resources(validate_node(without, many)) as resources:
        assert (resources.signer, resources.role) == (None, "follower")
    assert not (config.storage.path / "signing-guard").exists()


async def test_a_folder_of_another_chain_is_refused_before_anything_is_opened(
    configured: tuple[AlysConfig, ChainSpec],
) -> None:
    """The node would write into another chain's database."""
    config, spec = configured
    valid = validate_node(config, spec)
    config.storage.path.mkdir()
    claim(config.storage.path, "other", BlockHash(b"\x07" * 32))
    with pytest.raises(WrongChain, match="belongs to chain other"):
        async with open_resources(valid):
            raise AssertionError("it opened")
    assert [path.name for path in config.storage.path.iterdir()] == ["chain.json"]


async def test_a_wrong_key_leaves_no_guard_that_locks_the_right_one_out(
    configured: tuple[AlysConfig, ChainSpec], tmp_path: Path
) -> None:
    config, spec = configured
    wrong = tmp_path / "wrong.key"
    write_key_file(wrong, "bls", authority_secret(7), public_key(authority_secret(7)).hex())
    other = attrs.evolve(config, chain=attrs.evolve(config.chain, authority_key_file=wrong))
    with pytest.raises(ConfigError, match="is none of the 1 authorities"):
        validate_node(other, spec)
    assert not config.storage.path.exists()
    async with open_resources(validate_node(config, spec)) as parts:
        assert parts.signer is not None


async def restarted_after(config: AlysConfig, spec: ChainSpec, slot: Slot) -> str:
    """Start a node, let its key sign in `slot`, start it again; what it says about the clock then."""
    valid = validate_node(config, spec)
    async with open_resources(valid) as parts:
        assert parts.watch.doubt() == "", "a new chain is asked nothing, although its genesis is old"
        assert parts.signer is not None
        key = BlsPublicKey(parts.signer.public_key)
    write_guard(config.storage.path / "signing-guard", SignedSlot(key, slot, BlockHash(b"\x01" * 32), Slot(0)))
    async with open_resources(valid) as parts:
        return parts.watch.doubt()


@pytest.mark.parametrize(("days", "asked"), [(7, False), (29, False), (31, True), (365, True)])
async def test_a_node_that_signed_long_ago_waits_for_a_person(
    configured: tuple[AlysConfig, ChainSpec], logged: list[LogEvent], days: int, asked: bool
) -> None:
    """A clock a year ahead was believed at every start."""
    slot = Slot(int(time.time() - 86_400 * days) // configured[1].slot_seconds)
    doubt = await restarted_after(*configured, slot)
    assert ("`alysd clock accept`" in doubt) == asked
    assert (f"the newest block is {days} days older than the time" in doubt) == asked
    assert SignedBlockMissing(slot) in logged


async def test_an_open_step_is_found_in_the_data_folder(configured: tuple[AlysConfig, ChainSpec]) -> None:
    config, spec = configured
    config.storage.path.mkdir()
    file = StepFile.of_machine(config.storage.path)
    file.write(time.time() - 3600 - time.clock_gettime(time.CLOCK_BOOTTIME))
    async with open_resources(validate_node(config, spec)) as parts:
        assert "was set forward by 3600 s" in parts.watch.doubt()
    file.path.write_bytes(b"damage")
    async with open_resources(validate_node(config, spec)) as parts:
        assert parts.watch.doubt() == ""


@needs_libp2p
async def test_the_network_key_is_made_once(configured: tuple[AlysConfig, ChainSpec]) -> None:
    """With a new key at each start, no peer would know the node again."""
    config, spec = configured
    section = attrs.evolve(config.network, address=ListenAddress("127.0.0.1", 9333))
    config = attrs.evolve(config, network=section)
    found: list[PeerHostConfig | None] = []
    for _ in range(2):
        async with open_resources(validate_node(config, spec)) as parts:
            assert parts.peer_host is not None
            choice = peer_choice(validate_node(config, spec))
            found.append(choice and choice.host.value)
    assert found[0] is not None
    assert found[0] == found[1]
    assert found[0].chain == "a3a78cee"
    assert stat.S_IMODE(config.storage.network_key.stat().st_mode) == 0o600


async def test_a_node_without_an_address_has_no_network(configured: tuple[AlysConfig, ChainSpec]) -> None:
    """A chain of one would start a process that it does not need."""
    config, spec = configured
    async with open_resources(validate_node(config, spec)) as parts:
        assert parts.peer_host is None
    assert not config.storage.network_key.exists()
