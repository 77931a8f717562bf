"""`alysd keys`: makes key files, and shows what is public of them."""

import argparse
import sys
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """`new` and `show` with their options."""
    actions = parser.add_subparsers(metavar="ACTION", required=True)
    new = actions.add_parser("new", help="make a key file, its owner's alone (mode 0600)")
    new.add_argument(
        "kind",
        choices=("bls", "bitcoin", "network"),
        help="bls: an authority's approvals; bitcoin: a federation member's share of the locked BTC; "
        "network: a node's name among its peers",
    )
    new.add_argument("--out", type=Path, metavar="FILE", help="the file to make (KIND.key)")
    new.set_defaults(action=_new)
    show = actions.add_parser("show", help="show what is public of a key file")
    show.add_argument("file", type=Path, metavar="FILE")
    show.add_argument(
        "--kind", choices=("bls", "bitcoin", "network"), help="for a file that does not say which kind it is of"
    )
    show.add_argument("--secret", action="store_true", help="show the secret too")
    show.set_defaults(action=_show)


def run(args: argparse.Namespace) -> int:
    """Do what was asked; raises `UserError`."""
    code: int = args.action(args)
    return code


def _new(args: argparse.Namespace) -> int:
    from alysd.config.key_file import write_key_file
    from alysd.integrations.key_kinds import new_secret, public_text

    path: Path = args.out or Path(f"{args.kind}.key")
    secret = new_secret(args.kind)
    public = public_text(args.kind, secret)
    write_key_file(path, args.kind, secret, public)
    sys.stdout.write(f"wrote {path}: whoever reads it can sign as you; keep a copy where nobody does\n{public}\n")
    return 0


def _show(args: argparse.Namespace) -> int:
    from alysd.config.key_file import read_key_file
    from alysd.errors import ConfigError, Malformed
    from alysd.integrations.key_kinds import public_text

    key = read_key_file(args.file, kind=args.kind, known_to_all=True)
    kind = key.kind or args.kind
    if kind is None:
        raise ConfigError(
            f"{args.file}: does not say which kind of key it is\nsay it: --kind bls, bitcoin or network"
        )
    try:
        public = public_text(kind, key.secret)
    except Malformed as error:
        raise ConfigError(f"{args.file}: not a {kind} key: {error}") from None
    sys.stdout.write(f"{kind} key\npublic {public}\n")
    if args.secret:
        sys.stdout.write(f"secret {key.secret.hex()}\n")
    if args.file.stat().st_mode & 0o077:
        sys.stderr.write(f"alysd: {args.file} can be read by others; if it is a secret: chmod 600 {args.file}\n")
    return 0
