"""The sections of the configuration about the operation of a node: names, flags, logs, reloads.

Paths marked `INPUT_FILE` or `LATER_FILE` are files to read, relative to the folder of the file that names them.
"""

from datetime import date
from pathlib import Path
from typing import Literal

import attrs

from alysd.config.addresses import HostName, HttpUrl
from alysd.config.options import INPUT_FILE, Applies, FlagFacts, option
from alysd.config.presets import Environment, Profile
from alysd.types.bounds import between
from alysd.types.flags import Rollout


@attrs.frozen
class NodeConfig:
    """The name of the node, and its purpose, from which defaults and rules follow (`alysd.config.presets`)."""

    name: HostName | None = attrs.field(
        default=None,
        metadata=option("the name of this node for feature flags", applies=Applies.LIVE),
    )
    environment: Environment | None = attrs.field(
        default=None,
        metadata=option(
            'the purpose of the machine ("Environments and profiles"). `"production"` refuses options for '
            'development; `"staging"` warns of them',
            applies=Applies.LIVE,
        ),
    )
    profile: Profile | None = attrs.field(
        default=None,
        metadata=option(
            'the balance between throughput, latency and resources ("Environments and profiles")',
            applies=Applies.LIVE,
        ),
    )


@attrs.frozen
class FlagsConfig:
    """The feature flags. Each has an owner, and a date by which it is removed."""

    engine_compare: Rollout = attrs.field(
        default=Rollout(),
        metadata=option(
            "the share of the blocks that the second execution client executes for comparison with the first "
            '([operating.md](operating.md), "Comparing two clients")',
            {"flag": FlagFacts("execution", date(2027, 12, 31), "block")},
            applies=Applies.LIVE,
        ),
    )
    engine_prefer_second: Rollout = attrs.field(
        default=Rollout(),
        metadata=option(
            "the nodes that use the second execution client while both are level",
            {"flag": FlagFacts("execution", date(2027, 12, 31), "node")},
            applies=Applies.LIVE,
        ),
    )


@attrs.frozen
class LoggingConfig:
    """The log: its minimum level and its format."""

    level: Literal["debug", "info", "warning", "error"] = attrs.field(
        default="info", metadata=option("the lowest level that is written", applies=Applies.LIVE)
    )
    format: Literal["auto", "text", "json"] = attrs.field(
        default="auto",
        metadata=option(
            '`"auto"`: text on a terminal, JSON lines otherwise. `NO_COLOR` is respected', applies=Applies.LIVE
        ),
    )


@attrs.frozen
class ReloadingConfig:
    """The reloading of this configuration by the running node."""

    watch: bool = attrs.field(
        default=False,
        metadata=option(
            "reload the configuration when its file has changed, and has then stayed the same for a second",
            applies=Applies.LIVE,
        ),
    )
    trial_seconds: int = attrs.field(
        default=30,
        metadata=option(
            "the length of the trial period after a reload: if a part of the node with changed options fails in "
            "this period, or the node becomes unhealthy for 5 s, the reload is undone. 0: no trial",
            between(0, 3600),
            unit="seconds",
            applies=Applies.LIVE,
        ),
    )


@attrs.frozen
class TracingConfig:
    """The destination of OpenTelemetry traces of the node's slots; by default none are recorded.

    Both options need `alysd[traces]`.
    """

    endpoint: HttpUrl | None = attrs.field(
        default=None,
        metadata=option("a collector's URL for OTLP over HTTP, such as `http://127.0.0.1:4318/v1/traces`"),
    )
    console: bool = attrs.field(default=False, metadata=option("every span as JSON on standard error"))


@attrs.frozen
class DevelopmentConfig:
    """Options for development chains."""

    keys_known_to_all: bool = attrs.field(
        default=False,
        metadata=option("the key files are published ones: their mode is not checked"),
    )
    accounts: bool = attrs.field(
        default=False,
        metadata=option(
            "every client of the Ethereum RPC may use the ten accounts of hardhat and anvil "
            "(`eth_sendTransaction`, `eth_sign`), whose keys everybody knows. Only on a chain of one node with "
            "the embedded engine; without effect for a follower and with `network.address`"
        ),
    )
    account_key_file: Path | None = attrs.field(
        default=None,
        metadata=option("the key of an account with a balance, which the node shows at start", INPUT_FILE),
    )
