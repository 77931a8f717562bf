"""Runs the command `alysd` for `python -m alysd`."""

from alysd.cli import program

program()
