"""Tests of the governance stream, which need the extra `governance`."""

from importlib.util import find_spec

import pytest

needs_governance = pytest.mark.skipif(
    find_spec("grpclib") is None or find_spec("trio_asyncio") is None, reason="needs the extra `governance`"
)
