"""`alysd genesis`: creates a chain specification and its execution genesis from a short description."""

import argparse
import json
from pathlib import Path

from alysd.commands.output import say


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `alysd genesis`."""
    parser.add_argument(
        "--input",
        type=Path,
        required=True,
        metavar="FILE",
        help="the short description (TOML), such as conf/chains/short/dev.toml",
    )
    parser.add_argument(
        "--output", type=Path, required=True, metavar="DIR", help="the folder for the two files of the chain"
    )


def run(args: argparse.Namespace) -> int:
    """Write both files, with the name of the input file, and print the genesis hash. Raises `UserError`.

    Existing files are not overwritten, because the parameters of a running chain must not change.
    """
    from alysd.config.chain_spec import make_spec
    from alysd.config.genesis import chain_toml, execution_genesis, read_short_genesis
    from alysd.integrations.possession import check_possession
    from alysd.types.hashes import displayed
    from alysd.validation import genesis_of

    short = read_short_genesis(args.input)
    chain_file: Path = args.output / f"{args.input.stem}.toml"
    genesis_file: Path = args.output / f"{args.input.stem}.genesis.json"
    execution = execution_genesis(short)
    spec = make_spec(short.parameters, execution)
    check_possession(spec)
    genesis = genesis_of(spec).context.genesis
    _write_new(genesis_file, json.dumps(execution, indent=2) + "\n")
    _write_new(chain_file, chain_toml(short.parameters, genesis_file.name))
    say(f"wrote {chain_file} and {genesis_file}\ngenesis {displayed(genesis)}\n")
    return 0


def _write_new(path: Path, text: str) -> None:
    """Write a new file. Raises `ConfigError` if it exists or cannot be written."""
    from alysd.errors import ConfigError

    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("x") as file:
            file.write(text)
    except FileExistsError:
        raise ConfigError(f"{path}: the file exists\nname another folder with --output") from None
    except OSError as error:
        raise ConfigError(f"{path}: cannot be written: {error.strerror}") from None
