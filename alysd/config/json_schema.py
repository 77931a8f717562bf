"""The JSON Schema of a node's configuration file, with which editors complete and check its options.

The schema describes single values. Rules between options, and whether files exist, are left to `alysd check`.
"""

import typing
from pathlib import Path
from typing import Any, Literal

import attrs

from alysd.config.actor_options import CAPACITIES, RESTARTABLE, ActorCapacity, ActorRestart
from alysd.config.addresses import HostName, HttpUrl, ListenAddress, NodeId, ServerAddress, SignerAddress
from alysd.config.model import SECTIONS, all_options
from alysd.config.option_tables import inner_kind, is_list
from alysd.config.options import ConfigOption
from alysd.config.show import plain_value
from alysd.types.checkpoint import Checkpoint
from alysd.types.flags import Rollout
from alysd.types.hashes import EvmAddress
from alysd.types.peers import PeerAddress

DIALECT = "http://json-schema.org/draft-07/schema#"
"""The version of JSON Schema that the editors' plugins for TOML support."""

KINDS: dict[object, dict[str, Any]] = {
    bool: {"type": "boolean"},
    Path: {"type": "string", "minLength": 1},
    ListenAddress: {"type": "string", "pattern": r"^(localhost|[0-9.]+|\[[0-9A-Fa-f:.]+(%[^\]]+)?\]):[0-9]+$"},
    HttpUrl: {"type": "string", "pattern": r"[Hh][Tt]{2}[Pp][Ss]?://."},
    ServerAddress: {"type": "string", "pattern": r"^([A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\]):[0-9]+$"},
    NodeId: {"type": "string", "pattern": r"^[A-Za-z0-9._-]{1,64}$"},
    SignerAddress: {"type": "string", "pattern": r"^unix:/|[Tt][Ll][Ss]://."},
    HostName: {"type": "string", "pattern": r"^[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*$", "maxLength": 253},
    PeerAddress: {"type": "string", "pattern": r"^/(ip4|ip6|dns|dns4|dns6)/[^/]+/tcp/[0-9]+/p2p/[^/]+$"},
    Checkpoint: {"type": "string", "pattern": r"^[1-9][0-9]{0,17}:[0-9a-f]{64}$"},
    Rollout: {"type": "string", "pattern": r"^(on|off|[1-9][0-9]?%|nodes:[A-Za-z0-9_.-].*)$"},
    ActorCapacity: {"type": "string", "pattern": rf"^ *({'|'.join(CAPACITIES)}) *= *[0-9]{{1,6}} *$"},
    ActorRestart: {"type": "string", "pattern": rf"^ *({'|'.join(RESTARTABLE)}) *= *(never|[0-9]{{1,6}}) *$"},
    EvmAddress: {"type": "string", "pattern": r"^0x[0-9A-Fa-f]{40}$"},
}
"""The schema of each type. It accepts all values that the node accepts, and refuses most mistakes."""


def config_schema() -> dict[str, Any]:
    """Return the JSON Schema of a configuration file.

    No option is required, because variables and `--set` may set those that the file lacks.
    """
    options = all_options()
    sections = {
        section: {
            "type": "object",
            "additionalProperties": False,
            "properties": {one.name: _option(one) for one in options if one.section == section},
        }
        for section in SECTIONS
    }
    return {
        "$schema": DIALECT,
        "title": "The configuration of alysd",
        "type": "object",
        "additionalProperties": False,
        "properties": sections,
    }


def _option(one: ConfigOption) -> dict[str, Any]:
    kind = inner_kind(one.kind)
    if one.bounds is not None:
        low, high = one.bounds
        schema: dict[str, Any] = {"type": "integer", "minimum": low, "maximum": high}
    elif typing.get_origin(kind) is Literal:
        schema = {"enum": list(typing.get_args(kind))}
    elif is_list(one.kind):
        schema = {"type": "array", "items": KINDS[kind]}
    else:
        schema = dict(KINDS[kind])
    if one.default is not attrs.NOTHING and one.default is not None:
        schema["default"] = str(one.default) if isinstance(one.default, Path) else plain_value(one.default)
    unit = f" Unit: {one.unit}." if one.unit else ""
    schema["description"] = f"{one.about[0].upper()}{one.about[1:]}.{unit} A change: {one.effect}."
    return schema
