"""Feature flags: new behaviour that is turned on for a share of the blocks or nodes first.

`alysd.config.operation_sections.FlagsConfig` defines the flags, `alysd.config.flags` evaluates them.
"""

import attrs


@attrs.frozen
class Rollout:
    """The share for which a flag is on: `percent` of the blocks or nodes, and the nodes with these names."""

    percent: int = 0
    nodes: tuple[str, ...] = ()

    def __str__(self) -> str:
        if self.nodes:
            return f"nodes:{','.join(self.nodes)}"
        return {0: "off", 100: "on"}.get(self.percent, f"{self.percent}%")
