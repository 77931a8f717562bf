"""The sections of the configuration about the chain, its blocks and its data (docs/configuration.md).

Paths marked `INPUT_FILE` or `LATER_FILE` are files to read, relative to the folder of the file that names them.
"""

from pathlib import Path
from typing import Literal

import attrs

from alysd.config.addresses import HttpUrl
from alysd.config.options import INPUT_FILE, Applies, option
from alysd.types.hashes import EvmAddress


@attrs.frozen
class ChainConfig:
    """The chain, and this node's role in it. A node without `authority_key_file` is a follower."""

    spec: Path = attrs.field(
        metadata=option('the chain specification (docs/configuration.md, "Chain specification")', INPUT_FILE)
    )
    authority_key_file: Path | None = attrs.field(
        default=None,
        metadata=option(
            "the file with the BLS key of this node's authority (`alysd keys new bls` makes one). The file must "
            "have mode 0600, or mode 0440 and the owner root, as Kubernetes mounts secrets with an `fsGroup`. If "
            "this option is not set, the node is a follower: it checks and keeps blocks, and makes none",
            INPUT_FILE,
        ),
    )


@attrs.frozen
class EngineConfig:
    """The execution client: the embedded engine, or a separate client over the Engine API."""

    mode: Literal["embedded", "engine-api"] = attrs.field(
        default="embedded",
        metadata=option(
            '`"embedded"`: an execution engine inside the node, for development; needs `alysd[embedded]`. '
            '`"engine-api"`: geth, Reth or another client over the Engine API'
        ),
    )
    url: HttpUrl | None = attrs.field(
        default=None, metadata=option('the URL of the client\'s public RPC; required with `"engine-api"`')
    )
    engine_url: HttpUrl | None = attrs.field(
        default=None,
        metadata=option('the URL of the client\'s authenticated port; required with `"engine-api"`'),
    )
    jwt_secret_file: Path | None = attrs.field(
        default=None,
        metadata=option(
            'the file with the secret that node and client share: 32 bytes in hex; required with `"engine-api"`',
            INPUT_FILE,
        ),
    )
    second_url: HttpUrl | None = attrs.field(
        default=None,
        metadata=option("the URL of the public RPC of a second client; it needs the two next options"),
    )
    second_engine_url: HttpUrl | None = attrs.field(
        default=None,
        metadata=option(
            "the URL of the authenticated port of a second client, which is used while the first fails "
            '([operating.md](operating.md), "A second execution client")'
        ),
    )
    second_jwt_secret_file: Path | None = attrs.field(
        default=None,
        metadata=option("the file with the secret that node and second client share: 32 bytes in hex", INPUT_FILE),
    )
    keep_states: Literal["recent", "all"] = attrs.field(
        default="recent",
        metadata=option(
            'which states the embedded engine keeps. `"recent"`: the states after the last final block, after the '
            '128 blocks below it, and after all blocks above it. `"all"`: every state '
            """(docs/operating.md, "The embedded engine's database")"""
        ),
    )


@attrs.frozen
class MiningConfig:
    """Merged mining: the internal miner, and the address that is paid."""

    internal: bool = attrs.field(
        default=False,
        metadata=option("mine inside the node; only for a development chain with an easy target"),
    )
    fee_recipient: EvmAddress | None = attrs.field(
        default=None,
        metadata=option(
            "the EVM address that receives the miner's fees of the internal miner and of `getauxblock` without "
            "arguments; required by the internal miner",
            applies=Applies.LIVE,
        ),
    )


@attrs.frozen
class StorageConfig:
    """The location of the database."""

    path: Path = attrs.field(
        default=Path("data"), metadata=option("the data folder: one node and one chain per folder")
    )

    @property
    def control_socket(self) -> Path:
        """The Unix socket of a running node, for `alysd actors`."""
        return self.path / "control.sock"

    @property
    def payment_record(self) -> Path:
        """The record of the payments that this node has signed as a member of the federation."""
        return self.path / "signed-payments"

    @property
    def governance_outbox(self) -> Path:
        """The requests that the governance has not acknowledged."""
        return self.path / "governance" / "outbox"

    @property
    def governance_proposals(self) -> Path:
        """The proposals of the governance."""
        return self.path / "governance" / "proposals"

    @property
    def network_key(self) -> Path:
        """The key that identifies the node to its peers, if `network.key_file` names no other."""
        return self.path / "network.key"
