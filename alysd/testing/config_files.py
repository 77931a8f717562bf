"""Writes small, valid configuration files, and all files that they name, into a folder."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from alysd.config.bridge import bridge_account
from alysd.config.load import load_config
from alysd.config.model import AlysConfig
from alysd.config.shipped import shipped_folder
from alysd.types.peg import BRIDGE_ADDRESS

CONF = shipped_folder()
"""The configurations that the project ships."""

RIGHT = """\
[chain]
spec = "chain.toml"
authority_key_file = "authority.key"
"""

CHAIN = """\
name = "test-chain"
chain_id = 4242
authorities = ["{authority}"]
authority_proofs = ["{proof}"]
federation_fee_addresses = ["0x405C18B7D44EAF0d01F8f07Dc4B4375D663DB88e"]
federation_bitcoin_keys = ["0x23d797ca7da531d757b6d25243207bdb74cce07b1cb022388b5e6d50327bf8de"]
federation_bitcoin_proofs = ["{bitcoin_proof}"]
bitcoin_network = "regtest"
peg_in_minimum = 100_000
peg_out_minimum = 100_000
bits = 0x207fffff
pow_limit = 0x207fffff
""".format(authority="0x" + "a1" * 48, proof="0x" + "a2" * 96, bitcoin_proof="0x" + "a3" * 64)

GENESIS = {"config": {"chainId": 4242}, "alloc": {"0x" + BRIDGE_ADDRESS.hex(): bridge_account()}}


def folder_with(folder: Path, config: str = RIGHT, chain: str = CHAIN) -> Path:
    """Write a configuration, and the files that it names, into `folder`; returns the configuration's path."""
    (folder / "chain.toml").write_text(chain + 'execution_genesis = "genesis.json"\n')
    (folder / "genesis.json").write_text(json.dumps(GENESIS))
    (folder / "authority.key").write_text("# alysd bls key\n" + "11" * 32 + "\n")
    (folder / "jwt.hex").write_text("22" * 32)
    path = folder / "alysd.toml"
    path.write_text(config)
    return path


def load(path: Path | None, *overrides: str, environment: Mapping[str, str] | None = None) -> AlysConfig:
    """Load a configuration, by default with an empty environment instead of this process's."""
    return load_config(path, environment=environment or {}, overrides=overrides)


def problems_of(error: BaseException) -> Sequence[str]:
    """The problems that the error shows to the operator."""
    found: Sequence[str] = getattr(error, "problems", (str(error),))
    return found
