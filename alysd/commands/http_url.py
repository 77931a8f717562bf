"""Reads the URL of a node from the command line."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import httpx

DEFAULT_URL = "http://127.0.0.1:3000"
"""The JSON-RPC of a node on this machine, with the usual port."""


def http_url(option: str, text: str) -> "httpx.URL":
    """The URL that is the value of `option`. Raises `UserError` unless it is one of HTTP with a host."""
    import httpx

    from alysd.errors import UserError, without_credentials
    from alysd.integrations.json_rpc_client import INVALID_URL

    shown = without_credentials(text)
    try:
        url = httpx.URL(text)
    except httpx.InvalidURL as error:
        raise UserError(f"{option} {shown}: {error if shown == text else INVALID_URL}") from None
    if url.scheme not in ("http", "https") or not url.host:
        raise UserError(f"{option} {shown}: must be a URL that begins with http:// or https://")
    return url
