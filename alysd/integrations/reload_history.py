"""The history of reloads of the configuration: a file of the data folder with one line of JSON per reload."""

import json
from pathlib import Path
from typing import Any

import attrs
import cattrs
from cattrs.errors import CattrsError

from alysd.config.regular_file import reading_regular
from alysd.integrations.durable import replace_file
from alysd.types.configuration import Reload
from alysd.wire.json_input import parse_json

HISTORY_FILE = "config-history.jsonl"
"""The name of the file in the data folder."""

KEPT = 200
"""The number of reloads that the file keeps. Older ones are deleted."""

MAX_LINE_BYTES = 64 * 1024
"""The maximum length of a line. A reload of all options with long lists of peers has some 20 KiB."""

MAX_FILE_BYTES = KEPT * MAX_LINE_BYTES
"""The size up to which a file is read. A larger one is not a history."""


class ReloadFile:
    """The file at `path`. It is written as a whole, so that a crash leaves the old one or the new one."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def add(self, reload: Reload) -> None:
        """Write one more reload, and delete the oldest beyond `KEPT`. Raises `OSError`."""
        line = json.dumps(attrs.asdict(reload))
        if (
            len(line.encode()) > MAX_LINE_BYTES
        ):  # no option is that long; a reason with hundreds of mistakes may be
            line = json.dumps(attrs.asdict(attrs.evolve(reload, reason=reload.reason[:4096], changes=())))
        lines = [*self._lines(), line][-KEPT:]
        replace_file(self.path, "".join(f"{one}\n" for one in lines).encode())

    def read(self) -> list[Reload]:
        """Return the reloads, oldest first. A line that is no reload (a fault of the disk) is left out.

        Raises `OSError` if the file cannot be read, or is not a regular file.
        """
        return [reload for line in self._lines() if (reload := _reload(line)) is not None]

    def _lines(self) -> list[str]:
        try:
            with reading_regular(self.path) as file:
                data = file.read(MAX_FILE_BYTES + 1)
        except FileNotFoundError:
            return []
        if len(data) > MAX_FILE_BYTES:
            return []
        return data.decode(errors="replace").splitlines()[-KEPT:]


def _reload(line: str) -> Reload | None:
    try:
        found: Any = parse_json(line.encode())
        return _CONVERTER.structure(found, Reload)
    except (ValueError, TypeError, KeyError, AttributeError, CattrsError):
        return None


_CONVERTER = cattrs.Converter(detailed_validation=False, forbid_extra_keys=True)
