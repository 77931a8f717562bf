"""The facade of the embedded engine: it has few names, which exist and are imported only at their use."""

import subprocess
import sys

import pytest

import alysd.embedded
from alysd.errors import ConfigError


def test_the_facade_has_at_most_ten_names_and_each_is_found() -> None:
    names = alysd.embedded.__all__
    assert len(names) <= 10
    for name in names:
        assert getattr(alysd.embedded, name).__name__ == name


def test_a_name_that_is_not_in_the_facade_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'Reader'"):
        _ = alysd.embedded.Reader


def test_a_missing_package_of_the_extra_is_named() -> None:
    with pytest.raises(ConfigError, match=r"needs the package not_here: install .* extra alysd\[embedded\]"):
        alysd.embedded.check_installed(("trio", "not_here"))


def test_without_the_extra_no_name_is_imported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "coincurve", None)
    with pytest.raises(ConfigError, match="needs the package coincurve"):
        _ = alysd.embedded.EmbeddedEngine


@pytest.mark.parametrize("module", ["alysd.node", "alysd.resources", "alysd.cli", "alysd.embedded"])
def test_a_node_beside_another_client_does_not_import_the_specification(module: str) -> None:
    """The specification of Ethereum takes half a second to import; every `alysd` command would pay for it."""
    code = f"import sys, {module}; sys.exit(any(name.split('.')[0] == 'ethereum' for name in sys.modules))"
    subprocess.run([sys.executable, "-c", code], check=True)
