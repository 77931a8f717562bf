"""`alysd status`: shows the chain, the health and the supervision tree of a running node."""

import argparse
import json
import sys
from typing import TYPE_CHECKING, Any, cast

from alysd.commands.output import say

if TYPE_CHECKING:
    import httpx

EXIT_AMISS = 1
"""The exit status when the node is degraded or unhealthy."""

EXIT_NOT_RUNNING = 3
"""The exit status when no node answers, the same as that of `systemctl status`."""

DEADLINE_SECONDS = 5.0
"""Deadline of the request. The node makes the page within 2 s (`Timing.page_ask`)."""

MAX_ANSWER_BYTES = 4 * 1024 * 1024
"""The largest answer that is read: enough for a tree of thousands of children."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `alysd status`."""
    parser.add_argument(
        "--url",
        default="http://127.0.0.1:3000",
        help="URL of the node's api.operator_address, or api.address if that is not set (%(default)s)",
    )
    parser.add_argument("--json", action="store_true", help="print the status as JSON")


def run(args: argparse.Namespace) -> int:
    """Print the status; return 0 if the node is healthy, 1 if it is not, 3 if no node answers."""
    import time

    from alysd.commands.status_text import draw_status
    from alysd.errors import ConfigError

    try:
        report = fetch_report(args.url)
    except ConnectionError as error:
        sys.stderr.write(f"alysd: {error}\n")
        return EXIT_NOT_RUNNING
    except ValueError as error:
        raise ConfigError(f"--url {args.url}: {error}") from None
    if args.json:
        say(json.dumps(report, indent=2) + "\n")
    else:
        say(draw_status(report, now=time.time()))
    return 0 if report["health"]["status"] == "healthy" else EXIT_AMISS


def fetch_report(url: str, transport: "httpx.BaseTransport | None" = None) -> dict[str, Any]:
    """Fetch the status. Raises `ConnectionError` without an answer, `ValueError` if the answer is not a status."""
    import httpx

    body = b""
    try:
        with (
            httpx.Client(timeout=DEADLINE_SECONDS, transport=transport, trust_env=False) as client,
            client.stream("GET", f"{url.rstrip('/')}/status") as response,
        ):
            for chunk in response.iter_bytes():
                body += chunk
                if len(body) > MAX_ANSWER_BYTES:
                    raise ValueError("the answer is too long: this is not the address of an alysd node")
            code = response.status_code
    except httpx.TimeoutException:
        raise ConnectionError(f"no answer from {url} within {DEADLINE_SECONDS:.0f} s") from None
    except (httpx.ConnectError, httpx.ReadError, httpx.RemoteProtocolError):
        raise ConnectionError(f"no node answers at {url}") from None
    except (httpx.InvalidURL, httpx.UnsupportedProtocol):
        raise ValueError('must be a URL such as "http://127.0.0.1:3000"') from None
    try:
        report = json.loads(body) if code == 200 else None
    except (ValueError, RecursionError):
        report = None
    if not isinstance(report, dict) or not {"health", "tree", "chain", "time"} <= report.keys():
        raise ValueError(
            "the server there is not an alysd node: use the node's api.operator_address or api.address"
        )
    return cast("dict[str, Any]", report)
