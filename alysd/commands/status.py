"""`alysd status`: shows the chain, the health and the supervision tree of a running node."""

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from alysd.commands.output import say
from alysd.commands.running_node import add_node_arguments, places_of
from alysd.wire.plain_text import plain

if TYPE_CHECKING:
    import httpx

EXIT_NOT_HEALTHY = 1
"""The exit status when the node is degraded or unhealthy, is starting, or does not show its status."""

EXIT_NOT_RUNNING = 3
"""The exit status when no node answers. `systemctl status` has the same for a service that does not run."""

DEADLINE_SECONDS = 5.0
"""Deadline of the request. The node makes the page within 4 s (four times `Timing.page_ask`)."""

MAX_ANSWER_BYTES = 4 * 1024 * 1024
"""The largest answer that is read: enough for a tree of thousands of children."""


DEFAULT_URL = "http://127.0.0.1:3000"
"""The URL of a node whose configuration sets no address."""

ANY_ADDRESS = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104  they are replaced, not listened on
"""Maps each address that stands for all addresses of a machine to an address to which a client can connect."""

HEAD_REQUEST: dict[str, Any] = {"jsonrpc": "2.0", "id": 1, "method": "getheadblock", "params": []}
"""A request that only the JSON-RPC of an Alys node answers with a block, or with an error of `RpcCode`."""

CLIENT_REQUEST: dict[str, Any] = {"jsonrpc": "2.0", "id": 1, "method": "web3_clientVersion", "params": []}
"""A request that only the Ethereum RPC of an Alys node answers with `alysd/…`; other clients give their names."""

OK = 200


class _NotShown(Exception):
    """A node runs, but does not show its status; the message says why."""


ON_DEMAND = "dev-clock"
"""The mode of a node that makes blocks on demand, in its page /health/status (`alysd.clock_mode.MODE`)."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `alysd status`."""
    parser.add_argument(
        "--url",
        help="URL of the node's api.operator_address, or api.address if that is not set (default: what the "
        f"configuration says; without one, {DEFAULT_URL})",
    )
    add_node_arguments(parser)
    parser.add_argument("--json", action="store_true", help="print the status as JSON")


def run(args: argparse.Namespace) -> int:
    """Print the status; return 0 if the node is healthy, 1 if it is not, 3 if no node answers."""
    import time

    from alysd.commands.status_text import draw_status

    try:
        report = _report(args)
    except ConnectionError as error:
        sys.stderr.write(f"alysd: {plain(str(error))}\n")
        return EXIT_NOT_RUNNING
    except _NotShown as error:
        sys.stderr.write(f"alysd: {plain(str(error))}\n")
        return EXIT_NOT_HEALTHY
    if report.get("mode") == ON_DEMAND:
        return _show_on_demand(report, as_json=args.json)
    if args.json:
        say(json.dumps(report, indent=2) + "\n")
    else:
        say(draw_status(report, now=time.time()))
    return 0 if report["health"]["status"] == "healthy" else EXIT_NOT_HEALTHY


def _show_on_demand(report: dict[str, Any], *, as_json: bool) -> int:
    """Print the status of a chain on demand, which has no supervision tree, slots or peers."""
    from datetime import UTC, datetime

    if as_json:
        say(json.dumps(report, indent=2) + "\n")
        return 0
    try:
        when = f"{datetime.fromtimestamp(report['time'], UTC):%Y-%m-%d %H:%M:%S} UTC"
    except (KeyError, TypeError, ValueError, OverflowError, OSError):
        when = "an unknown time"
    say(plain(f"a chain on demand (--dev-clock)   head {report.get('height')} of {when}   healthy") + "\n")
    return 0


def _report(args: argparse.Namespace) -> dict[str, Any]:
    """Get the status from --url or --socket, else from the places in the configuration, else from `DEFAULT_URL`.

    The page may be elsewhere than the configuration says: the files may have changed since the node read them. So
    the control socket is asked too; first, if the configuration is wrong. Raises `ConnectionError`, `ConfigError`,
    and `_NotShown` of the node at the socket.
    """
    if args.url is not None:
        return _from_page(str(args.url), "--url ")
    if args.socket is not None:
        return _from_socket(args.socket)
    if args.config is None and not args.overrides:
        return _from_page(DEFAULT_URL)
    import attrs

    from alysd.cli import complain
    from alysd.errors import ConfigError

    places = places_of(args)
    address = places.api.operator_address or places.api.address
    url = attrs.evolve(address, host=ANY_ADDRESS.get(address.host, address.host)).url
    if places.storage is None:
        complain(
            f"alysd: warning: storage.path cannot be read; asking {url}, if it is not another node: see --socket"
        )
        return _from_page(url)
    socket = places.storage.control_socket
    if places.problem is not None:
        try:
            return _from_socket(socket)
        except (ConnectionError, _NotShown) as error:
            complain(f"alysd: warning: {plain(str(error))}; asking {url}, if it is not another node: see --socket")
            return _from_page(url)
    try:
        return _from_page(url)
    except (ConnectionError, ConfigError) as failure:
        try:
            report = _from_socket(socket)
        except ConnectionError:
            raise failure from None
        complain(f"alysd: warning: {plain(str(failure))}, but the node of {plain(str(socket))} answers")
        return report


