"""The specification's contracts for elliptic curves are loaded only for comparison, and once."""

import subprocess
import sys

START = """
import sys
from concurrent.futures import ThreadPoolExecutor
from ethereum import EVM_RECURSION_LIMIT
from alysd.embedded.engine.eels import mapping
from tests.embedded.engine.precompiled_frames import outcome
from alysd.embedded.engine.time_budget import TimeBudget
slow = ("py_ecc.optimized_bls12_381", "py_ecc.optimized_bn128", "pydantic")
for number in range(1, 11):
    outcome(number, b"", TimeBudget())
assert not [name for name in slow if name in sys.modules]
assert sys.getrecursionlimit() == EVM_RECURSION_LIMIT
with ThreadPoolExecutor(4) as threads:
    for calling in [threads.submit(outcome, number, b"") for number in (8, 10) * 2]:
        calling.result()
assert "py_ecc.optimized_bls12_381" in sys.modules
assert sys.getrecursionlimit() == EVM_RECURSION_LIMIT, "a body of brackets could end the process"
"""


def test_no_call_of_the_engine_imports_the_curves_and_threads_may_load_them_at_the_same_time() -> None:
    """They took a third of the time from the start of the process until the node was ready."""
    subprocess.run([sys.executable, "-c", START], check=True)
