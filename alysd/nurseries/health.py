"""What a child says of itself, and what a monitor makes of it."""

from enum import Enum


class Health(Enum):
    """How a child is. An actor answers one of the first three, a monitor knows them all."""

    HEALTHY = "Healthy"
    DEGRADED = "Degraded"
    UNHEALTHY = "Unhealthy"
    UNKNOWN = "Unknown"
    RECOVERING = "Recovering"
    SHUTTING_DOWN = "ShuttingDown"
