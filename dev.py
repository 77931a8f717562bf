#!/usr/bin/env python3
"""Set up this checkout and use it: `python3 dev.py run` starts a chain, `python3 dev.py test` passes the tests.

Needs Python 3.11 to 3.13 and nothing else. Everything goes into `.venv` beside this file, in the versions that
`uv.lock` names; a second call finds it there and starts at once.
"""

import os
import subprocess
import sys
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parent
ENVIRONMENT = ROOT / ".venv"
PYTHON = ENVIRONMENT / "bin" / "python"
UV = "uv>=0.9,<1"

USAGE = """usage: python3 dev.py run [ARGUMENT ...]    a chain for development: alysd run --config conf/dev.toml
       python3 dev.py test [ARGUMENT ...]   the tests: pytest
       python3 dev.py check                 ruff and pyright over everything
       python3 dev.py setup                 only set up .venv, with everything in it"""


def set_up(*options: str) -> None:
    """Make `.venv` and bring it to what the lock file says; exits with a sentence when that cannot work."""
    if not (3, 11) <= sys.version_info[:2] <= (3, 13):
        found = ".".join(map(str, sys.version_info[:2]))
        sys.exit(f"dev.py: alysd needs Python 3.11 to 3.13, this is {found}: call it with another python3")
    try:
        if not PYTHON.exists():
            print("setting up .venv, once …", flush=True)
            venv.create(ENVIRONMENT, with_pip=True)
        if subprocess.run([PYTHON, "-c", "import uv"], stderr=subprocess.DEVNULL, check=False).returncode:
            subprocess.run([PYTHON, "-m", "pip", "install", "--quiet", UV], check=True)
        # --inexact: leave pip and uv, which are in no lock file, where they are.
        command = [PYTHON, "-m", "uv", "sync", "--quiet", "--frozen", "--inexact", "--extra", "embedded", *options]
        subprocess.run(command, cwd=ROOT, check=True, env={**os.environ, "VIRTUAL_ENV": str(ENVIRONMENT)})
    except subprocess.CalledProcessError as error:
        sys.exit(
            f"dev.py: setting up .venv failed at: {' '.join(map(str, error.cmd))}\n"
            "       Debian and Ubuntu need the package python3-venv; a half-made .venv may be deleted"
        )


def main() -> None:
    """Do what the command line says; the exit status is that of the program that was run."""
    command, *arguments = sys.argv[1:] or [""]
    if command == "run":
        set_up("--no-dev")
        os.chdir(ROOT)
        os.execv(PYTHON, [str(PYTHON), "-m", "alysd", "run", "--config", "conf/dev.toml", *arguments])
    elif command == "test":
        set_up()
        os.chdir(ROOT)
        os.execv(PYTHON, [str(PYTHON), "-m", "pytest", *arguments])
    elif command == "check":
        set_up("--all-groups")
        for tool in (["ruff", "check"], ["ruff", "format", "--check"], ["pyright"]):
            if status := subprocess.run(
                [ENVIRONMENT / "bin" / tool[0], *tool[1:]], cwd=ROOT, check=False
            ).returncode:
                sys.exit(status)
    elif command == "setup":
        set_up("--all-groups")
    else:
        sys.exit(USAGE)


if __name__ == "__main__":
    main()
