"""`python -m alysd` is `alysd`."""

from alysd.cli import program

program()
