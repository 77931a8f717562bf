"""The systemd unit: it loads without warnings, and its sandbox is strict."""

import configparser
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from alysd.errors import HANDLING, UserError
from alysd.testing.config_files import CONF

UNIT = CONF / "systemd" / "alysd.service"
MOST_EXPOSURE = 2.0


def analyze(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run systemd-analyze on the unit; skips where there is none, unless components are required."""
    program = shutil.which("systemd-analyze")
    if program is None:
        if os.environ.get("ALYSD_REQUIRE_COMPONENTS") == "1":
            pytest.fail("systemd-analyze is not on this machine, and ALYSD_REQUIRE_COMPONENTS=1")
        pytest.skip("systemd-analyze is not on this machine")
    return subprocess.run(
        [program, *arguments, str(UNIT)], capture_output=True, text=True, timeout=60, check=False
    )


def test_verify_passes_without_a_word() -> None:
    """An option that systemd does not know would be ignored, with exit code 0, and its protection with it."""
    found = analyze("verify")
    assert (found.returncode, found.stdout, found.stderr) == (0, "", "")


def test_exposure_is_low() -> None:
    """A flaw in the node would put the whole machine at risk."""
    found = analyze("security", "--offline=true", "--no-pager")
    exposure = re.search(r"Overall exposure level for alysd.service: ([0-9.]+)", found.stdout)
    assert exposure, found.stdout + found.stderr
    assert float(exposure[1]) < MOST_EXPOSURE, found.stdout


def service() -> dict[str, str]:
    """The [Service] section; of options given twice, the last."""
    unit = configparser.RawConfigParser(strict=False, interpolation=None)
    unit.optionxform = str  # pyright: ignore[reportAttributeAccessIssue]  keeps the case of the keys
    unit.read(UNIT)
    return dict(unit["Service"])


def test_the_service_manager_hears_the_node() -> None:
    """systemd would call it started before it is, or never watch it."""
    options = service()
    assert options["Type"] == "notify"
    assert options["WatchdogSec"] == "1min"
    assert options["ExecReload"] == "/bin/kill -HUP $MAINPID"
    assert options["SyslogIdentifier"] == "alysd", "journalctl -t would know it as env"
    assert options["Restart"] == "always"


def test_a_wrong_configuration_is_not_tried_again_and_again() -> None:
    """The same error would fill the journal for ever."""
    assert service()["RestartPreventExitStatus"] == str(HANDLING[UserError].exit_status)


def test_the_data_folder_can_be_written() -> None:
    """All other folders are read-only: a node with another data folder could not start."""
    options = service()
    assert options["ProtectSystem"] == "strict"
    state = Path("/var/lib") / options["StateDirectory"]
    assert f'path = "{state}"' in (CONF / "production.toml").read_text()
