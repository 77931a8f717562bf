"""Tests of `alysd.integrations.libp2p`, which need the extra `network`."""

from importlib.util import find_spec

import pytest

needs_libp2p = pytest.mark.skipif(find_spec("libp2p") is None, reason="needs the extra `network`")
