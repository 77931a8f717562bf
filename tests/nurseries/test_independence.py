"""The runtime depends only on trio and attrs."""

import ast
import sys
from pathlib import Path

import pytest

import alysd.nurseries

FOLDER = Path(alysd.nurseries.__file__).parent
ALLOWED = {"trio", "attrs", *sys.stdlib_module_names}


@pytest.mark.parametrize("path", sorted(FOLDER.rglob("*.py")), ids=lambda path: path.stem)
def test_a_module_imports_nothing_from_outside(path: Path) -> None:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0
            names = [node.module or ""]
        else:
            continue
        for name in names:
            assert name.partition(".")[0] in ALLOWED or name.startswith("alysd.nurseries"), name


def test_every_public_name_exists_once() -> None:
    names = alysd.nurseries.__all__
    assert len(names) == len(set(names))
    assert all(hasattr(alysd.nurseries, name) for name in names)
