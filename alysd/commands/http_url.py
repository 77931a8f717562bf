"""Reads the URL of a node from the command line."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import httpx


def http_url(option: str, text: str) -> "httpx.URL":
    """The URL that is the value of `option`. Raises `UserError` unless it is one of HTTP with a host."""
    import httpx

    from alysd.errors import UserError

    try:
        url = httpx.URL(text)
    except httpx.InvalidURL as error:
        raise UserError(f"{option} {text}: {error}") from error
    if url.scheme not in ("http", "https") or not url.host:
        raise UserError(f"{option} {text}: must be a URL that begins with http:// or https://")
    return url
