"""The files of a chain with a peg whose federation has one member, and a daemon of that member."""

from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import attrs

from alysd.cli import main
from alysd.config.chain_spec import load_chain_spec
from alysd.config.key_file import read_key_file
from alysd.integrations.new_key_file import write_key_file
from alysd.peg.federation import output_script
from alysd.testing.chain import bitcoin_secret, member_keys
from alysd.testing.components import RPC_PASSWORD, RPC_USER, Bitcoind
from alysd.testing.daemon import Daemon, daemon


@attrs.frozen
class PegFiles:
    """The specification, the configuration, the member's Bitcoin key, and the federation's script."""

    chain: Path
    config: Path
    key: Path
    script: bytes
    chain_id: int


def init_peg_chain(files: Path) -> Path:
    """Run `alysd init --dev --peg`, without its Bitcoin node and its key. Returns the chain specification."""
    assert main(["init", str(files), "--dev", "--peg"]) == 0
    config = files / "alysd.toml"
    config.write_text(config.read_text().partition("\n# The peg:")[0])
    return files / "chains" / "dev.toml"


def peg_files(folder: Path) -> PegFiles:
    """Make the files of `alysd init --dev --peg`, with a Bitcoin key for the member and few confirmations."""
    files = folder / "files"
    chain, key = init_peg_chain(files), files / "bitcoin.key"
    spec = load_chain_spec(chain)
    authority = read_key_file(files / "dev-authority.key", known_to_all=True).secret
    member = member_keys(authority, bitcoin_secret(0), spec.chain_id)
    text = chain.read_text().replace("peg_in_confirmations = 6", "peg_in_confirmations = 2")
    text = text.replace(spec.federation_bitcoin_keys[0].hex(), member.bitcoin_key.hex())
    chain.write_text(text.replace(spec.federation_bitcoin_proofs[0].hex(), member.bitcoin_proof.hex()))
    write_key_file(key, "bitcoin", bitcoin_secret(0), member.bitcoin_key.hex())
    return PegFiles(chain, files / "alysd.toml", key, output_script((member.bitcoin_key,)), spec.chain_id)


@asynccontextmanager
async def peg_daemon(
    folder: Path, files: PegFiles, bitcoin: Bitcoind, settings: Sequence[str] = ()
) -> AsyncGenerator[Daemon]:
    """Run the member's daemon. Without `settings`, it signs with the key file."""
    url = bitcoin.rpc_url.replace("://", f"://{RPC_USER}:{RPC_PASSWORD}@")
    chosen = (f"bitcoin.url={url}", *(settings or (f"peg.key_file={files.key}",)))
    async with daemon(folder, *chosen, config=files.config) as node:
        yield node
