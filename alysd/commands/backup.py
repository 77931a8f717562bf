"""`alysd backup`: copies the databases of a node, which may be running."""

import argparse
from pathlib import Path

from alysd.commands.configuration import add_configuration_arguments, load_configuration
from alysd.commands.output import say


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the folder, and the options that name the node's configuration."""
    parser.add_argument("folder", type=Path, metavar="DIR", help="the folder to create for the backup")
    add_configuration_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Make the backup and print its content. Raises `UserError`, and `Corrupt` for a damaged database."""
    from alysd.integrations.backup import make_backup

    valid = load_configuration(args)
    config, context = valid.config, valid.genesis.context
    made = make_backup(
        config.storage.path,
        args.folder,
        context.spec.name,
        context.genesis,
        embedded=config.engine.mode == "embedded",
    )
    size = sum(file.bytes for file in made.files.values())
    say(
        f"backed up chain {made.chain} to {args.folder}: head {made.head.height}, final {made.final.height}, "
        f"{size / 1e6:.1f} MB\n"
        "the signing guard is left out on purpose: an older guard would let the key sign a slot twice\n"
    )
    return 0
