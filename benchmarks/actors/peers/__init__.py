"""Those that are compared: one module each, with the same jobs as plainly as that peer allows.

A peer's module has `measure(job, sizes)`, which does one job and returns its figures, and leaves out of `JOBS`
what it has nothing for.
"""

import importlib
import importlib.util
import shutil
from typing import Protocol, cast

import attrs

from benchmarks.actors.measuring import Figures, Sizes


class PeerModule(Protocol):
    """The interface of a module of this package."""

    def measure(self, job: str, sizes: Sizes) -> Figures | None:
        """Do one job; `None` when this peer has nothing for it."""
        ...


@attrs.frozen
class Peer:
    """One runtime: what the table calls it, its module here, and the library or program it cannot do without."""

    title: str
    module: str
    library: str | None = None
    program: str | None = None

    def missing(self) -> str | None:
        """Why the peer cannot be measured here, or `None` when it can."""
        if self.library is not None and importlib.util.find_spec(self.library) is None:
            return f"{self.library} is not installed; it is in the dependency group `bench`"
        if self.program is not None and shutil.which(self.program) is None:
            return f"{self.program} is not on the PATH"
        return None

    def load(self) -> PeerModule:
        """Import the module."""
        return cast("PeerModule", importlib.import_module(f"{__name__}.{self.module}"))


BASE = Peer("raw trio", "raw_trio")
"""The peer that ratios refer to."""

OURS = Peer("alysd", "nurseries")
PYKKA = Peer("Pykka", "pykka_actors", library="pykka")
PEERS = (
    BASE,
    OURS,
    Peer("asyncio", "asyncio_queues"),
    PYKKA,
    Peer("Erlang", "erlang", program="erl"),
)
