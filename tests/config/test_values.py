"""The conversion of values to each type: the values accepted, and the errors for others."""

from pathlib import Path
from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alysd.config.addresses import HostName, HttpUrl, ListenAddress
from alysd.config.problems import Text
from alysd.config.values import CONVERTER
from alysd.types.hashes import BlsPublicKey, BlsSignature, EvmAddress, SchnorrSignature, XOnlyKey
from alysd.types.units import Sat

Level = Literal["low", "high"]


def structure(value: object, kind: Any) -> Any:
    """One value as the loader would take it."""
    return CONVERTER.structure(value, kind)


@pytest.mark.parametrize(
    ("value", "kind", "meant"),
    [
        (True, bool, True),
        (Text("false"), bool, False),
        (7, int, 7),
        (Text("1_000"), int, 1000),
        (["Node.Example"], tuple[HostName, ...], ("node.example",)),
        (Text("a, b.c"), tuple[HostName, ...], ("a", "b.c")),
        (Text(""), tuple[HostName, ...], ()),
        (5, Sat, 5),
        ("x", str, "x"),
        (Text("a/b"), Path, Path("a/b")),
        ("high", Level, "high"),
        ("127.0.0.1:3000", ListenAddress, ListenAddress("127.0.0.1", 3000)),
        ("localhost:1", ListenAddress, ListenAddress("localhost", 1)),
        (Text("[::1]:65535"), ListenAddress, ListenAddress("::1", 65535)),
        ("http://127.0.0.1:8551", HttpUrl, HttpUrl("http://127.0.0.1:8551")),
        ("http://a.example.:8545", HttpUrl, HttpUrl("http://a.example.:8545")),
        ("0x" + "ab" * 20, EvmAddress, b"\xab" * 20),
        ("ab" * 48, BlsPublicKey, b"\xab" * 48),
        ("0x" + "ab" * 32, XOnlyKey, b"\xab" * 32),
        ("0x" + "ab" * 96, BlsSignature, b"\xab" * 96),
        ("0x" + "ab" * 64, SchnorrSignature, b"\xab" * 64),
        ([1, 2], tuple[int, ...], (1, 2)),
        (Text(""), int | None, None),
        (3, int | None, 3),
    ],
)
def test_what_is_right_is_understood(value: object, kind: Any, meant: object) -> None:
    """A value that the documentation shows would be refused."""
    assert structure(value, kind) == meant


@pytest.mark.parametrize(
    ("value", "kind", "words"),
    [
        (["node:80"], tuple[HostName, ...], "item 0: must be a host name"),
        (["http://node"], tuple[HostName, ...], "item 0: must be a host name"),
        (1, bool, "true or false"),
        ("true", bool, "true or false"),
        (Text("True"), bool, "true or false"),
        (True, int, "whole number"),
        ("7", int, "whole number"),
        (Text("0x10"), int, "whole number"),
        (1.5, int, "whole number"),
        ("", str, "not empty"),
        (4, str, "not empty"),
        ("a\0b", Path, "zero byte"),
        ("medium", Level, 'one of "low", "high"'),
        (1, Level, 'one of "low", "high"'),
        ("127.0.0.1", ListenAddress, "an address such as"),
        ("127.0.0.1:0", ListenAddress, "an address such as"),
        ("127.0.0.1:65536", ListenAddress, "an address such as"),
        ("127.0.0.1:³", ListenAddress, "an address such as"),
        ("::1:3000", ListenAddress, "an address such as"),
        ("[127.0.0.1]:3000", ListenAddress, "an address such as"),
        ("example.org:3000", ListenAddress, "an address such as"),
        (3000, ListenAddress, "an address such as"),
        ("127.0.0.1:8551", HttpUrl, "a URL such as"),
        ("ftp://host", HttpUrl, "a URL such as"),
        ("http://", HttpUrl, "a URL such as"),
        ("http://host:99999", HttpUrl, "a URL such as"),
        ("http://host:0", HttpUrl, "a URL such as"),
        ("http://[::1", HttpUrl, "a URL such as"),
        ("http://a..", HttpUrl, "a URL such as"),
        ("http://.", HttpUrl, "a URL such as"),
        ("http://127.0.0.1.", HttpUrl, "a URL such as"),
        (1, HttpUrl, "a URL such as"),
        ("0x" + "ab" * 19, EvmAddress, "EVM address"),
        ("0x2992504C5C8fe1995c84EA5e98aaB0A146bBd47d", EvmAddress, "EIP-55"),
        (1, EvmAddress, "EVM address"),
        ("ab" * 47 + "a", BlsPublicKey, "48 bytes in hex"),
        ("zz" * 32, XOnlyKey, "32 bytes in hex"),
        ("ab" * 64, BlsSignature, "must be a BLS signature: 96 bytes in hex"),
        ("ab" * 96, SchnorrSignature, "must be a BIP-340 signature: 64 bytes in hex"),
        ("ab " * 32, XOnlyKey, "32 bytes in hex"),
        ("ab", tuple[int, ...], "an array"),
        ([1, "x"], tuple[int, ...], "item 1: must be a whole number"),
    ],
)
def test_what_is_wrong_is_refused_with_what_is_allowed(value: object, kind: Any, words: str) -> None:
    """A mistake would pass, or a person would not learn what to write."""
    with pytest.raises(ValueError, match=words.replace("[", r"\[")):
        structure(value, kind)


@given(
    st.one_of(st.text(), st.text().map(Text), st.integers(), st.floats(), st.booleans(), st.lists(st.integers()))
)
def test_nothing_escapes_but_valueerror(value: object) -> None:
    """No value in a file may end in a stack trace."""
    for kind in (bool, int, str, Path, Level, ListenAddress, HttpUrl, EvmAddress, tuple[int, ...], int | None):
        try:
            structure(value, kind)
        except ValueError as error:
            assert str(error)  # noqa: PT017  both outcomes are right; only other errors are not


def test_home_is_understood_in_paths(monkeypatch: pytest.MonkeyPatch) -> None:
    """`~/alys` would become a folder called `~`."""
    monkeypatch.setenv("HOME", "/home/somebody")
    assert structure("~/alys", Path) == Path("/home/somebody/alys")


def test_a_home_folder_that_nobody_has_is_a_mistake_in_words() -> None:
    """`~nobody-has-this-name/x` would end in a stack trace."""
    with pytest.raises(ValueError, match="write the absolute path"):
        structure("~nobody-has-this-name/x", Path)
