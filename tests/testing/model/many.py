"""The settings of tests that run many random programs."""

import os

from hypothesis import HealthCheck, settings


def many_programs(usual: int) -> settings:
    """Run this many programs, or as many as ALYSD_EXAMPLES says."""
    return settings(
        max_examples=int(os.environ.get("ALYSD_EXAMPLES", str(usual))),
        deadline=None,
        print_blob=True,
        suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
    )
