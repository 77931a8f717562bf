"""The links of a simulated network: latency, loss, duplication, bandwidth, cuts."""

from random import Random

import attrs


@attrs.frozen
class LinkQuality:
    """The properties of a link, the same in both directions.

    A message arrives after `latency` seconds and a random part of `jitter` seconds, so messages can overtake each
    other. `loss` and `duplication` are probabilities per gossip message. Requests are not lost, because a stream
    repeats lost packets. `bytes_per_second` is the bandwidth per direction; None is unlimited.
    """

    latency: float = 0.05
    jitter: float = 0.02
    loss: float = 0.0
    duplication: float = 0.0
    bytes_per_second: float | None = None


@attrs.define(eq=False)
class Link:
    """The link between the endpoints named `ends`, and the connection over it.

    While the link is `cut`, nothing arrives. `refused_until` is the time, in seconds of trio's clock, until which
    an end accepts no connection from the other one. The ends in `refused_by` accept none at all.
    """

    ends: tuple[str, str]
    quality: LinkQuality
    connected: bool = False
    cut: bool = False
    refused_until: float = 0.0
    refused_by: set[str] = attrs.field(factory=set[str])
    _free_at: dict[str, float] = attrs.field(factory=dict[str, float])

    def other(self, end: str) -> str:
        """The other end."""
        return self.ends[self.ends[0] == end]

    def delay(self, sender: str, size: int, now: float, choices: Random) -> float:
        """The seconds that a message of `size` bytes takes if `sender` sends it at the time `now`."""
        quality = self.quality
        wait = 0.0
        if quality.bytes_per_second is not None:
            sent = max(now, self._free_at.get(sender, 0.0)) + size / quality.bytes_per_second
            self._free_at[sender] = sent
            wait = sent - now
        return wait + quality.latency + quality.jitter * choices.random()
