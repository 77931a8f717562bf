"""The pages in docs name the files and modules that exist, and their code runs."""

import re
from pathlib import Path

import attrs
import pytest

import alysd.testing
from alysd.integrations.lmdb_layout import TABLES
from alysd.integrations.lmdb_store import LmdbStore
from alysd.testing.chain import ChainHand, chain_spec
from alysd.testing.config_files import CONF
from alysd.types.chain_spec import ChainSpec

DOCS = Path(__file__).resolve().parent.parent / "docs"


def first_cells(page: str, heading: str) -> list[set[str]]:
    """The names in backticks in the first cell of each row of the first table after `heading`."""
    table = (DOCS / page).read_text().partition(heading)[2].partition("\n|")[2].partition("\n\n")[0]
    return [set(re.findall(r"`([^`]+)`", row.strip("|").split(" | ")[0])) for row in table.split("\n")]


def test_the_protocol_has_every_parameter_with_its_default_and_bounds() -> None:
    """Another implementation would refuse a chain that this one accepts, or compute another genesis hash."""
    table = (DOCS / "protocol.md").read_text().partition("| parameter | default | allowed | meaning |\n")[2]
    rows = table.partition("\n\n")[0].split("\n")[1:]
    cells = [[cell.strip() for cell in row.strip("|").split("|")] for row in rows]
    found = {name.strip("`"): (default, allowed) for name, default, allowed, _ in cells}
    fields = attrs.fields(ChainSpec)
    assert list(found) == [field.name for field in fields]
    for field in fields:
        default, allowed = found[field.name]
        given = "none" if field.default == () else field.default
        shown = f"{given:,}" if isinstance(given, int) else given
        assert default == ("" if given is attrs.NOTHING else shown), field.name
        if (bounds := field.metadata.get("between")) and field.name not in ("bits", "pow_limit"):
            assert re.match(rf"{bounds[0]:,} to {bounds[1]:,}(?![\d,]*\d)", allowed), field.name


def test_every_file_in_conf_is_described() -> None:
    names = {name for cell in first_cells("configuration.md", "## Files in conf/") for name in cell}
    missing = [path.name for path in CONF.iterdir() if not any(path.match(name.rstrip("/")) for name in names)]
    assert not missing


def test_every_module_of_the_testing_kit_is_described() -> None:
    named = {
        name
        for cell in first_cells("testing.md", "does exactly this with this page and with the guide.")
        for name in cell
    }
    folder = Path(str(alysd.testing.__file__)).parent
    there = {path.stem for path in folder.iterdir() if path.suffix == ".py" or (path / "__init__.py").exists()}
    assert there - {"__init__"} - named == set()
    assert named <= there


def test_the_code_that_looks_into_a_database_runs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """LMDB opens only as many tables as the code of the page says."""
    hand = ChainHand.of(chain_spec())
    LmdbStore.open(tmp_path, hand.genesis, hand.genesis_state).close()
    text = (DOCS / "debugging.md").read_text()
    code = next(block for block in re.findall(r"```python\n(.*?)```", text, re.DOTALL) if "lmdb.open" in block)
    exec(code.replace("data/dev/chain", str(tmp_path)), {})  # noqa: S102  the page's own code
    printed = [line.split()[0] for line in capsys.readouterr().out.splitlines()]
    assert sorted(printed) == sorted(TABLES)
