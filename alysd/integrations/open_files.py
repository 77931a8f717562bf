"""Raises the number of files and sockets that this process may have open."""

import resource

ENOUGH = 65_536
"""The number of open files that the process may set as its limit; conf/systemd/alysd.service sets the same.

A node needs about 1,000 at most: three ports with 304 connections each (`ServerLimits`), and some dozens for
databases, execution client and log."""


def raise_limit() -> None:
    """Raise the soft limit to the hard limit, but to `ENOUGH` at most; a higher soft limit stays.

    A shell's soft limit is often 1,024, which full ports would nearly exhaust. The hard limit is the operator's.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = ENOUGH if hard == resource.RLIM_INFINITY else min(hard, ENOUGH)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
