"""Wall time that follows trio's clock, so that a MockClock moves both."""

import attrs
import trio


@attrs.define
class VirtualClock:
    """Implements `alysd.ports.Clock`: unix second `start` when trio's clock shows 0, and `offset` to skew it."""

    start: float = 1_700_000_000.0
    offset: float = 0.0

    def time(self) -> float:
        """Unix seconds of the virtual day."""
        return self.start + trio.current_time() + self.offset
