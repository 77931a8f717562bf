"""The metadata of the options, the page and the schema that are made from it, and whether they are true."""

import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from alysd.cli import main
from alysd.config.json_schema import config_schema
from alysd.config.load import known_keys
from alysd.config.model import SECTIONS, all_options
from alysd.config.option_tables import inner_kind, option_table, with_tables
from alysd.config.options import ConfigOption
from alysd.config.values import CONVERTER
from alysd.testing.config_files import CONF, folder_with, load
from tests.thorough import cases

PAGE = CONF.parent / "docs" / "configuration.md"

OPTIONS = {one.key: one for one in all_options()}

PEER = "/ip4/192.0.2.7/tcp/9333/p2p/16Uiu2HAmS6FdW6Wq1pyDQUqtFMYFZKWdcHYUKMdhaCLcbRPVL6Nz"

EXAMPLES: Mapping[str, tuple[tuple[object, ...], tuple[object, ...]]] = {
    "chain.spec": (("a/b.toml", "~/x"), ("", 4, True)),
    "engine.url": (("http://127.0.0.1:8545", "HTTPS://u:p@h/x", " http://h"), ("127.0.0.1:1", "ftp://h", "", 1)),
    "api.address": (("127.0.0.1:3000", "localhost:1", "[::1]:65535"), ("127.0.0.1", "example.org:3000", 3000)),
    "api.allowed_hosts": ((["a.b", "Node_1"], []), (["node:80"], "a.b", [1])),
    "network.max_inbound": ((0, 64), (-1, 65, "3", 1.5, True)),
    "network.checkpoint": (("1000:" + "ab" * 32,), ("0:" + "ab" * 32, "1000", 1000)),
    "network.peers": (([], [PEER], [PEER.replace("ip4/192.0.2.7", "dns/a.b")]), (["192.0.2.7:9333"], PEER)),
    "peg.hourly_limit_sat": ((1, 21 * 10**14), (0, 21 * 10**14 + 1, "1")),
    "peg.signer": (("unix:/run/s", "tls://10.0.0.2:3010", "TLS://h:1"), ("10.0.0.2:3010", "unix:s", 1)),
    "governance.endpoints": ((["a.b:1", "[::1]:65535", "10.0.0.1:50051"], []), (["a.b"], "a.b:1", ["a b:1"], [1])),
    "governance.node_id": (("member-1", "A.b_c"), ("", "a b", "x" * 65, 1)),
    "mining.internal": ((True, False), ("true", 1)),
    "mining.fee_recipient": (("0x" + "ab" * 20,), ("ab" * 20, "0x" + "ab" * 19, 1)),
    "flags.engine_compare": (("on", "off", "1%", "99%", "nodes:one,two.x"), ("0%", "100%", "25", "nodes:", True)),
    "actors.capacity": ((["sync=8", "peer host = 65536"], []), (["sync"], ["nobody=64"], "sync=64", [1])),
    "actors.restart": ((["metrics=never", "bridge=60"], []), (["chain=never"], ["bridge=soon"], ["bridge"])),
    "logging.level": (("debug", "error"), ("Debug", "", 1)),
}
"""For one option of each type: values that the node accepts, and values that both node and schema refuse."""


def fits(value: object, schema: Mapping[str, Any]) -> bool:
    """Whether a value fits a schema: the part of JSON Schema that the project's schema uses."""
    match schema:
        case {"enum": allowed}:
            return value in allowed and isinstance(value, str)
        case {"type": "boolean"}:
            return isinstance(value, bool)
        case {"type": "integer", "minimum": low, "maximum": high}:
            return isinstance(value, int) and not isinstance(value, bool) and low <= value <= high
        case {"type": "array", "items": items}:
            return isinstance(value, list) and all(fits(each, items) for each in cast("list[object]", value))
        case {"type": "object", "properties": properties, "additionalProperties": False}:
            table = cast("dict[str, object]", value) if isinstance(value, dict) else {"not a table": value}
            return all(key in properties and fits(each, properties[key]) for key, each in table.items())
        case {"type": "string", **bounds}:
            length = len(value) if isinstance(value, str) else -1
            return (
                isinstance(value, str)
                and bounds.get("minLength", 0) <= length <= bounds.get("maxLength", length)
                and re.search(bounds.get("pattern", ""), value) is not None
            )
        case _:
            raise AssertionError(f"the schema has an unknown form: {schema}")


def schema_of(key: str) -> Mapping[str, Any]:
    """The schema of one option."""
    section, _, name = key.partition(".")
    return config_schema()["properties"][section]["properties"][name]


@pytest.mark.parametrize("one", OPTIONS.values(), ids=OPTIONS)
def test_every_option_says_what_it_is(one: ConfigOption) -> None:
    """A number without unit or bounds, or an option without words, would be in the page."""
    assert re.fullmatch(r"[^|\n]+[^|\n.]", one.about), "one line, without a full stop"
    number = one.kind is int or "Sat" in str(one.kind)
    assert (one.bounds is not None) == (one.unit != "") == number


