"""The tables of options in docs/configuration.md, made from the metadata of the options."""

import typing
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import attrs

from alysd.config.actor_options import ActorCapacity, ActorRestart
from alysd.config.addresses import HostName, HttpUrl, ListenAddress, NodeId, ServerAddress, SignerAddress
from alysd.config.model import SECTIONS, all_options
from alysd.config.options import ConfigOption
from alysd.config.show import plain_value
from alysd.types.checkpoint import Checkpoint
from alysd.types.flags import Rollout
from alysd.types.hashes import EvmAddress
from alysd.types.peers import PeerAddress

HEADER = "| key | default | allowed | a change | |\n|---|---|---|---|---|\n"

KINDS: dict[object, str] = {
    bool: "`true`, `false`",
    Path: "path",
    ListenAddress: "`host:port`",
    HttpUrl: "URL, http or https",
    ServerAddress: "`host:port`",
    NodeId: "1 to 64 letters, digits, `.`, `_`, `-`",
    SignerAddress: "`unix:/PATH`, `tls://HOST:PORT`",
    HostName: "host name",
    PeerAddress: "multiaddress",
    Checkpoint: "`HEIGHT:HASH`",
    EvmAddress: "EVM address",
    ActorCapacity: "`NAME=MESSAGES`",
    ActorRestart: "`NAME=SECONDS`, `NAME=never`",
    Rollout: '`"on"`, `"off"`, `"25%"`, `"nodes:NAME,…"`',
}
"""The values of each type in words."""


def with_tables(page: str) -> str:
    """Replace the table of each section in the text of docs/configuration.md.

    The table begins at the first line with `|` below the section's heading, and ends before an empty line. Raises
    `ValueError` if a section has no heading or no table.
    """
    for section in SECTIONS:
        before, heading, rest = page.partition(f"### [{section}]\n")
        between, start, table = rest.partition("\n|")
        _, end, after = table.partition("\n\n")
        if not heading or not start or not end or "\n#" in between:
            raise ValueError(f"docs/configuration.md has no table below the heading ### [{section}]")
        options = [one for one in all_options() if one.section == section]
        page = f"{before}{heading}{between}\n{option_table(options)}\n{after}"
    return page


def option_table(options: Sequence[ConfigOption]) -> str:
    """Return a table in Markdown with one row per option."""
    rows = (
        f"| `{one.key}` | {_default(one)} | {allowed(one)} | {one.effect} | {one.about} |\n" for one in options
    )
    return HEADER + "".join(rows)


def inner_kind(kind: Any) -> Any:
    """Return the type of an option's value, without `None` and, for a list, of one item."""
    parts = [part for part in typing.get_args(kind) if part is not type(None) and part is not Ellipsis]
    return parts[0] if parts and typing.get_origin(kind) is not Literal else kind


def is_list(kind: Any) -> bool:
    """Return whether the option's value is a list."""
    return typing.get_origin(kind) is tuple


def allowed(one: ConfigOption) -> str:
    """Return the values that the option allows, in Markdown."""
    kind = inner_kind(one.kind)
    if one.bounds is not None:
        low, high = one.bounds
        return f"{low:,} to {high:,} {one.unit}"
    if typing.get_origin(kind) is Literal:
        return ", ".join(f'`"{value}"`' for value in typing.get_args(kind))
    return ("list: " if is_list(one.kind) else "") + KINDS[kind]


def _default(one: ConfigOption) -> str:
    if one.default is attrs.NOTHING:
        return "none, required"
    if one.default in (None, ()):
        return one.unset
    default = one.default if isinstance(one.default, Path) else plain_value(one.default)
    return f"`{str(default).lower()}`" if isinstance(default, bool | int) else f'`"{default}"`'
