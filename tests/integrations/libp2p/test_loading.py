"""libp2p can be loaded with and without the package trio-typing, and says nothing."""

import subprocess
import sys

from tests.integrations.libp2p import needs_libp2p

pytestmark = needs_libp2p


def python(program: str) -> str:
    """Run a program in a fresh interpreter; returns what it printed."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", program],
        check=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    return done.stdout.decode()


def test_libp2p_is_loaded_quietly_without_trio_typing() -> None:
    """uv leaves trio-typing out, because it hides trio's types from pyright."""
    assert python("import alysd.integrations.libp2p, libp2p.transport.tcp.tcp, libp2p.tools.anyio_service") == ""


def test_an_installed_trio_typing_is_left_alone() -> None:
    """pip installs it: the stand-in must not hide it."""
    program = (
        "import sys, trio; from types import ModuleType;"
        "sys.modules['trio_typing'] = real = ModuleType('trio_typing');"
        "real.TaskStatus = trio.TaskStatus; real.takes_callable_and_args = lambda function: function;"
        "import alysd.integrations.libp2p; print(sys.modules['trio_typing'] is real)"
    )
    assert python(program) == "True\n"


def test_its_log_is_silent() -> None:
    """Strangers decide how much libp2p logs."""
    program = (
        "import logging; logging.basicConfig(level=0); import alysd.integrations.libp2p;"
        "logging.getLogger('libp2p.stream_muxer.yamux.yamux').error('from a stranger')"
    )
    assert "from a stranger" not in python(program)
