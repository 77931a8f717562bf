"""Finds the files that come with alysd: configurations, the development chain, the systemd unit, alerts."""

from pathlib import Path

PACKAGE = Path(__file__).parents[1]


def shipped_folder(package: Path = PACKAGE) -> Path:
    """Return the folder of these files: `conf` inside an installed `package`, or beside it in a checkout."""
    inside = package / "conf"
    return inside if inside.is_dir() else package.parent / "conf"


def development_file() -> Path:
    """Return the configuration of the development chain, which `--dev` selects."""
    return shipped_folder() / "dev.toml"
