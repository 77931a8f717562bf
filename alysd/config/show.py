"""Formats the merged configuration as TOML."""

from pathlib import Path
from typing import Any, cast

import attrs

from alysd.config.actor_options import ActorCapacity, ActorRestart
from alysd.config.addresses import HttpUrl, ListenAddress, ServerAddress, SignerAddress
from alysd.config.credentials import names_credential
from alysd.config.model import AlysConfig
from alysd.types.checkpoint import Checkpoint
from alysd.types.flags import Rollout
from alysd.types.peers import PeerAddress

_TEXTS = (
    ActorCapacity, ActorRestart, Checkpoint, HttpUrl, ListenAddress, PeerAddress, Rollout, ServerAddress,
    SignerAddress,
)  # fmt: skip
"""The types of values that `str` converts to the text of the configuration."""


def show_config(config: AlysConfig) -> str:
    """Return all options that have a value, as TOML without secrets.

    The configuration contains only the paths of key files, and URLs are shown without user and password.
    """
    import tomli_w

    sections: dict[str, dict[str, Any]] = {}
    for section in attrs.fields(AlysConfig):
        values: dict[str, object] = attrs.asdict(getattr(config, section.name), recurse=False)
        sections[section.name] = {key: plain_value(value) for key, value in values.items() if value is not None}
    return tomli_w.dumps(sections)


def plain_value(value: object) -> object:
    """Convert a value to a TOML type. Paths become absolute, so that they are valid in any folder."""
    if isinstance(value, Path):
        return str(value if names_credential(value) else value.absolute())
    if isinstance(value, _TEXTS):
        return str(value)
    if isinstance(value, tuple):
        return [plain_value(item) for item in cast("tuple[object, ...]", value)]
    if isinstance(value, bytes):
        return "0x" + value.hex()
    return value
