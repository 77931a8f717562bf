"""Evaluates the feature flags of a node, in less than a microsecond each. A reload changes them."""

import hashlib
from collections.abc import Sequence

import attrs

from alysd.config.model import AlysConfig
from alysd.config.operation_sections import FlagsConfig
from alysd.config.options import FlagFacts
from alysd.types.flags import Rollout

_MASK = 2**32 - 1
_ODD = 2_654_435_761
"""Knuth's multiplicative hash: consecutive heights are spread evenly over the 32 bits."""


class Flag:
    """One flag. For the same number, all nodes with the same percentage get the same answer."""

    __slots__ = ("_salt", "_threshold")

    def __init__(self, salt: int) -> None:
        self._salt = salt
        self._threshold = 0

    def use(self, percent: int) -> None:
        """Be on for this share of the numbers from now on."""
        self._threshold = percent * (_MASK + 1) // 100

    def on(self, number: int = 0) -> bool:
        """Whether the flag is on for this number, such as a height. That of a flag by node does not matter."""
        return (number * _ODD + self._salt) & _MASK < self._threshold

    @property
    def used(self) -> bool:
        """Whether the flag is on for any number."""
        return self._threshold > 0


class Flags:
    """The flags of a node, by their names in the section `flags`. Without a configuration, all are off."""

    def __init__(self, config: AlysConfig | None = None) -> None:
        self.by_name = {field.name: Flag(_number(field.name)) for field in attrs.fields(FlagsConfig)}
        if config is not None:
            self.use(config)

    def __getitem__(self, name: str) -> Flag:
        return self.by_name[name]

    def use(self, config: AlysConfig) -> None:
        """Use the flags of `config` from now on."""
        for name, flag in self.by_name.items():
            flag.use(share_of(config, name))


def facts_of(name: str) -> FlagFacts:
    """Return the facts about a flag."""
    return getattr(attrs.fields(FlagsConfig), name).metadata["flag"]


def share_of(config: AlysConfig, name: str) -> int:
    """Return the percentage for which a flag is on at this node: 0 or 100 for a flag by node."""
    rollout: Rollout = getattr(config.flags, name)
    if rollout.nodes:
        return 100 if config.node.name in rollout.nodes else 0
    if facts_of(name).by == "block" or rollout.percent in (0, 100):
        return rollout.percent
    return 100 if _number(f"{name} {config.node.name}") % 100 < rollout.percent else 0


def names_needed(config: AlysConfig) -> Sequence[str]:
    """Return the flags that depend on the name of the node."""
    found: list[str] = []
    for field in attrs.fields(FlagsConfig):
        rollout: Rollout = getattr(config.flags, field.name)
        by_node = facts_of(field.name).by == "node" and rollout.percent not in (0, 100)
        if rollout.nodes or by_node:
            found.append(field.name)
    return found


def _number(text: str) -> int:
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "big")
