"""The sections of the configuration about the running node itself: its supervision, its actors, its health."""

import attrs

from alysd.config.actor_options import ActorCapacity, ActorRestart
from alysd.config.options import Applies, option
from alysd.types.bounds import between
from alysd.types.health_limits import HealthLimits


@attrs.frozen
class SystemConfig:
    """The supervision of all parts of the node."""

    restarts: int = attrs.field(
        default=10,
        metadata=option(
            "the number of restarts within `system.restart_seconds` after which a supervisor gives up: the "
            "storage, the chain or the servers then restart as a whole, and if that does not help, the node "
            "stops, for systemd to start it again. The network and the peg never stop the node",
            between(3, 1000),
            unit="restarts",
        ),
    )
    restart_seconds: int = attrs.field(
        default=10,
        metadata=option("the time in which `system.restarts` are counted", between(5, 3600), unit="seconds"),
    )
    patience: int = attrs.field(
        default=1,
        metadata=option(
            "a factor for the deadlines of a slow machine: those of the execution client while the node catches "
            "up, of the disk, and of a part that counts as stuck (20 s) and is restarted. Raise it if parts are "
            "restarted with `HandlerTooSlow` or `HealthCheckFailed`, or because a call took too long. The "
            "deadlines within a slot stay as they are",
            between(1, 10),
            unit="times",
        ),
    )


@attrs.frozen
class ActorsConfig:
    """The options of single actors, by the names that `alysd actors list` shows."""

    capacity: tuple[ActorCapacity, ...] = attrs.field(
        default=(),
        metadata=option(
            "the numbers of messages that can wait for an actor before its senders wait or are refused, such as "
            '`["network=4096"]`: 8 to 65,536. `alysd status` shows the waiting messages and the present number. '
            "An actor that this node does not have may be named",
            unset="`[]`",
        ),
    )
    restart: tuple[ActorRestart, ...] = attrs.field(
        default=(),
        metadata=option(
            "the seconds until an actor restarts after each failure, 5 to 86,400, or `never`, such as "
            '`["evidence=60", "governance stream=never"]`: for an actor that fails again and again until a new '
            "version is there. It is not allowed for the actors that blocks, sync and reloads need",
            unset="`[]`",
        ),
    )


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
