"""A daemon whose clock is wrong, for tests of a federation."""

import subprocess
import sys
import time


def test_the_node_sees_another_time() -> None:
    """A test of a wrong clock would run with the right one."""
    script = (
        "import sys; sys.argv[1:] = ['3600', 'help']; from alysd.testing import skewed_clock; "
        "from alysd.integrations.clock import SystemClock; "
        "skewed_clock.alysd = lambda: print(SystemClock().time(), sys.argv[1:]); skewed_clock.program(); "
        "print(SystemClock().time())"
    )
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=True)
    inside, after = ran.stdout.splitlines()
    shown, _, arguments = inside.partition(" ")
    assert abs(float(shown) - time.time() - 3600) < 60
    assert arguments == "['help']"
    assert abs(float(after) - time.time()) < 60
