"""Shows the merged configuration as TOML."""

from pathlib import Path
from typing import Any

import attrs

from alysd.config.model import AlysConfig, HttpUrl, ListenAddress


def show_config(config: AlysConfig) -> str:
    """Write every option with its value; one that is not set is left out. Secrets are never in it.

    Keys and shared secrets stay in the files that the configuration names, and addresses lose user and password.
    """
    import tomli_w

    sections: dict[str, dict[str, Any]] = {}
    for section in attrs.fields(AlysConfig):
        values: dict[str, object] = attrs.asdict(getattr(config, section.name), recurse=False)
        sections[section.name] = {key: _plain(value) for key, value in values.items() if value is not None}
    return tomli_w.dumps(sections)


def _plain(value: object) -> object:
    """A value as TOML has it; paths absolute, so that they mean the same in another folder."""
    if isinstance(value, Path):
        return str(value.absolute())
    if isinstance(value, HttpUrl | ListenAddress):
        return str(value)
    if isinstance(value, bytes):
        return "0x" + value.hex()
    return value
