#!/usr/bin/env python3
"""Set up this checkout and use it: `python3 dev.py run` starts a chain, `python3 dev.py test` runs the tests.

Needs Python 3.11, 3.12 or 3.13 and nothing else. Everything is installed into `.venv` beside this file, in the
versions that `uv.lock` names; later calls find it there and start at once. `ALYSD_VENV` names another folder, for
a second Python version: `ALYSD_VENV=.venv-3.13 python3.13 dev.py test`.
"""

import os
import signal
import subprocess
import sys
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parent
ENVIRONMENT = ROOT / os.environ.get("ALYSD_VENV", ".venv")
PYTHON = ENVIRONMENT / "bin" / "python"
UV = "uv>=0.9,<1"

INTEGRATION = "tests/integration"
UNITS_ONLY = f"--ignore={INTEGRATION}"
PARALLEL = ["-n", "auto", "--maxprocesses", "8", "--dist", "worksteal"]
PAIRED = ["-n", "2", "--dist", "worksteal"]
"""For the integration tests: they start real programs, and mostly wait for these."""
NO_TESTS = 5
"""The exit status of pytest when its arguments select no test."""

USAGE = """usage: python3 dev.py run [ARGUMENT ...]    start a development chain: alysd run --config conf/dev.toml
       python3 dev.py test                  run all tests: the unit tests in parallel, then tests/integration
       python3 dev.py test ARGUMENT ...     the same with arguments for pytest; with a path, only what it names
       python3 dev.py check                 run ruff and pyright on all code
       python3 dev.py setup                 only set up .venv, with everything in it"""


def check_python() -> None:
    """Exit with a sentence if this Python is unsupported, or is not the one that the environment was made with."""
    this = ".".join(map(str, sys.version_info[:2]))
    if not (3, 11) <= sys.version_info[:2] <= (3, 13):
        sys.exit(f"dev.py: alysd needs Python 3.11 to 3.13, this is {this}: call it with another python3")
    configuration = ENVIRONMENT / "pyvenv.cfg"
    if not configuration.exists():
        return
    versions = [line.split()[-1] for line in configuration.read_text().splitlines() if line.startswith("version")]
    made_with = ".".join(versions[0].split(".")[:2]) if versions else this
    if made_with != this:
        sys.exit(
            f"dev.py: {ENVIRONMENT} was made with Python {made_with}, this is {this}:\n"
            f"        use python{made_with}, delete that folder, or name another one: ALYSD_VENV=.venv-{this}"
        )


def set_up(*options: str) -> None:
    """Create the environment and install what `uv.lock` names; exit with a sentence when that fails."""
    check_python()
    environment = {
        **os.environ,
        "VIRTUAL_ENV": str(ENVIRONMENT),
        "UV_PROJECT_ENVIRONMENT": str(ENVIRONMENT),
        "UV_PYTHON_DOWNLOADS": "never",
        "UV_COMPILE_BYTECODE": "1",  # as `compile_modules` for the packages: once, some 10 s; later 0.2 s
    }
    try:
        if not PYTHON.exists():
            print(f"setting up {ENVIRONMENT}, once …", flush=True)
            venv.create(ENVIRONMENT, with_pip=True)
        if subprocess.run([PYTHON, "-c", "import uv"], stderr=subprocess.DEVNULL, check=False).returncode:
            subprocess.run([PYTHON, "-m", "pip", "install", "--quiet", UV], check=True)
        # --inexact leaves pip and uv, which are not in the lock file, where they are.
        extras = ["--extra", "embedded", "--extra", "network", "--extra", "governance"]
        command = [PYTHON, "-m", "uv", "sync", "--quiet", "--frozen", "--inexact", *extras, *options]
        subprocess.run(command, cwd=ROOT, check=True, env=environment)
        compile_modules(ROOT / "alysd")
    except subprocess.CalledProcessError as error:
        sys.exit(
            f"dev.py: setting up {ENVIRONMENT} failed at: {' '.join(map(str, error.cmd))}\n"
            "        Debian and Ubuntu need the package python3-venv; delete the folder if it is incomplete"
        )


def compile_modules(folder: Path) -> None:
    """Write the bytecode of the modules in a folder, where it is missing or old.

    Otherwise the first start compiles them, and each start with PYTHONDONTWRITEBYTECODE: it takes half a second.
    """
    command = [PYTHON, "-m", "compileall", "-qq", "-j", "0", folder]
    subprocess.run(command, cwd=ROOT, check=False)  # a folder that nobody may write only costs this time


def leave_to_pytest(*_: object) -> None:
    """Handle Ctrl-C, which pytest gets too: it ends the programs of its tests, and dev.py waits for it."""


def test(arguments: list[str]) -> int:
    """Run pytest; return its exit status. A path among the arguments means one call with just these arguments.

    Otherwise the unit tests run on all processors, and then, if none failed, the integration tests two at a time.
    `--ignore=tests/integration` leaves out the second part.
    """
    pytest = [str(PYTHON), "-m", "pytest"]
    units, integration = [*pytest, *PARALLEL, UNITS_ONLY, *arguments], [*pytest, *PAIRED, INTEGRATION, *arguments]
    calls = [units, integration]
    if any((ROOT / argument.partition("::")[0]).exists() for argument in arguments):
        calls = [[*pytest, *arguments]]
    elif UNITS_ONLY in arguments:
        del calls[1]
    signal.signal(signal.SIGINT, leave_to_pytest)
    statuses: list[int] = []
    for call in calls:
        statuses.append(subprocess.run(call, cwd=ROOT, check=False).returncode)
        if statuses[-1] not in (0, NO_TESTS):
            if len(statuses) < len(calls):
                print("dev.py: the integration tests did not run, because the unit tests failed", flush=True)
            return statuses[-1]
    return min(statuses)


def main() -> None:
    """Run the command of the command line. The exit status is that of the program that it runs."""
    command, *arguments = sys.argv[1:] or [""]
    if command == "run":
        set_up("--no-dev")
        os.chdir(ROOT)
        os.execv(PYTHON, [str(PYTHON), "-m", "alysd", "run", "--config", "conf/dev.toml", *arguments])
    elif command == "test":
        set_up()
        sys.exit(test(arguments))
    elif command == "check":
        set_up("--all-groups")
        tools = ENVIRONMENT / "bin"
        python = ["--pythonpath", str(PYTHON)]
        for tool in (["ruff", "check"], ["ruff", "format", "--check"], ["pyright", *python]):
            if status := subprocess.run([tools / tool[0], *tool[1:]], cwd=ROOT, check=False).returncode:
                sys.exit(status)
    elif command == "setup":
        set_up("--all-groups")
    else:
        sys.exit(USAGE)


if __name__ == "__main__":
    main()
