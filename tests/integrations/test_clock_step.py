"""The file that keeps an open step of the clock: read back as written, and never a reason not to start."""

from pathlib import Path

import pytest

from alysd.errors import StoreError
from alysd.integrations import clock_step
from alysd.integrations.clock_step import STEP_FILE, StepFile


def test_what_was_written_is_read_until_it_is_forgotten(tmp_path: Path) -> None:
    file = StepFile.of_machine(tmp_path)
    assert file.boot
    assert file.read() is None
    file.write(1_699_995_000.125)
    assert StepFile.of_machine(tmp_path).read() == 1_699_995_000.125
    file.write(None)
    assert file.read() is None
    assert list(tmp_path.iterdir()) == []
    file.write(None)


def test_it_means_nothing_after_a_restart_of_the_machine(tmp_path: Path) -> None:
    StepFile(tmp_path / STEP_FILE, "one").write(5.0)
    assert StepFile(tmp_path / STEP_FILE, "another").read() is None


@pytest.mark.parametrize(
    "content",
    [b"", b"\xff\xfe", b"[]", b"{", b'{"boot": "one"}', b'{"boot": "one", "believed": "1"}',
     b'{"boot": "one", "believed": true}', b'{"boot": "one", "believed": NaN}',
     b'{"boot": "one", "believed": 1e999}',
     b"[" * 900],
)  # fmt: skip
def test_a_damaged_file_is_no_reason_not_to_start(tmp_path: Path, content: bytes) -> None:
    (tmp_path / STEP_FILE).write_bytes(content)
    assert StepFile(tmp_path / STEP_FILE, "one").read() is None


def test_a_folder_in_its_place_is_no_reason_either(tmp_path: Path) -> None:
    (tmp_path / STEP_FILE).mkdir()
    file = StepFile(tmp_path / STEP_FILE, "one")
    assert file.read() is None
    with pytest.raises(StoreError, match="cannot write .*clock-step"):
        file.write(1.0)


def test_a_machine_without_a_boot_id_keeps_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clock_step, "_BOOT_ID", tmp_path / "missing")
    file = StepFile.of_machine(tmp_path)
    file.write(1.0)
    assert file.read() is None
