"""The floors of the house: imports point down or sideways within one package, never up."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import alysd
import alysd.embedded

ROOT = Path(alysd.__file__).parent
TESTS = Path(__file__).parent

FLOORS = (
    {"types", "errors", "timing"},
    {"nurseries", "consensus", "peg", "wire"},
    {"messages", "config", "ports", "bitcoin_ports"},
    {"workflows", "integrations"},
    {"actors"},
    {"api"},
    {"embedded"},
    {"addresses", "validation", "peer_host_process", "governance_process", "bitcoin_resources", "audit"},
    {"payment_signer", "signer_process", "governance_resources"},
    {"node", "resources"},
    {"running", "clock_mode"},
    {"cli", "commands", "__main__"},
    {"testing"},
)
FLOOR = {room: height for height, rooms in enumerate(FLOORS) for room in rooms}
MODULES = sorted(ROOT.rglob("*.py"))


def room_of(path: Path) -> str:
    """The first part of a module's path below the package: its room."""
    return path.relative_to(ROOT).with_suffix("").parts[0]


def imported_rooms(path: Path) -> Iterator[tuple[str, int]]:
    """Every room of alysd that a module imports, at any depth of its code, with the line."""
    for node in ast.walk(ast.parse(path.read_text(), str(path))):
        names: list[str] = []
        line = node.lineno if isinstance(node, ast.Import | ast.ImportFrom) else 0
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: relative imports hide which room is meant"
            module = node.module or ""
            names = [f"alysd.{alias.name}" for alias in node.names] if module == "alysd" else [module]
        for name in names:
            parts = name.split(".")
            if parts[0] == "alysd" and len(parts) > 1:
                yield parts[1], line


def may_import(here: str, there: str) -> bool:
    """The rule: a lower floor, or the same room; and actors meet integrations only through ports.

    The rules of a block call those of the peg, never the other way."""
    if here == there or (here, there) in (("node", "resources"), ("consensus", "peg")):
        return True
    if here == "nurseries" or (here == "actors" and there == "integrations"):
        return False
    if here in ("cli", "commands", "__main__") and there in ("cli", "commands"):
        return True
    return FLOOR[there] < FLOOR[here]


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_point_down(path: Path) -> None:
    here = room_of(path)
    if here == "__init__":
        return
    assert here in FLOOR, f"{here} stands on no floor: give it one in this test and in docs/architecture.md"
    wrong = [
        f"{path.relative_to(ROOT)}:{line} {here} imports {there}"
        for there, line in imported_rooms(path)
        if there != "__version__" and not may_import(here, there)
    ]
    assert not wrong, "\n".join(wrong)


def test_the_table_of_layers_in_the_docs_has_these_floors() -> None:
    """Otherwise a reader of docs/architecture.md learns other layers than those that this test enforces."""
    page = (TESTS.parent / "docs" / "architecture.md").read_text()
    layers: dict[int, set[str]] = {}
    for number, names in re.findall(r"^\| (\d+) \| (.*?) \|", page, re.MULTILINE):
        layers.setdefault(int(number), set()).update(re.findall(r"`(\w+)`", names))
    assert [layers[number] for number in sorted(layers)] == list(FLOORS)


EMBEDDED = ROOT / "embedded"
OUTSIDE_EMBEDDED = sorted(
    path
    for folder in (ROOT, TESTS, TESTS.parent / "benchmarks", TESTS.parent / "examples")
    for path in folder.rglob("*.py")
    if not path.is_relative_to(EMBEDDED) and not path.is_relative_to(TESTS / "embedded")
)


def test_the_embedded_engine_is_used_through_its_facade() -> None:
    facade = set(alysd.embedded.__all__)
    wrong = [
        str(path)
        for path in OUTSIDE_EMBEDDED
        if "alysd.embedded" in (text := path.read_text())
        for node in ast.walk(ast.parse(text, str(path)))
        if reaches_inside_embedded(node, facade)
    ]
    assert not wrong, f"these import more of alysd.embedded than its facade: {wrong}"


def reaches_inside_embedded(node: ast.AST, facade: set[str]) -> bool:
    """Whether a statement imports from the embedded engine anything but the names of its facade."""
    if isinstance(node, ast.Import):
        return any(alias.name.startswith("alysd.embedded.") for alias in node.names)
    if not isinstance(node, ast.ImportFrom) or node.module is None:
        return False
    if node.module == "alysd.embedded":
        return any(alias.name not in facade for alias in node.names)
    return node.module.startswith("alysd.embedded.")


def test_reaching_inside_the_embedded_engine_is_seen() -> None:
    def found(statement: str) -> bool:
        return reaches_inside_embedded(ast.parse(statement).body[0], {"EmbeddedEngine"})

    assert found("import alysd.embedded.pool")
    assert found("from alysd.embedded import pool")
    assert found("from alysd.embedded.pool.checks import PoolLimits")
    assert not found("from alysd.embedded import EmbeddedEngine")
    assert not found("import alysd.embedded")


