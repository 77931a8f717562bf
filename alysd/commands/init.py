"""`alysd init`: writes the files of a new node into a folder, for its operator to edit."""

import argparse
import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path

from alysd.commands.output import say

MODES = {
    "dev": "a development chain: one node, keys that everybody knows",
    "member": "an authority of a federation, under systemd, beside an execution client",
    "follower": "a full node without an authority key, under systemd, beside an execution client",
}
TEMPLATE_FOLDER = "/etc/alysd"
"""The folder that the shipped configurations and the systemd unit name."""
TEMPLATE_PROGRAMS = "/opt/alysd/bin"
"""The folder of the program `alysd` that the systemd unit names."""
DEV_GENESIS = "chains/dev.genesis.json"
"""The execution genesis of the development chain."""
DEV_CHAIN = "chains/dev.toml"
"""The specification of the development chain."""

BITCOIN_KEY = "dev-bitcoin.key"
"""The Bitcoin key of the development chain's only member, which signs the payments of a chain with a peg."""

_PEG = """
# The peg: a bitcoind on regtest, and the published key of the federation's only member.
[bitcoin]
url = "http://127.0.0.1:18443"
cookie_file = {cookie}

[peg]
key_file = "{key}"
"""
_FEE_RATES = ("peg_out_max_fee_rate = 500000", "peg_out_max_fee_rate = 200000")
"""The largest fee rate of the development chain, and its replacement on this chain with a peg.

The chain's smallest deposit and request do not pay for a payment at the first rate.
"""
QUOTED = re.compile(r"[\s\"'\\%$:]|[^\w/.+@,=-]")
"""Matches a character that has a special meaning in a TOML string, a systemd unit or a PATH."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `alysd init`."""
    parser.add_argument("folder", type=Path, metavar="DIR", help="the folder for the files; it is made if needed")
    mode = parser.add_mutually_exclusive_group(required=True)
    for name, text in MODES.items():
        mode.add_argument(f"--{name}", dest="mode", action="store_const", const=name, help=text)
    parser.add_argument(
        "--peg", action="store_true", help="with --dev: a chain with a two-way peg to a Bitcoin node on regtest"
    )


def run(args: argparse.Namespace) -> int:
    """Write the files and print the next steps. Raises `ConfigError`; existing files are never overwritten."""
    from alysd.config.shipped import shipped_folder
    from alysd.errors import ConfigError

    folder: Path = args.folder.absolute()
    if found := QUOTED.search(str(folder)):
        raise ConfigError(
            f"{folder}: the path contains {found[0]!r}, which would need quotes in "
            "systemd and TOML files: name another folder"
        )
    if folder.exists() and not folder.is_dir():
        raise ConfigError(f"{folder} is a file: name a folder")
    if args.peg and args.mode != "dev":
        raise ConfigError("--peg is for --dev; a federation chooses with `peg` in the description of its chain")
    files = dict(_files(args.mode, folder))
    if args.peg:
        genesis = folder / DEV_GENESIS
        files[genesis] = _with_peg(files[genesis])
        chain = folder / DEV_CHAIN
        files[chain] = files[chain].replace(*_FEE_RATES)
        files[folder / "alysd.toml"] += _PEG.format(cookie=_toml_string(regtest_cookie()), key=BITCOIN_KEY)
        files[folder / BITCOIN_KEY] = (shipped_folder() / BITCOIN_KEY).read_text()
    if taken := [path for path in files if path.exists()]:
        raise ConfigError(f"{taken[0]}: the file exists, and nothing was written\nname another folder")
    try:
        for path, text in files.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch(mode=0o600 if path.suffix == ".key" else 0o644, exist_ok=False)
            path.write_text(text)
        if args.mode == "member":
            (folder / "keys").mkdir(mode=0o700, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"{error.filename or folder}: cannot be written: {error.strerror}") from None
    say("".join(f"wrote {path}\n" for path in files) + f"\n{_next_steps(args.mode, folder, peg=args.peg)}")
    return 0


def regtest_cookie() -> Path:
    """The file in which this user's bitcoind on regtest writes its password, in its default data folder."""
    folder = "Library/Application Support/Bitcoin" if sys.platform == "darwin" else ".bitcoin"
    return Path.home() / folder / "regtest" / ".cookie"


def _toml_string(path: Path) -> str:
    """The path as a basic string of TOML, of which a string of JSON is one."""
    return json.dumps(str(path), ensure_ascii=False)


def _with_peg(genesis: str) -> str:
    """The text of the execution genesis of a chain with a peg, from that of the same chain without one.

    All money of a chain with a peg comes from deposits, so no account has a balance at genesis.
    """
    from alysd.config.bridge import bridge_account
    from alysd.types.peg import BRIDGE_ADDRESS

    document = json.loads(genesis)
    document["alloc"] = {key: account for key, account in document["alloc"].items() if "code" in account}
    document["alloc"]["0x" + BRIDGE_ADDRESS.hex()] = bridge_account(peg=True)
    return json.dumps(document, indent=2) + "\n"


def _files(mode: str, folder: Path) -> Iterator[tuple[Path, str]]:
    """Yield each file of a node of this mode, with its text."""
    from alysd.config.shipped import shipped_folder

    shipped = shipped_folder()
    if mode == "dev":
        config = (shipped / "dev.toml").read_text()
        yield folder / "alysd.toml", config.replace('"./data/dev"', f'"{folder}/data"')
        for name in (DEV_CHAIN, DEV_GENESIS, "dev-authority.key", "dev-account.key"):
            yield folder / name, (shipped / name).read_text()
        return
    template = "production.toml" if mode == "member" else "follower.toml"
    programs = str(Path(sys.executable).parent)
    for source, name in (
        (template, "alysd.toml"),
        ("systemd/alysd.service", "alysd.service"),
        ("prometheus/alysd.rules.yml", "alysd.rules.yml"),
    ):
        text = (shipped / source).read_text()
        yield folder / name, text.replace(TEMPLATE_FOLDER, str(folder)).replace(TEMPLATE_PROGRAMS, programs)


def _next_steps(mode: str, folder: Path, *, peg: bool) -> str:
    """Return the text with the steps that are left for the operator, and their commands."""
    config = folder / "alysd.toml"
    if mode == "dev":
        bitcoin = "start Bitcoin:   bitcoind -regtest -daemon -fallbackfee=0.0001\n" if peg else ""
        return f"{bitcoin}start the node:  alysd run --config {config}\n"
    key = (
        f"make the key:         alysd keys new bls --out {folder}/keys/authority.key\n"
        f"show the federation its public half and proof:  alysd keys show {folder}/keys/authority.key\n"
        if mode == "member"
        else ""
    )
    guard = (
        "in a federation, make the guard, only for a key that no node has ever used:  "
        f"alysd keys guard --config {config}\n"
        if mode == "member"
        else ""
    )
    return (
        f"{key}"
        f"put the chain's specification and genesis from the federation into {folder}/chains/\n"
        f"make the secret that the execution client shares:  openssl rand -hex 32 > {folder}/jwt.hex\n"
        f"{guard}"
        f"check:                alysd check --config {config}\n"
        f"install the service:  cp {folder}/alysd.service /etc/systemd/system/\n"
        f"load the alerts:      name {folder}/alysd.rules.yml under rule_files in prometheus.yml\n"
    )
