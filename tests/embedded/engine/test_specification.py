"""The effects that importing the specification has on the process."""

import subprocess
import sys

NESTED = """
import json
from alysd.embedded.engine import eels, specification
assert specification.fork and eels
for depth in (10_000, 100_000, 5_000_000):
    try:
        json.loads("[" * depth)
    except (ValueError, RecursionError):
        print("refused")
"""


def test_deeply_nested_json_is_refused_beside_the_engine() -> None:
    """One request of nothing but brackets would end the daemon with a segmentation fault."""
    done = subprocess.run([sys.executable, "-c", NESTED], capture_output=True, text=True, timeout=120, check=False)
    assert (done.returncode, done.stdout) == (0, "refused\n" * 3), done.stderr
