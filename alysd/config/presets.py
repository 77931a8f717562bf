"""Profiles and environments: sets of defaults for a purpose, between the defaults of the options and the file.

An environment also has rules: what is unsafe in production is refused there, or the log warns of it.
"""

import ipaddress
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Literal

from alysd.config.problems import Setting, Source

if TYPE_CHECKING:
    from alysd.config.model import AlysConfig

Profile = Literal["high-throughput", "low-latency", "resource-conservative"]

Environment = Literal["development", "staging", "production"]

PROFILES: Mapping[Profile, Mapping[str, object]] = MappingProxyType(
    {
        "high-throughput": {"api.max_requests": 1024, "api.buffer_mib": 256, "network.max_inbound": 64},
        # Requests and strangers share the event loop with the steps of a block.
        "low-latency": {"api.max_requests": 64, "network.max_inbound": 16},
        "resource-conservative": {"api.max_requests": 64, "api.buffer_mib": 16, "network.max_inbound": 8},
    }
)
"""The defaults of each profile."""

ENVIRONMENTS: Mapping[Environment, Mapping[str, object]] = MappingProxyType(
    {
        "development": {"logging.level": "debug", "reload.watch": True, "reload.trial_seconds": 10},
        "staging": {"logging.format": "json"},
        "production": {"logging.format": "json", "reload.trial_seconds": 300},
    }
)
"""The defaults of each environment, which override those of the profile."""

PRESETS: Mapping[str, Mapping[str, Mapping[str, object]]] = MappingProxyType(
    {"profile": MappingProxyType({**PROFILES}), "environment": MappingProxyType({**ENVIRONMENTS})}
)
"""The presets that each option of the section `node` chooses from; the later overrides."""

WITHOUT_SECRETS = frozenset({"engine.url", "engine.second_url", "tracing.endpoint"})
"""The options with a URL to which the node sends no secret, unless the URL has a password."""


def preset_settings(chosen: Mapping[str, Setting]) -> dict[str, Setting]:
    """Return the defaults of the profile and the environment that the settings `chosen` name.

    A name that does not exist has none: it is refused later.
    """
    settings: dict[str, Setting] = {}
    for kind, presets in PRESETS.items():
        setting = chosen.get(f"node.{kind}")
        name = None if setting is None else setting.value
        if isinstance(name, str) and name in presets:
            source = Source(f"{kind} {name}")
            settings |= {key: Setting(value, source) for key, value in presets[name].items()}
    return settings


def unsafe_options(config: "AlysConfig") -> Sequence[tuple[str, str]]:
    """Return the options of a configuration that are unsafe in production, each with the reason."""
    development, found = config.development, list[tuple[str, str]]()
    if development.keys_known_to_all:
        found.append(("development.keys_known_to_all", "everybody knows the keys, or may read their files"))
    if development.accounts:
        found.append(("development.accounts", "every client could use accounts"))
    if development.account_key_file is not None:
        found.append(("development.account_key_file", "the log would name a key with a balance"))
    if config.engine.mode == "embedded":
        found.append(("engine.mode", 'the embedded engine is for development: set it to "engine-api"'))
    if config.mining.internal:
        found.append(("mining.internal", "its proofs are no Bitcoin work: use `alysd mine`"))
    return found


def exposed_options(config: "AlysConfig") -> Sequence[tuple[str, str]]:
    """Return the options of which an operator in production should know what they expose, each with the reason."""
    found: list[tuple[str, str]] = []
    for key, address in config.listeners.items():
        if key != "network.address" and not _is_loopback(address.host):
            found.append((key, f"other machines reach {address}: let a firewall or a proxy protect it"))
    if config.peg.key_file is not None and config.peg.passphrase_file is None:
        found.append(("peg.key_file", "the Bitcoin key has no passphrase: use peg.passphrase_file or peg.signer"))
    for key, url in config.urls.items():
        secret = key not in WITHOUT_SECRETS or "@" in url.text
        if secret and url.text.lower().startswith("http://") and not _is_loopback(url.host):
            found.append((key, "secrets would cross the network without TLS: use https"))
    return found


def refusals(config: "AlysConfig") -> Sequence[tuple[str, str]]:
    """Return the options that the environment of `config` refuses, each with the reason."""
    return unsafe_options(config) if config.node.environment == "production" else ()


def warnings(config: "AlysConfig") -> Sequence[tuple[str, str]]:
    """Return the options that the environment of `config` warns of, each with the reason."""
    match config.node.environment:
        case "production":
            return exposed_options(config)
        case "staging":
            return (*unsafe_options(config), *exposed_options(config))
        case _:
            return ()


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
