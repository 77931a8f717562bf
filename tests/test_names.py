"""Each public class of the program has a name of its own."""

import ast
from collections import defaultdict
from pathlib import Path

ALYSD = Path(__file__).resolve().parent.parent / "alysd"


def test_no_two_public_classes_have_one_name() -> None:
    """A reader who looks for a class would find the wrong one."""
    places: dict[str, list[str]] = defaultdict(list)
    for path in sorted(ALYSD.rglob("*.py")):
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                places[node.name].append(str(path.relative_to(ALYSD)))
    assert {name: found for name, found in places.items() if len(found) > 1} == {}
