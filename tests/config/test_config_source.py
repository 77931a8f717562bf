"""Changes of the configuration's file are found however it is replaced, and only once it is complete."""

from pathlib import Path

import pytest

from alysd.config.config_source import ConfigSource, FileState, FileWatch


def never() -> object:
    raise AssertionError("the file is not read to find a change")


def source(path: Path | None) -> ConfigSource:
    return ConfigSource(never, path)  # pyright: ignore[reportArgumentType]


def replaced(path: Path, text: str) -> None:
    """As editors and `install` do: a new file takes the name."""
    fresh = path.with_name("fresh")
    fresh.write_text(text)
    fresh.replace(path)


def test_a_file_that_stays_is_no_change(tmp_path: Path) -> None:
    path = tmp_path / "a.toml"
    path.write_text("a")
    watch = FileWatch(source(path).state())
    assert [watch.changed(source(path).state()) for _ in range(4)] == [False] * 4


@pytest.mark.parametrize("write", [Path.write_text, replaced])
def test_a_change_counts_once_and_when_the_file_is_still(tmp_path: Path, write: object) -> None:
    path = tmp_path / "a.toml"
    path.write_text("a")
    watch = FileWatch(source(path).state())
    write(path, "ab")  # pyright: ignore[reportCallIssue]
    assert [watch.changed(source(path).state()) for _ in range(4)] == [False, True, False, False]


def test_a_half_written_file_is_no_change_yet(tmp_path: Path) -> None:
    """The node would report a mistake that nobody has made."""
    path = tmp_path / "a.toml"
    path.write_text("a")
    watch = FileWatch(source(path).state())
    with path.open("a") as file:
        for _ in range(3):
            file.write("more")
            file.flush()
            assert not watch.changed(source(path).state())
    assert watch.changed(source(path).state())


def test_a_missing_file_is_waited_for(tmp_path: Path) -> None:
    path = tmp_path / "a.toml"
    path.write_text("a")
    watch = FileWatch(source(path).state())
    path.unlink()
    assert not any(watch.changed(source(path).state()) for _ in range(3))
    path.write_text("b")
    assert [watch.changed(source(path).state()) for _ in range(3)] == [False, True, False]


def test_kubernetes_swaps_a_link_of_the_path(tmp_path: Path) -> None:
    """A ConfigMap is mounted as file → ..data/file, and ..data is a link that is renamed."""
    for name, text in (("one", "a"), ("two", "b")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "a.toml").write_text(text)
    (tmp_path / "..data").symlink_to("one")
    path = tmp_path / "a.toml"
    path.symlink_to("..data/a.toml")
    watch = FileWatch(source(path).state())
    (tmp_path / "fresh").symlink_to("two")
    (tmp_path / "fresh").replace(tmp_path / "..data")
    assert [watch.changed(source(path).state()) for _ in range(3)] == [False, True, False]


def test_a_node_without_a_file_has_nothing_to_watch(tmp_path: Path) -> None:
    assert source(None).state() is None
    (tmp_path / "file").touch()
    assert FileState.of(tmp_path / "file" / "below") is None
