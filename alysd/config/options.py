"""The facts about an option beside its type and default: its meaning, unit, bounds, and the effect of a change.

It is metadata of the option's field (`attrs.field(metadata=option(…))`). The tables of docs/configuration.md and
the JSON Schema for editors are made from it.
"""

from collections.abc import Mapping
from datetime import date
from enum import Enum
from types import MappingProxyType
from typing import Any, Literal, Self

import attrs

INPUT_FILE: Mapping[str, Any] = MappingProxyType({"input_file": True})
"""Metadata of an option that names a file to read: it must exist and be readable."""

LATER_FILE: Mapping[str, Any] = MappingProxyType({"later_file": True})
"""Metadata of an option that names a file which another program may write later."""

OWN_FILE: Mapping[str, Any] = MappingProxyType({"later_file": True, "own_file": True})
"""Metadata of an option that names a file which this program writes. It cannot be a credential."""

NOTHING_MORE: Mapping[str, Any] = MappingProxyType({})


class Applies(Enum):
    """The condition under which a change of an option takes effect in a running node."""

    LIVE = "live"
    CHILD = "restarts"
    RESTART = "needs a restart"


def option(
    about: str,
    more: Mapping[str, Any] = NOTHING_MORE,
    *,
    unit: str = "",
    unset: str = "not set",
    applies: Applies = Applies.RESTART,
    restarts: str = "",
) -> Mapping[str, Any]:
    """Return the metadata of an option.

    `about` is its meaning, in Markdown of one line. `more` is `between(…)`, `INPUT_FILE` or `LATER_FILE`. `unit`
    is the unit of a number, in the plural. `unset` describes, in Markdown, the node's behaviour if the default is
    None or an empty list. A reload applies a change by restarting the child `restarts` of the tree, if given.
    """
    applies = Applies.CHILD if restarts else applies
    return {**more, "about": about, "unit": unit, "unset": unset, "applies": applies, "restarts": restarts}


@attrs.frozen
class ConfigOption:
    """An option: its key, the type and default of its field, and its metadata.

    A required option has the default `attrs.NOTHING`.
    """

    key: str
    kind: Any
    default: Any
    about: str
    unit: str
    unset: str
    bounds: tuple[int, int] | None
    applies: Applies
    restarts: str
    is_file: bool

    @property
    def live(self) -> bool:
        """Whether a reload applies a change, with a restart of one child or without."""
        return self.applies is not Applies.RESTART

    @property
    def effect(self) -> str:
        """The effect of a change, in words for the documentation."""
        return f"restarts *{self.restarts}*" if self.restarts else self.applies.value

    @property
    def section(self) -> str:
        """The name of the option's section."""
        return self.key.partition(".")[0]

    @property
    def name(self) -> str:
        """The option's name within its section."""
        return self.key.partition(".")[2]

    @classmethod
    def of(cls, key: str, field: "attrs.Attribute[Any]") -> Self:
        """Read the metadata of a field. Raises `KeyError` for a field without that of `option`."""
        known = field.metadata
        return cls(
            key, field.type, field.default, known["about"], known["unit"], known["unset"], known.get("between"),
            known["applies"], known["restarts"], bool(known.keys() & {"input_file", "later_file"}),
        )  # fmt: skip


@attrs.frozen
class FlagFacts:
    """The facts about a flag beside its meaning.

    `owner` is the team that decides on it. It should be gone by `ends`: its behaviour is then the only one, or is
    removed. A percentage is one of the blocks, or of the nodes, `by` their names.
    """

    owner: str
    ends: date
    by: Literal["block", "node"]
