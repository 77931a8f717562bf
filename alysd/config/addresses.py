"""Addresses in the configuration: of the node's servers, and of other programs."""

from pathlib import Path
from typing import NewType
from urllib.parse import urlsplit

import attrs

HostName = NewType("HostName", str)
"""A host name in lower case, without port."""

NodeId = NewType("NodeId", str)
"""The name of a node at its governance: 1 to 64 letters, digits and `. _ -`."""


@attrs.frozen
class ListenAddress:
    """The address of a server: an IP address or `localhost`, and a port from 1 to 65535."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def url(self) -> str:
        """The URL of the server for a browser on the same machine."""
        return f"http://{self}"


@attrs.frozen
class HttpUrl:
    """An http or https URL. `text` is the complete URL; `str()` omits user and password."""

    text: str = attrs.field(repr=False)

    @property
    def host(self) -> str:
        """The host name or IP address, in lower case and without brackets."""
        return urlsplit(self.text).hostname or ""

    def __str__(self) -> str:
        scheme, _, rest = self.text.partition("://")
        authority, slash, path = rest.partition("/")
        return f"{scheme}://{authority.rpartition('@')[2]}{slash}{path}"


@attrs.frozen
class SignerAddress:
    """The address of a signer of payments: the path of a Unix socket, or a host and a port for TLS."""

    path: Path | None = None
    host: str = ""
    port: int = 0

    def __str__(self) -> str:
        return f"tls://{ListenAddress(self.host, self.port)}" if self.path is None else f"unix:{self.path}"


@attrs.frozen
class ServerAddress:
    """The address of a server on another machine: a host name or an IP address, and a port."""

    host: str
    port: int

    def __str__(self) -> str:
        return str(ListenAddress(self.host, self.port))
