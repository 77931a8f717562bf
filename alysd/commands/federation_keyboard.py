"""The keyboard of `alysd federation`: the keys and their effects."""

import sys
import termios
import tty
from collections.abc import Generator, Sequence
from contextlib import contextmanager

from alysd.commands.federation_links import Links
from alysd.commands.federation_members import MemberProcess

KEYS = "keys: k kill, s start, p pause, c continue, then a member; x partition, h heal; q stops all"
ACTIONS = {"k": "kill", "s": "start", "p": "pause", "c": "resume"}
"""The method of `MemberProcess` for each key."""

PARTITION, HEAL, ENTER = "x", "h", "\r\n"


class Keyboard:
    """Reads the keys of a person.

    A letter of `ACTIONS` and a member's number act on this member. `PARTITION`, the numbers of some members and
    Enter separate these members from the others. `HEAL` joins all again.
    """

    def __init__(self, members: Sequence[MemberProcess], links: Links) -> None:
        self._members = members
        self._links = links
        self._action = ""
        self._side = ""
        self.words = KEYS

    def press(self, key: str) -> bool:
        """Handle one key, and return whether it stops the command. An unknown key is ignored."""
        if key == "q":
            return True
        if key in ACTIONS:
            self._begin(key, f"{ACTIONS[key]} which member? 1 to {len(self._members)}")
        elif key == PARTITION:
            self._begin(key, "partition: type the members of one side, then Enter")
        elif key == HEAL:
            self._links.heal()
            self._begin("", KEYS)
        elif key in ENTER and self._action == PARTITION:
            self._links.divide([int(number) for number in self._side])
            self._begin("", KEYS)
        elif self._action and key.isascii() and key.isdigit() and 1 <= int(key) <= len(self._members):
            self._number(key)
        return False

    def text(self) -> str:
        """The lines below the table: the partition, if there is one, and the keys to type."""
        sides = " | ".join(" ".join(map(str, side)) for side in self._links.divided)
        return f"partition: {sides}\n{self.words}" if sides else self.words

    def _begin(self, action: str, words: str) -> None:
        self._action, self._side, self.words = action, "", words

    def _number(self, key: str) -> None:
        if self._action == PARTITION:
            self._side += key
            self.words = f"partition: {self._side} | the others; Enter parts them"
        else:
            getattr(self._members[int(key) - 1], ACTIONS[self._action])()
            self._begin("", KEYS)


@contextmanager
def raw_keyboard() -> Generator[int | None]:
    """The file descriptor from which single keys are read while the `with` block runs; None without a terminal."""
    if not sys.stdin.isatty():
        yield None
        return
    descriptor = sys.stdin.fileno()
    before = termios.tcgetattr(descriptor)
    try:
        tty.setcbreak(descriptor)
        yield descriptor
    finally:
        termios.tcsetattr(descriptor, termios.TCSADRAIN, before)
