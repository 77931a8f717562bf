"""A program without a process child does not pay for it."""

import subprocess
import sys

PROGRAM = """
import sys, alysd.nurseries
loaded = [name for name in sys.modules if name.startswith("alysd.nurseries.processes")]
print(*sorted(loaded), "ctypes" in sys.modules and "alysd.nurseries.processes.bootstrap" in sys.modules)
"""


def test_the_runtime_loads_neither_side_of_the_border() -> None:
    loaded = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True).stdout
    assert loaded.split() == [
        "alysd.nurseries.processes",
        "alysd.nurseries.processes.launching",
        "alysd.nurseries.processes.progress",
        "alysd.nurseries.processes.spec",
        "False",
    ]