def test_the_page_has_the_tables_of_the_metadata() -> None:
    """An operator would read another default than the node's. `scripts/configuration-page` writes the tables."""
    assert PAGE.read_text() == with_tables(PAGE.read_text())


@pytest.mark.parametrize("lost", ["### [api]\n", "| key | default | allowed | a change | |\n"])
def test_a_page_without_a_section_is_refused(lost: str) -> None:
    """The tables of another section would be overwritten."""
    page = PAGE.read_text()
    start = page.index("### [api]")
    with pytest.raises(ValueError, match=r"no table below the heading ### \[api\]"):
        with_tables(page[:start] + re.sub(r"^\|.*\n", "", page[start:].replace(lost, "", 1), flags=re.MULTILINE))


def test_a_row_has_default_bounds_unit_and_what_a_change_needs() -> None:
    row = option_table([OPTIONS["network.max_inbound"]]).splitlines()[-1]
    assert row.startswith("| `network.max_inbound` | `32` | 0 to 64 peers | live | the number of ")


BOUNDED = [(one.key, one.bounds) for one in OPTIONS.values() if one.bounds is not None]


@pytest.mark.parametrize(("key", "bounds"), BOUNDED, ids=[key for key, _ in BOUNDED])
def test_check_refuses_what_is_out_of_bounds(
    key: str, bounds: tuple[int, int], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The page and the schema would promise bounds that the node does not have."""
    path, (low, high) = str(folder_with(tmp_path)), bounds
    for value, refused in ((low - 1, True), (low, False), (high, False), (high + 1, True)):
        assert main(["check", "--config", path, "--set", f"{key}={value}"]) == 2  # the keys are no real ones
        assert (f"{key} = " in (said := capsys.readouterr().err)) == refused
        assert (f"must be a whole number from {low} to {high}" in said) == refused


def test_the_defaults_are_those_of_a_loaded_configuration(tmp_path: Path) -> None:
    """The page would name a default that the node does not use."""
    config = load(folder_with(tmp_path, '[chain]\nspec = "chain.toml"\n'))
    for key, one in OPTIONS.items():
        section, _, name = key.partition(".")
        if one.default is not attrs.NOTHING:
            assert getattr(getattr(config, section), name) == one.default
    assert [key for key, one in OPTIONS.items() if one.default is attrs.NOTHING] == ["chain.spec"]


@pytest.mark.parametrize("key", OPTIONS)
def test_the_default_of_the_schema_means_the_default(key: str) -> None:
    schema, one = schema_of(key), OPTIONS[key]
    assert ("default" in schema) == (one.default not in (attrs.NOTHING, None))
    if "default" in schema:
        assert fits(schema["default"], schema)
        assert CONVERTER.structure(schema["default"], one.kind) == one.default


def test_the_examples_have_every_type() -> None:
    """`test_node_and_schema_agree` would leave a type out."""
    kinds = {inner_kind(one.kind) for one in OPTIONS.values() if "Literal" not in str(one.kind)}
    assert kinds <= {inner_kind(OPTIONS[key].kind) for key in EXAMPLES}


@pytest.mark.parametrize("key", EXAMPLES)
def test_node_and_schema_agree(key: str) -> None:
    """An editor would mark a right value, or leave a wrong one unmarked."""
    right, wrong = EXAMPLES[key]
    for value in right:
        CONVERTER.structure(value, OPTIONS[key].kind)
        assert fits(value, schema_of(key))
    for value in wrong:
        assert not fits(value, schema_of(key))
        if OPTIONS[key].bounds is None:
            with pytest.raises(ValueError, match="must be"):
                CONVERTER.structure(value, OPTIONS[key].kind)


@settings(max_examples=cases(30, 1_000), deadline=None)
@given(st.one_of(st.text(), st.booleans(), st.lists(st.text()), st.from_regex(r"^[a-z]+://[a-z.:@1]+$")))
def test_the_schema_accepts_every_value_that_the_node_accepts(value: object) -> None:
    """An editor would mark a right value."""
    for one in OPTIONS.values():
        try:
            CONVERTER.structure(value, one.kind)
        except ValueError:
            continue
        assert fits(value, schema_of(one.key)), one.key


@pytest.mark.parametrize("name", ["dev.toml", "regtest.toml", "production.toml", "follower.toml"])
def test_the_shipped_files_fit_the_schema(name: str) -> None:
    assert fits(tomllib.loads((CONF / name).read_text()), config_schema())


@pytest.mark.parametrize("text", ['[chain]\nspecs = "x"', '[chains]\nspec = "x"', "chain = 1"])
def test_the_schema_refuses_unknown_keys(text: str) -> None:
    """An editor would not mark a misspelt key."""
    assert not fits(tomllib.loads(text), config_schema())


def test_the_schema_has_every_option() -> None:
    assert [f"{section}.{name}" for section in SECTIONS for name in
            config_schema()["properties"][section]["properties"]] == known_keys()  # fmt: skip
