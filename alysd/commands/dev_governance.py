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
nodes                              list the registered nodes
propose ID KIND [seconds=N] DATA   announce a proposal: KIND is federation, parameter, emergency or upgrade, the
                                   vote lasts N seconds (default: 86400), and DATA is the rest of the line: text,
                                   which may be in quotes, or 0x and hex
update FILE                        send a change of the federation that `alysd federation update` has signed
drop                               end the streams of all nodes, which then connect again
mute | unmute                      answer nothing | answer again
garbage                            send bytes that are no message
help                               show this text
quit                               end
"""

PROPOSE = "propose ID KIND [seconds=N] DATA"


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
        line = (await lines.get()).strip()
        if line == "quit":
            stop.set()
        elif line:
            say(obey(server, line) + "\n", now=True)


def obey(server: "DevGovernance", line: str) -> str:
    """Carry out one command of the keyboard, and return what to say."""
    import asyncio

    command, _, rest = line.partition(" ")
    takes_rest = {"propose": _propose, "update": _update}
    alone = {"nodes": _nodes, "drop": _drop, "mute": _mute, "unmute": _unmute, "garbage": _garbage}
    try:
        if command in takes_rest:
            return takes_rest[command](server, rest.strip())
        if command in alone and not rest:
            return alone[command](server)
    except asyncio.QueueFull:
        return "a node does not read, and too many messages wait for it: `drop` ends its stream"
    if command == "help":
        return HELP.rstrip()
    mistake = f"`{command}` takes nothing after it" if command in alone else f"there is no command `{command}`"
    return f"{mistake}: `help` shows the commands"


def _nodes(server: "DevGovernance") -> str:
    return "\n".join(f"{node.name}" for node in server.nodes) or "no node is registered"


def _drop(server: "DevGovernance") -> str:
    ended = len(server.nodes)
    server.drop()
    return f"{_count(ended, 'stream')} ended"


def _mute(server: "DevGovernance") -> str:
    server.faults.answers = False
    return "it answers nothing"


def _unmute(server: "DevGovernance") -> str:
    server.faults.answers = True
    return "it answers again"


def _garbage(server: "DevGovernance") -> str:
    server.send(b"\xff" * 100)
    return f"100 bytes that are no message are sent to {_count(len(server.nodes), 'node')}"


def _propose(server: "DevGovernance", rest: str) -> str:
    import re
    import time

    from alysd.types.governance import MAX_PROPOSAL_BYTES, GovernanceProposal, ProposalKind

    found = re.fullmatch(r"(\S+)\s+(\S+)\s+(?:seconds=(\S+)\s+)?(\S.*)", rest, re.DOTALL)
    if found is None:
        return f"{PROPOSE}: {'DATA' if len(rest.split()) > 1 else 'KIND or ID'} is missing"
    name, kind, seconds, data = found[1], found[2], found[3] or "86400", _unquoted(found[4])
    kinds = [each.value for each in ProposalKind]
    if not re.fullmatch(r"[A-Za-z0-9._:-]{1,64}", name):
        return f"{PROPOSE}: ID has 1 to 64 letters, digits, `.`, `_`, `:` or `-`, found {name}"
    if kind not in kinds:
        return f"{PROPOSE}: KIND is one of {', '.join(kinds)}, found {kind}"
    if not re.fullmatch(r"[0-9]{1,9}", seconds):
        return f"{PROPOSE}: N is a whole number of at most 9 digits, found {seconds}"
    content = data.encode()
    if data.startswith("0x"):
        if not re.fullmatch(r"0x([0-9a-fA-F]{2})*", data):
            return f"{PROPOSE}: DATA begins with 0x, but is no hex of whole bytes"
        content = bytes.fromhex(data[2:])
    if len(content) > MAX_PROPOSAL_BYTES:
        return f"DATA has {len(content)} bytes, at most {MAX_PROPOSAL_BYTES} are kept"
    deadline = int(time.time()) + int(seconds)
    server.propose(GovernanceProposal(name, ProposalKind(kind), content, deadline, 1))
    return f"{name} ({len(content)} bytes) is announced to {_count(len(server.nodes), 'node')}"


def _unquoted(text: str) -> str:
    """The text without the quotes around the whole of it."""
    quoted = len(text) > 1 and text[0] == text[-1] and text[0] in "\"'"
    return text[1:-1] if quoted else text


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def _update(server: "DevGovernance", rest: str) -> str:
    from alysd.config.update_file import read_update
    from alysd.errors import ConfigError

    if not rest:
        return "update FILE: FILE is missing"
    try:
        update = read_update(Path(_unquoted(rest)))
    except ConfigError as error:
        return str(error)
    server.update(update)
    return f"change {update.sequence} ({update.kind}) is sent to {_count(len(server.nodes), 'node')}"
