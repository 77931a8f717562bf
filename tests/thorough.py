"""How many random cases a test runs: few by default, all of them with ALYSD_THOROUGH=1, which `.ci/run` sets."""

import os

THOROUGH = os.environ.get("ALYSD_THOROUGH") == "1"


def cases(usual: int, thorough: int) -> int:
    """The number of random cases. `usual` ones find most mistakes within the time that a developer waits."""
    return thorough if THOROUGH else usual
