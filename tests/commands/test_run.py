"""`alysd run`: what it does before and after it runs the node. The node itself is tested in tests/integration."""

import gc
import json
import signal
import sys
import time
import types
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest

from alysd.cli import main
from alysd.config.config_source import FileState
from alysd.errors import AddressInUse, StoreError
from alysd.integrations.data_folder import DataFolder
from alysd.nurseries import SystemFailed
from alysd.testing.config_files import CONF


class FakeNode(types.ModuleType):
    """In place of `alysd.running`: ends as the test says, and remembers what it was given."""

    def __init__(self, error: BaseException | None = None) -> None:
        super().__init__("alysd.running")
        self.error = error
        self.given: tuple[Any, ...] = ()
        self.collects = False

    async def run_node(self, *given: Any) -> None:
        """The node's whole life."""
        self.given, self.collects = given, gc.isenabled()
        with pytest.raises(Exception, match="give each node its own data folder"):
            DataFolder.open(given[0].config.storage.path)
        if self.error is not None:
            raise self.error


@pytest.fixture(autouse=True)
def signals_as_before() -> Generator[None]:
    """`alysd run` sets handlers until its process ends."""
    numbers = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
    before = {number: signal.getsignal(number) for number in numbers}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    """Run `alysd run` with a node that ends so."""

    def run(node: FakeNode) -> int:
        monkeypatch.setitem(sys.modules, "alysd.running", node)
        return main(["run", "--config", str(CONF / "dev.toml"), "--set", f"storage.path={tmp_path / 'data'}"])

    return run


def failed(cause: BaseException) -> SystemFailed:
    """The tree gave up because of this."""
    failure = SystemFailed("AlysSystem", ("AlysSystem", "chain"))
    failure.__cause__ = cause
    return failure


def test_a_node_that_was_asked_to_stop_ends_with_0(run: Any, tmp_path: Path) -> None:
    """systemd would call every stop a failure; and the folder would stay locked."""
    node, before = FakeNode(), time.perf_counter()
    assert run(node) == 0
    valid, begun, _log, _early, source, read = node.given
    assert read == FileState.of(CONF / "dev.toml")
    config, spec = valid.config, valid.genesis.context.spec
    assert before <= begun <= time.perf_counter(), "what is said of the start counts from its beginning"
    assert (config.storage.path, spec.name) == (tmp_path / "data", "alys-dev")
    assert source.path == CONF / "dev.toml"
    assert source.load() == config, "a reload reads the same files and options"
    DataFolder.open(tmp_path / "data").close()


def test_the_collector_does_not_examine_what_was_imported(run: Any) -> None:
    """A collection of all objects stopped the event loop for 60 ms. A node without a collector would grow."""
    gc.unfreeze()
    node = FakeNode()
    assert run(node) == 0
    assert node.collects
    assert gc.get_freeze_count() > 10_000
    gc.unfreeze()


def test_the_users_mistake_is_found_behind_the_trees_failure(run: Any, capfd: pytest.CaptureFixture[str]) -> None:
    """A used port would end as an unknown failure, and be tried again for ever."""
    assert run(FakeNode(failed(AddressInUse("127.0.0.1:3000 is in use")))) == 2
    assert capfd.readouterr().err == "alysd: 127.0.0.1:3000 is in use\n"


def disk_full() -> StoreError:
    """The node's own error, with the system's behind it."""
    error = StoreError("disk full")
    error.__cause__ = OSError(28, "ENOSPC")
    return error


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (failed(disk_full()), "disk full"),
        (disk_full(), "disk full"),
        (failed(ZeroDivisionError("by nothing")), "ZeroDivisionError: by nothing"),
    ],
)
def test_a_failure_is_logged_by_its_root(
    run: Any, error: BaseException, words: str, capfd: pytest.CaptureFixture[str]
) -> None:
    """systemd would not restart the node, and nobody know why it ended."""
    assert run(FakeNode(error)) == 1
    (line,) = [json.loads(line) for line in capfd.readouterr().out.splitlines()]
    assert (line["event"], line["level"], line["error"]) == ("failed", "critical", words)


def test_a_folder_in_use_is_refused(run: Any, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """Otherwise two nodes would sign with one key."""
    with DataFolder.open(tmp_path / "data"):
        assert run(FakeNode()) == 2
    assert "is in use by process" in capfd.readouterr().err