def _from_page(url: str, option: str = "") -> dict[str, Any]:
    from alysd.errors import ConfigError, without_credentials

    try:
        return fetch_report(url)
    except ValueError as error:
        raise ConfigError(f"{option}{without_credentials(url)}: {error}") from None


def _from_socket(path: Path) -> dict[str, Any]:
    """Ask the control socket for the status. Raises `ConnectionError`, and `_NotShown` if the node refuses."""
    from alysd.api.control import SHOW_STATUS
    from alysd.commands.actors import ask
    from alysd.errors import UserError

    try:
        answer = ask(path, {"command": SHOW_STATUS})
    except UserError as error:
        raise ConnectionError(str(error)) from None
    if answer.get("error") == "malformed":  # it does not know the command
        raise _NotShown(
            f"{path}: the node runs an older version, which shows its status only at its address: see --url"
        )
    if "error" in answer:
        raise _NotShown(f"{path}: {answer.get('message')}")
    return cast("dict[str, Any]", answer["status"])


def fetch_report(url: str, transport: "httpx.BaseTransport | None" = None) -> dict[str, Any]:
    """Fetch the status; that of a chain on demand has a `mode`.

    Raises `ConnectionError` without an answer, `ValueError` if the answer is not a status.
    """
    import httpx

    from alysd.errors import without_credentials

    shown = without_credentials(url)
    try:
        with httpx.Client(timeout=DEADLINE_SECONDS, transport=transport, trust_env=False) as client:
            report = _answer(client, httpx.Request("GET", f"{url.rstrip('/')}/status"))
            if {"health", "tree", "chain", "time"} <= report.keys():
                return report
            page = _answer(client, httpx.Request("GET", f"{url.rstrip('/')}/health/status"))
            if page.get("mode") == ON_DEMAND:
                return page
            found = _other_server(client, url)
    except httpx.TimeoutException:
        raise ConnectionError(f"no answer from {shown} within {DEADLINE_SECONDS:.0f} s") from None
    except (httpx.InvalidURL, httpx.UnsupportedProtocol):
        raise ValueError('must be a URL such as "http://127.0.0.1:3000"') from None
    except httpx.HTTPError:
        raise ConnectionError(f"no node answers at {shown}") from None
    if found is None:
        raise ValueError("this is not an alysd node: use the node's api.operator_address or api.address")
    raise ValueError(f"this is the {found} of an alysd node: use the node's {_PAGES_OF[found]}, or --config")


_PAGES_OF = {
    "JSON-RPC": "api.operator_address, which has its status",
    "Ethereum RPC": "api.operator_address or api.address, which has its status",
}
"""Advice for each kind of server that may lack the status page: the settings whose address has the page.

The JSON-RPC lacks the page only if `api.operator_address` is set."""


def _other_server(client: "httpx.Client", url: str) -> str | None:
    """Return the kind of a server that has no status page; None if it does not belong to an alysd node."""
    from alysd.errors import RpcCode

    head = _answer(client, _post(url, HEAD_REQUEST))
    block, error = head.get("result"), head.get("error")
    if (isinstance(block, dict) and "height" in block) or (
        isinstance(error, dict) and cast("dict[str, Any]", error).get("code") in tuple(RpcCode)
    ):
        return "JSON-RPC"
    name = _answer(client, _post(url, CLIENT_REQUEST)).get("result")
    return "Ethereum RPC" if isinstance(name, str) and name.startswith("alysd/") else None


def _post(url: str, request: dict[str, Any]) -> "httpx.Request":
    import httpx

    return httpx.Request("POST", url, json=request)


def _answer(client: "httpx.Client", request: "httpx.Request") -> dict[str, Any]:
    """Send a request and return the JSON object in the answer, or an empty object if the answer has none.

    Raises `ValueError` if the answer exceeds `MAX_ANSWER_BYTES`.
    """
    from alysd.wire.json_input import parse_json

    body, response = b"", client.send(request, stream=True)
    try:
        for chunk in response.iter_bytes():
            body += chunk
            if len(body) > MAX_ANSWER_BYTES:
                raise ValueError("the answer is too long: this is not the address of an alysd node")
    finally:
        response.close()
    try:
        report: object = parse_json(body) if response.status_code == OK else None
    except ValueError:
        report = None
    return cast("dict[str, Any]", report) if isinstance(report, dict) else {}
