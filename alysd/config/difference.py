"""Compares two configurations, and joins the live options of one with the other options of the other."""

from pathlib import Path
from typing import Any, cast

import attrs

from alysd.config.model import SECTIONS, AlysConfig, all_options
from alysd.config.options import ConfigOption
from alysd.config.problems import shown
from alysd.config.show import plain_value
from alysd.types.configuration import OptionChange

MOST_CHARACTERS = 400
"""The number of characters of a value, or of an item of a list. The address of a peer has up to 340."""


def changed_options(old: AlysConfig, new: AlysConfig) -> tuple[OptionChange, ...]:
    """Return the options whose values differ, in the order of the documentation."""
    return tuple(
        OptionChange(one.key, *_texts(one, _value(old, one), _value(new, one)), one.live, one.restarts)
        for one in all_options()
        if _value(old, one) != _value(new, one)
    )


def with_live_options(old: AlysConfig, new: AlysConfig) -> AlysConfig:
    """Return `old` with the values that `new` has for the live options."""
    live = [one for one in all_options() if one.live]
    sections: dict[str, Any] = {}
    for name in SECTIONS:
        values = {one.name: _value(new, one) for one in live if one.section == name}
        sections[name] = attrs.evolve(getattr(old, name), **values)
    return attrs.evolve(old, **sections)


def _value(config: AlysConfig, one: ConfigOption) -> Any:
    return getattr(getattr(config, one.section), one.name)


def _texts(one: ConfigOption, old: object, new: object) -> tuple[str, str]:
    """The two values as text. They are equal if only the user or the password of a URL differs."""
    before, after = value_text(one, old), value_text(one, new)
    return before, f"{after} (with another user or password)" if before == after else after


def value_text(one: ConfigOption, value: object) -> str:
    """Return a value as TOML, without user and password of a URL; the words of `one.unset` without a value."""
    if value is None:
        return one.unset
    if isinstance(value, tuple):
        items = [shown(plain_value(item), MOST_CHARACTERS) for item in cast("tuple[object, ...]", value)]
        return f"[{', '.join(items)}]"
    return shown(str(value) if isinstance(value, Path) else plain_value(value), MOST_CHARACTERS)
