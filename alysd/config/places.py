"""Checks the addresses and the data folder that a node needs on this machine."""

import errno
import ipaddress
import os
import socket
import stat
import tempfile
from pathlib import Path

from alysd.config.addresses import ListenAddress
from alysd.config.chain_sections import StorageConfig

LOOPBACK = ("127.0.0.1", "::1")
"""The addresses of `localhost`."""


def collide(one: ListenAddress, other: ListenAddress) -> bool:
    """Return whether the ports are equal and the hosts overlap, so that two servers cannot use both addresses.

    `0.0.0.0` contains every IPv4 address and `::` every IPv6 address.
    """
    return one.port == other.port and any(
        a.version == b.version and (a == b or a.is_unspecified or b.is_unspecified)
        for a in map(ipaddress.ip_address, _addresses(one))
        for b in map(ipaddress.ip_address, _addresses(other))
    )


def check_address(address: ListenAddress) -> str | None:
    """Return the reason why no server can use this address on this machine, or None if one can.

    An address in use is not a problem here.
    """
    try:
        for host in _addresses(address):
            family = socket.AF_INET6 if ":" in host else socket.AF_INET
            with socket.socket(family, socket.SOCK_STREAM) as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                probe.bind((host, address.port))
    except OSError as error:
        if error.errno == errno.EACCES:
            return "may not be opened by this user; choose a port above 1023"
        if error.errno == errno.EADDRINUSE or address.host == "localhost":
            return None  # one of the two addresses of localhost is enough
        return f"cannot be opened: {error.strerror}; name an address of this machine"
    return None


def check_storage(storage: StorageConfig) -> str | None:
    """Return the reason why the data folder cannot be used or created, or None if it can.

    Creates a folder for the check and removes it.
    """
    try:
        if _is_other_than_socket(storage.control_socket):
            return (
                f"{storage.control_socket} is not a socket: move it away, because the "
                "control socket needs this path"
            )
        place = next(place for place in (storage.path, *storage.path.absolute().parents) if place.exists())
        Path(tempfile.mkdtemp(prefix=".alysd-check-", dir=place)).rmdir()
    except OSError as error:
        return f"cannot be used: {error.strerror}"
    return None


def _addresses(address: ListenAddress) -> tuple[str, ...]:
    return LOOPBACK if address.host == "localhost" else (address.host,)


def _is_other_than_socket(path: Path) -> bool:
    try:
        return not stat.S_ISSOCK(os.lstat(path).st_mode)
    except (FileNotFoundError, NotADirectoryError):
        return False
