"""The sections of the configuration about the running node itself: when its health counts as bad."""

import attrs

from alysd.config.options import Applies, option
from alysd.types.bounds import between
from alysd.types.health_limits import HealthLimits


@attrs.frozen
class MonitoringConfig:
    """The limits by which `alysd status`, /health and the alerts judge the node."""

    degraded_slots: int = attrs.field(
        default=3,
        metadata=option(
            "the node is degraded when it has got no block for more slots than this. One missed slot makes two",
            between(2, 10_000),
            unit="slots",
            applies=Applies.LIVE,
        ),
    )
    unhealthy_slots: int = attrs.field(
        default=10,
        metadata=option(
            "the node is unhealthy when it has got no block for more slots than this: /health/status then has "
            "status 503. It must be more than `monitoring.degraded_slots`",
            between(3, 100_000),
            unit="slots",
            applies=Applies.LIVE,
        ),
    )
    least_free_mib: int = attrs.field(
        default=512,
        metadata=option(
            "the node is degraded while the disk of `storage.path` has less free space. 0: no limit",
            between(0, 1 << 20),
            unit="MiB",
            applies=Applies.LIVE,
        ),
    )
    least_peers: int = attrs.field(
        default=0,
        metadata=option(
            "the node is degraded while fewer peers are connected. Without `network.address`, it has no effect",
            between(0, 128),
            unit="peers",
            applies=Applies.LIVE,
        ),
    )

    @property
    def limits(self) -> HealthLimits:
        """The limits as a value."""
        return HealthLimits(self.degraded_slots, self.unhealthy_slots, self.least_free_mib, self.least_peers)
