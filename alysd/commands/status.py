"""`alysd status`: the chain, the health and the tree of a running node."""

import argparse
import json
import sys
from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    import httpx

EXIT_AMISS = 1
"""The exit status when the node is degraded or unhealthy."""

EXIT_NOT_RUNNING = 3
"""The exit status when no node answers, as that of `systemctl status`."""

DEADLINE_SECONDS = 5.0
"""Longer than the page itself takes: 2 s at most (`Timing.page_ask`)."""

MAX_ANSWER_BYTES = 4 * 1024 * 1024
"""Enough for a tree of thousands of children; a longer answer is not a node's status."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `alysd status`."""
    parser.add_argument(
        "--url",
        default="http://127.0.0.1:3000",
        help="where the node shows its operator's pages: api.operator_address, or api.address (%(default)s)",
    )
    parser.add_argument("--json", action="store_true", help="print what the node says as JSON")


def run(args: argparse.Namespace) -> int:
    """Print the status; 0 healthy, 1 not quite, 3 when no node answers."""
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
        sys.stdout.write(json.dumps(report, indent=2) + "\n")
    else:
        sys.stdout.write(draw_status(report, now=time.time()))
    return 0 if report["health"]["status"] == "healthy" else EXIT_AMISS


def fetch_report(url: str, transport: "httpx.BaseTransport | None" = None) -> dict[str, Any]:
    """Ask the node; `ConnectionError` if nobody answers in time, `ValueError` if it is no node that answers."""
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
                    raise ValueError("the answer is too long to be a node's status")
            code = response.status_code
    except httpx.TimeoutException:
        raise ConnectionError(f"no answer from {url} within {DEADLINE_SECONDS:.0f} s") from None
    except (httpx.ConnectError, httpx.ReadError, httpx.RemoteProtocolError):
        raise ConnectionError(f"no node answers at {url}") from None
    except (httpx.InvalidURL, httpx.UnsupportedProtocol):
        raise ValueError('an address like "http://127.0.0.1:3000" is needed') from None
    try:
        report = json.loads(body) if code == 200 else None
    except (ValueError, RecursionError):
        report = None
    if not isinstance(report, dict) or not {"health", "tree", "chain", "time"} <= report.keys():
        raise ValueError("what answers there is not an alysd node")
    return cast("dict[str, Any]", report)
