"""The memory of the process, compared with memory that the test allocates."""

from mmap import mmap
from pathlib import Path

from alysd.integrations.memory import resident_bytes


def test_memory_that_is_used_is_counted() -> None:
    """A leak would not show, or show in pages instead of bytes."""
    before = resident_bytes()
    with mmap(-1, 64 * 2**20) as held:  # new pages: an allocator may have freed ones that are still resident
        held.write(bytes(len(held)))
        after = resident_bytes()
    assert before is not None
    assert after is not None
    assert 48 * 2**20 < after - before < 128 * 2**20


def test_a_system_that_does_not_say_is_no_failure(tmp_path: Path) -> None:
    """The page about memory would fail on a developer's machine."""
    assert resident_bytes(tmp_path / "missing") is None
    empty = tmp_path / "statm"
    empty.write_text("")
    assert resident_bytes(empty) is None
