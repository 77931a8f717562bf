"""Credentials of systemd as files of the configuration: `credential:NAME` (systemd.exec(5), "Credentials").

systemd puts each credential of a service into a file of a folder in memory that only this service can read, and
names the folder in `$CREDENTIALS_DIRECTORY`. Commands outside of the service have no such folder. They keep the
text as a path, and only those that need the content refuse it (`NO_FOLDER`).
"""

import re
from collections.abc import Mapping
from pathlib import Path

PREFIX = "credential:"
"""The beginning of a value that names a credential."""

FOLDER = "CREDENTIALS_DIRECTORY"
"""The variable in which systemd names the folder."""

NO_FOLDER = (
    f"${FOLDER} is not set: systemd sets it for the service. By hand, set it to a folder with a file of this name"
)
"""The problem of a credential outside of the service, for a command that needs it."""

_NAME = re.compile(r"(?!\.{1,2}$)[A-Za-z0-9._@-]{1,255}")


def credentials_folder(environment: Mapping[str, str]) -> Path | None:
    """Return the folder of the credentials; None if there is none."""
    folder = environment.get(FOLDER, "")
    return Path(folder) if folder.startswith("/") else None


def names_credential(value: object) -> bool:
    """Return whether a value of the configuration names a credential, or is a path that does (`NO_FOLDER`)."""
    return isinstance(value, str | Path) and str(value).startswith(PREFIX)


def credential_path(value: str, folder: Path | None) -> Path:
    """Return the file of the credential that `value` names; without a folder, the text as a path.

    Raises `ValueError` for a text that is no name, and for a credential that the service does not have.
    """
    name = value.removeprefix(PREFIX)
    if not _NAME.fullmatch(name):
        raise ValueError(f'must be "{PREFIX}NAME", where NAME has at most 255 letters, digits and . _ @ -')
    if folder is None:
        return Path(value)
    if not (folder / name).exists():
        raise ValueError(
            f"the service has no such credential: add LoadCredential={name}:FILE to its unit, and restart it"
        )
    return folder / name
