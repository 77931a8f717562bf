"""The compared runtimes, one module each. All do the same jobs, as plainly as the runtime allows.

A peer's module has `measure(job, sizes)`, which does one job and returns its figures. Its `JOBS` has the jobs that
the runtime can do.
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
        """Do one job and return its figures. `None` when this runtime cannot do it."""
        ...


@attrs.frozen
class Peer:
    """One runtime: its title in the table, its module here, and the library or program that it needs."""

    title: str
    module: str
    library: str | None = None
    program: str | None = None

    def missing(self) -> str | None:
        """The reason why the peer cannot be measured here, or `None` when it can."""
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
