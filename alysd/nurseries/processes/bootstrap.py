"""The first code in a new process: gives up rights and bounds resources, before any code of the program runs."""

import ctypes
import logging
import os
import resource
import signal
import socket
import sys
from functools import partial
from typing import Any

import trio

from alysd.nurseries.errors import leaf_of
from alysd.nurseries.processes import sandbox
from alysd.nurseries.processes.host import host
from alysd.nurseries.processes.progress import Progress

logger = logging.getLogger("alysd.nurseries")

# From <linux/prctl.h>
PR_SET_PDEATHSIG, PR_SET_DUMPABLE, PR_SET_NO_NEW_PRIVS = 1, 4, 38


def main(options: dict[str, Any]) -> None:
    """Run the actor until it has ended. The options are those of `launch`."""
    missing = give_up_rights(options["parent"])
    limit_resources(options["memory"], options["files"], options["nice"])
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(levelname)s %(name)s: %(message)s")
    for each in missing:
        logger.warning("this kernel has no %s, so the process is not kept from %s", *each)
    end = socket.socket(fileno=options["socket"])
    os.set_inheritable(end.fileno(), False)
    end.setblocking(False)
    progress = Progress(options["progress"])
    os.close(options["progress"])
    try:
        trio.run(partial(host, end, progress))
    except BaseExceptionGroup as raised:
        leaf = leaf_of(raised)
        if isinstance(leaf, SystemExit):  # a handler called sys.exit, inside a nursery
            raise leaf from None
        raise


def give_up_rights(parent: int) -> list[tuple[str, str]]:
    """On Linux: end with the parent, gain no rights by exec, write no core dump, and enter the `sandbox`.

    Returns the mechanisms that the kernel lacks, each with the actions that it would prevent. On other systems
    nothing is done: the process ends when it finds that the parent has closed the socket.
    """
    if sys.platform != "linux":
        return []
    libc = ctypes.CDLL(None, use_errno=True)
    for option, value in (
        (PR_SET_PDEATHSIG, signal.SIGKILL),
        (PR_SET_NO_NEW_PRIVS, 1),
        (PR_SET_DUMPABLE, 0),
    ):
        if libc.prctl(option, ctypes.c_ulong(value), *(ctypes.c_ulong(0),) * 3):
            raise OSError(ctypes.get_errno(), f"prctl({option}) failed")
    if os.getppid() != parent:  # it ended before the first prctl, whose signal will then never come
        sys.exit("the parent has ended")
    return sandbox.enter(libc)


def limit_resources(memory: int | None, files: int, nice: int) -> None:
    """Bound memory and files, forbid core dumps, and lower the priority. Limits that are lower already stay."""
    _limit(resource.RLIMIT_CORE, 0)
    _limit(resource.RLIMIT_NOFILE, files)
    if memory is not None:
        _limit(resource.RLIMIT_DATA, memory)
    os.nice(nice)


def _limit(kind: int, value: int) -> None:
    _, hard = resource.getrlimit(kind)
    bound = value if hard == resource.RLIM_INFINITY else min(value, hard)
    resource.setrlimit(kind, (bound, bound))
