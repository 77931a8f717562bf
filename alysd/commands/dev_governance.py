"""`alysd dev-governance`: a governance for development, driven from the keyboard."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from alysd.commands.output import say

if TYPE_CHECKING:
    import asyncio

    from alysd.integrations.governance.server import DevGovernance

DEFAULT_ADDRESS = "127.0.0.1:50051"

HELP = """\
nodes                            list the registered nodes
propose ID KIND DATA [SECONDS]   announce a proposal: KIND is federation, parameter, emergency or upgrade, DATA is
                                 text or 0x and hex, and the vote lasts SECONDS (default: 86400)
update FILE                      send a change of the federation that `alysd federation update` has made and signed
drop                             end the streams of all nodes, which then connect again
mute | unmute                    answer nothing | answer again
garbage                          send bytes that are no message
quit                             end
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `alysd dev-governance`."""
    parser.add_argument(
        "--address", default=DEFAULT_ADDRESS, metavar="HOST:PORT", help="where to listen (default: %(default)s)"
    )
    parser.add_argument("--certificate", type=Path, required=True, metavar="FILE", help="its certificate (PEM)")
    parser.add_argument("--key", type=Path, required=True, metavar="FILE", help="the certificate's key, mode 0600")
    parser.add_argument(
        "--authority",
        type=Path,
        required=True,
        metavar="FILE",
        help="the authority that has signed the nodes' certificates",
    )


def run(args: argparse.Namespace) -> int:
    """Serve until `quit`, Ctrl-C, or the end of the input. Raises `ConfigError`, or `AddressInUse`."""
    import asyncio
    import ssl
    from importlib.util import find_spec

    from alysd.config.values import CONVERTER
    from alysd.errors import AddressInUse, ConfigError
    from alysd.integrations.payment_link import TlsFiles

    if find_spec("grpclib") is None:
        raise ConfigError("alysd dev-governance needs grpclib: install alysd with the extra alysd[governance]")
    from alysd.config.addresses import ListenAddress
    from alysd.integrations.governance.server import DevGovernance

    try:
        address = CONVERTER.structure(args.address, ListenAddress)
    except ValueError as error:
        raise ConfigError(f"--address {args.address}: {error}") from None
    files = TlsFiles(args.certificate, args.key, args.authority)
    files.context(ssl.Purpose.CLIENT_AUTH)  # before anything is said to work
    server = DevGovernance(files, lambda line: say(f"{line}\n", now=True))
    try:
        asyncio.run(_serve(server, address.host, address.port))
    except OSError as error:
        raise AddressInUse(f"{address}: {error.strerror}") from None
    return 0


async def _serve(server: "DevGovernance", host: str, port: int) -> None:
    import asyncio

    stop, loop = asyncio.Event(), asyncio.get_running_loop()
    keyboard = asyncio.ensure_future(_read_lines(server, stop))
    try:
        await server.serve(
            host, port, stop, lambda: say(f"the governance listens at {host}:{port}\n{HELP}", now=True)
        )
    finally:
        keyboard.cancel()
        loop.call_soon(stop.set)


async def _read_lines(server: "DevGovernance", stop: "asyncio.Event") -> None:
    """Carry out each line of the input. Its end stops the server."""
    import asyncio
    import sys
    import threading

    loop = asyncio.get_running_loop()
    lines: asyncio.Queue[str] = asyncio.Queue()

    def read() -> None:
        for line in iter(sys.stdin.readline, ""):
            loop.call_soon_threadsafe(lines.put_nowait, line)
        loop.call_soon_threadsafe(lines.put_nowait, "quit")

    # A daemon thread, because nothing can end a read of the keyboard.
    threading.Thread(target=read, daemon=True).start()
    while not stop.is_set():
        words = (await lines.get()).split()
        if words == ["quit"]:
            stop.set()
        elif words:
            say(obey(server, words) + "\n", now=True)


def obey(server: "DevGovernance", words: list[str]) -> str:
    """Carry out one command of the keyboard, and return what to say."""
    match words:
        case ["nodes"]:
            return "\n".join(f"{node.name}" for node in server.nodes) or "no node is registered"
        case ["propose", name, kind, data, *seconds] if len(seconds) < 2:
            return _propose(server, name, kind, data, seconds[0] if seconds else "86400")
        case ["update", path]:
            return _update(server, Path(path))
        case ["drop"]:
            server.drop()
            return f"{len(server.nodes)} streams are ended"
        case ["mute"] | ["unmute"]:
            server.faults.answers = words == ["unmute"]
            return "it answers again" if server.faults.answers else "it answers nothing"
        case ["garbage"]:
            server.send(b"\xff" * 100)
            return "100 bytes that are no message are sent"
        case _:
            return HELP.rstrip()


def _propose(server: "DevGovernance", name: str, kind: str, data: str, seconds: str) -> str:
    import re
    import time

    from alysd.types.governance import MAX_PROPOSAL_BYTES, GovernanceProposal, ProposalKind

    kinds = [each.value for each in ProposalKind]
    if kind not in kinds or not re.fullmatch(r"[A-Za-z0-9._:-]{1,64}", name) or not seconds.isdecimal():
        return f"propose ID KIND DATA [SECONDS], with KIND one of {', '.join(kinds)}"
    content = data.encode()
    if data.startswith("0x"):
        try:
            content = bytes.fromhex(data[2:])
        except ValueError:
            return "DATA is no hex"
    if len(content) > MAX_PROPOSAL_BYTES:
        return f"DATA has {len(content)} bytes, at most {MAX_PROPOSAL_BYTES} are kept"
    deadline = int(time.time()) + int(seconds[:9])
    server.propose(GovernanceProposal(name, ProposalKind(kind), content, deadline, 1))
    return f"{name} is announced to {len(server.nodes)} nodes"


def _update(server: "DevGovernance", path: Path) -> str:
    from alysd.config.update_file import read_update
    from alysd.errors import ConfigError

    try:
        update = read_update(path)
    except ConfigError as error:
        return str(error)
    server.update(update)
    return f"change {update.sequence} ({update.kind}) is sent to {len(server.nodes)} nodes"
