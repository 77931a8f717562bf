"""A simulated peer-to-peer network on trio's clock: gossip that floods, requests, connections that come and go.

    network = SimulatedNetwork(seeded(7))
    for name in ("a", "b"):
        network.add(name)
    network.link("a", "b", LinkQuality(latency=0.1))

`SimulatedNetwork.run` makes the scheduled deliveries and connections. All random choices are made with one
generator.
"""

from collections.abc import Collection, Iterable
from itertools import combinations
from random import Random

import attrs
import trio

from alysd.testing.federation.agenda import Agenda
from alysd.testing.federation.gossip import GossipMessage, SimulatedGossip
from alysd.testing.federation.links import Link, LinkQuality

SILENCE_SECONDS = 10.0
"""The time after which both ends of a link that is cut notice that their connection is lost."""

REDIAL_SECONDS = 3.0
"""The longest time until two endpoints that can reach each other again are connected."""

MESH = 8
"""The number of nodes with which a new node exchanges all gossip: the degree of gossipsub's mesh."""

MESH_MOST = 12
"""The maximum number of nodes with which a node exchanges all gossip."""

REPETITION_SECONDS = 5.0
"""The longest time after which a duplicated message arrives again."""


@attrs.define(eq=False)
class SimulatedNetwork:
    """The endpoints and the links between them. `choices` makes all random choices."""

    choices: Random
    endpoints: dict[str, SimulatedGossip] = attrs.field(factory=dict[str, SimulatedGossip])
    links: dict[frozenset[str], Link] = attrs.field(factory=dict[frozenset[str], Link])
    agenda: Agenda = attrs.field(factory=Agenda)

    def add(self, name: str) -> SimulatedGossip:
        """Add an endpoint. It takes part while its `run` runs.

        An earlier endpoint of this name is unplugged, and its links are those of the new one.
        """
        new, old = SimulatedGossip(name, self), self.endpoints.get(name)
        if old is not None:
            for link in old.links.values():
                self.disconnect(link)
            old.unplug()
            new.links, old.links = old.links, {}
        self.endpoints[name] = new
        return new

    def link(self, one: str, other: str, quality: LinkQuality) -> Link:
        """Link two endpoints."""
        link = Link((one, other), quality)
        self.links[frozenset(link.ends)] = link
        self.endpoints[one].links[other] = self.endpoints[other].links[one] = link
        return link

    def link_all(self, quality: LinkQuality) -> None:
        """Link every endpoint to every other one."""
        for one, other in combinations(self.endpoints, 2):
            self.link(one, other, quality)

    def join(self, name: str, quality: LinkQuality) -> SimulatedGossip:
        """Add an endpoint, and link it to `MESH` of those that have less than `MESH_MOST` links."""
        free = [other for other, end in self.endpoints.items() if len(end.links) < MESH_MOST]
        new = self.add(name)
        for other in self.choices.sample(free, min(MESH, len(free))):
            self.link(other, name, quality)
        return new

    # Faults

    def partition(self, groups: Iterable[Collection[str]]) -> None:
        """Cut the links between endpoints of different groups, and end all other cuts.

        The endpoints that are in none of the `groups` form one more group.
        """
        group_of = {name: number for number, group in enumerate(groups) for name in group}
        for link in self.links.values():
            one, other = (group_of.get(end) for end in link.ends)
            self._set_cut(link, one != other)

    def heal(self) -> None:
        """End all cuts."""
        for link in self.links.values():
            self._set_cut(link, False)

    def _set_cut(self, link: Link, cut: bool) -> None:
        if link.cut == cut:
            return
        link.cut = cut
        if cut:
            self.agenda.after(SILENCE_SECONDS, lambda: self.disconnect(link) if link.cut else None)
        else:
            self.dial(link)

    async def run(self) -> None:
        """Make the scheduled deliveries and connections. Never returns."""
        with self.agenda.kept():
            await trio.sleep_forever()

    # Connections

    def dial(self, link: Link) -> None:
        """Connect the ends of `link` soon, if both run and nothing prevents it then."""
        wait = max(link.refused_until - trio.current_time(), 0.0)
        wait += 2 * link.quality.latency + REDIAL_SECONDS * self.choices.random()
        self.agenda.after(wait, lambda: self._connect(link))

    def _connect(self, link: Link) -> None:
        ends = [self.endpoints[end] for end in link.ends]
        if link.connected or link.cut or link.refused_by or not all(end.online for end in ends):
            return
        if link.refused_until > trio.current_time():
            self.dial(link)
            return
        link.connected = True
        for end, other in zip(ends, reversed(ends), strict=True):
            end.notice_connection(other.name, inbound=end is ends[1])

    def disconnect(self, link: Link) -> None:
        """End the connection, if there is one; both ends notice it at once."""
        if link.connected:
            link.connected = False
            for end in link.ends:
                self.endpoints[end].notice_loss(link.other(end))

    # Gossip

    def send(self, link: Link, sender: str, message: GossipMessage) -> None:
        """Send a gossip message over `link`, if it is connected."""
        if not link.connected or link.cut or self.choices.random() < link.quality.loss:
            return
        wait = link.delay(sender, len(message.data), trio.current_time(), self.choices)
        self.agenda.after(wait, lambda: self._arrive(link, sender, message))
        if self.choices.random() < link.quality.duplication:
            again = attrs.evolve(message, repeated=True)
            wait += REPETITION_SECONDS * self.choices.random()
            self.agenda.after(wait, lambda: self._arrive(link, sender, again))

    def _arrive(self, link: Link, sender: str, message: GossipMessage) -> None:
        if not link.cut:
            self.endpoints[link.other(sender)].receive(sender, message)
