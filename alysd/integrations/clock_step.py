"""Keeps an open step of the clock in the data folder, so that a restart of the node does not end the doubt.

The file exists only while a step is open. It is one line of JSON: the kernel's id of this start of the machine,
and the difference between wall clock and boottime, in seconds, that the node trusted before the step:

    {"boot": "0f2f…", "believed": 1763712000.25}

After a restart of the machine, boottime begins again at 0 and the difference means nothing.
"""

import json
import math
from pathlib import Path
from typing import cast

import attrs

from alysd.config.regular_file import reading_regular
from alysd.errors import StoreError
from alysd.integrations.durable import replace_file, sync_folder
from alysd.wire.json_input import parse_json

STEP_FILE = "clock-step"
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
_MAX_BYTES = 1024  # the line has about 80


@attrs.frozen
class StepFile:
    """Implements `alysd.ports.StepMemory` with the file at `path`.

    `boot` is the kernel's id of this start of the machine; if it is empty, nothing is kept.
    """

    path: Path
    boot: str

    @classmethod
    def of_machine(cls, folder: Path) -> "StepFile":
        """The file in the data folder `folder`, for the present start of this machine."""
        try:
            boot = _BOOT_ID.read_text().strip()
        except OSError:
            boot = ""  # without /proc, the start of the node compares the clock with the chain only
        return cls(folder / STEP_FILE, boot)

    def read(self) -> float | None:
        """The difference that the node trusted before the open step; None if none is known.

        A damaged file is treated like a missing one: the node starts and compares the clock with the chain.
        """
        try:
            with reading_regular(self.path) as file:
                document: object = parse_json(file.read(_MAX_BYTES))
        except (OSError, ValueError):
            return None
        step = cast("dict[str, object]", document if isinstance(document, dict) else {})
        believed = step.get("believed")
        if not self.boot or step.get("boot") != self.boot or not isinstance(believed, float):
            return None
        return believed if math.isfinite(believed) else None

    def write(self, believed: float | None) -> None:
        """Write the file with `believed`, or remove the file if this is None. The change is on disk on return.

        Raises `StoreError` when the disk fails.
        """
        try:
            if believed is not None:
                replace_file(self.path, json.dumps({"boot": self.boot, "believed": float(believed)}).encode())
            elif self.path.exists():
                self.path.unlink()
                sync_folder(self.path.parent)
        except OSError as error:
            raise StoreError(f"cannot write {self.path}: {error.strerror}") from error