AUDIT = sorted((ROOT / "audit").rglob("*.py"))
NOT_IN_AUDIT = {"peg", "consensus", "workflows", "actors", "messages", "node", "nurseries", "embedded"}


def test_the_audit_shares_no_rule_with_the_node() -> None:
    """A mistake in the rules of the peg must not be repeated in the tool that finds such mistakes."""
    assert AUDIT
    wrong = [
        f"{path.relative_to(ROOT)}:{line} imports {there}"
        for path in (*AUDIT, ROOT / "commands" / "audit.py")
        for there, line in imported_rooms(path)
        if there in NOT_IN_AUDIT
    ]
    assert not wrong, wrong


TEST_CODE = sorted(path for folder in (TESTS, TESTS.parent / "benchmarks") for path in folder.rglob("*.py"))


def imports_test_module(node: ast.AST) -> bool:
    """Whether a statement imports a `test_*` module, or a name out of one."""
    names: list[str] = []
    if isinstance(node, ast.Import):
        names = [alias.name for alias in node.names]
    elif isinstance(node, ast.ImportFrom):
        names = [f"{node.module}.{alias.name}" for alias in node.names]
    parts = [part for name in names if name.startswith("tests.") for part in name.split(".")]
    return any(part.startswith("test_") for part in parts)


def test_no_test_module_is_imported() -> None:
    """Code that tests share belongs in alysd.testing, or in a separate module beside the tests."""
    wrong = [
        f"{path.relative_to(TESTS.parent)}:{getattr(node, 'lineno', 0)}"
        for path in TEST_CODE
        if re.search(r"\b(from|import)\s+tests\b", text := path.read_text())
        for node in ast.walk(ast.parse(text, str(path)))
        if imports_test_module(node)
    ]
    assert not wrong, f"these import a test module; move what they need to a helper module: {wrong}"


def test_an_import_of_a_test_module_is_seen() -> None:
    def found(statement: str) -> bool:
        return imports_test_module(ast.parse(statement).body[0])

    assert found("import tests.wire.test_hex")
    assert found("from tests.wire import test_hex")
    assert found("from tests.wire.test_hex import encode")
    assert not found("from tests.wire.samples import PAYLOAD")
    assert not found("from alysd.testing.targets import test_target")


def test_the_rule_refuses_what_it_should() -> None:
    assert not may_import("consensus", "wire")
    assert not may_import("types", "errors")
    assert not may_import("actors", "integrations")
    assert not may_import("nurseries", "types")
    assert not may_import("workflows", "actors")
    assert may_import("actors", "workflows")
    assert may_import("node", "integrations")
    assert may_import("embedded", "api")
    assert not may_import("api", "embedded")


FEDERATION_PARAMETERS = ("authorities", "federation_bitcoin_keys", "federation_fee_addresses")

READS_THE_FIRST_FEDERATION = (
    "types/chain_spec.py",  # makes it of the parameters
    "config",  # judges the parameters, before there is a chain
    "consensus/federation.py",
    "consensus/genesis.py",
    "integrations/possession.py",  # judges the keys, before there is a chain
    "commands/check.py",
    "audit/federations.py",  # has files of the later ones, and the audit shares no rule with the node
    "commands/peg_in.py",  # has only files; it refuses the address of another federation
    "workflows/block_production.py",  # until it has seen a head
    "workflows/approval.py",  # the same
)


def reads_first_federation(node: ast.AST) -> bool:
    """Whether this is an attribute that knows nothing of the federation's changes."""
    if not isinstance(node, ast.Attribute):
        return False
    owner = node.value.attr if isinstance(node.value, ast.Attribute) else getattr(node.value, "id", "")
    return node.attr == "first_federation" or (
        node.attr in FEDERATION_PARAMETERS and owner.strip("_") in ("spec", "parameters")
    )


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_the_federation_is_asked_of_a_state(path: Path) -> None:
    """A place that reads the specification's federation would go on with it after the federation has changed."""
    name = str(path.relative_to(ROOT))
    if name.startswith(READS_THE_FIRST_FEDERATION):
        return
    reads = [node for node in ast.walk(ast.parse(path.read_text())) if reads_first_federation(node)]
    lines = [getattr(node, "lineno", 0) for node in reads]
    assert not lines, f"{name}:{lines}: ask consensus.federation.federation_at for the federation at a state"


def test_a_read_of_the_first_federation_is_seen() -> None:
    seen = (
        "self._spec.authorities, spec.federation_bitcoin_keys, context.spec.authorities, context.first_federation"
    )
    unseen = "federation.authorities, spec.name"
    assert sum(reads_first_federation(node) for node in ast.walk(ast.parse(seen))) == 4
    assert sum(reads_first_federation(node) for node in ast.walk(ast.parse(unseen))) == 0
