"""The limits by which the health of a node is judged. A reload changes them."""

import attrs


@attrs.frozen
class HealthLimits:
    """The limits. Without a new block, the node is degraded after more than `degraded_slots`, later unhealthy.

    It is also degraded with less than `least_free_mib` on the disk of its data, and with fewer than `least_peers`.
    One missed slot makes the head two slots old. Restarting all children takes less time than 10 slots.
    """

    degraded_slots: int = 3
    unhealthy_slots: int = 10
    least_free_mib: int = 512
    least_peers: int = 0
