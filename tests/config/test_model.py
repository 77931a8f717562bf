"""The classes of the configuration, and the documentation of all options."""

import pytest

from alysd.config.addresses import HttpUrl, ListenAddress
from alysd.config.load import known_keys
from alysd.config.model import SECTIONS
from alysd.testing.config_files import CONF


@pytest.mark.parametrize(
    ("address", "text"),
    [(ListenAddress("127.0.0.1", 80), "127.0.0.1:80"), (ListenAddress("::1", 80), "[::1]:80")],
)
def test_an_address_reads_as_it_is_written(address: ListenAddress, text: str) -> None:
    """A printed address can be pasted into the configuration."""
    assert str(address) == text
    assert address.url == f"http://{text}"


@pytest.mark.parametrize(
    ("url", "text"),
    [
        ("http://host:1/a/b", "http://host:1/a/b"),
        ("http://user:password@host:1/a", "http://host:1/a"),
        ("https://user@host", "https://host"),
        ("http://host/a@b", "http://host/a@b"),
    ],
)
def test_a_url_is_shown_without_its_password(url: str, text: str) -> None:
    """A password would end in the log and in `check --show`."""
    assert str(HttpUrl(url)) == text
    assert HttpUrl(url).text == url
    assert "password" not in repr(HttpUrl(url))


def test_every_option_is_documented() -> None:
    """An operator would have to read the source."""
    text = (CONF.parent / "docs" / "configuration.md").read_text()
    for key in known_keys():
        assert f"`{key}`" in text, f"docs/configuration.md does not explain {key}"
    for section in SECTIONS:
        assert f"[{section}]" in text or f"`{section}." in text
