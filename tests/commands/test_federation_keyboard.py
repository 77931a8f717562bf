"""The keyboard of `alysd federation`: it acts on the member that was meant, and parts those that were named."""

import os
import pty
import sys
from pathlib import Path

import attrs
import pytest

from alysd.commands.federation_keyboard import KEYS, Keyboard, raw_keyboard
from alysd.commands.federation_links import Links, MemberRoute


@attrs.define(eq=False)
class FakeMember:
    """Remembers what it was asked to do."""

    asked: list[str] = attrs.field(factory=list[str])

    def kill(self) -> None:
        self.asked.append("kill")

    def start(self) -> None:
        self.asked.append("start")

    def pause(self) -> None:
        self.asked.append("pause")

    def resume(self) -> None:
        self.asked.append("resume")


def keyboard_of(members: list[FakeMember], links: Links) -> Keyboard:
    return Keyboard(members, links)  # pyright: ignore[reportArgumentType]  it has the same methods


def test_a_letter_and_a_number_act_on_one_member() -> None:
    """A person would kill another member than the one meant, or none."""
    members = [FakeMember() for _ in range(4)]
    keyboard = keyboard_of(members, Links([]))
    assert keyboard.words == KEYS
    assert not any(keyboard.press(key) for key in "2k9y²")
    assert keyboard.words == "kill which member? 1 to 4"
    assert not any(keyboard.press(key) for key in "2" + "p1" + "kc1" + "s2" + "3")
    assert [member.asked for member in members] == [["pause", "resume"], ["kill", "start"], [], []]
    assert keyboard.words == KEYS
    assert keyboard.press("q")


def test_without_a_terminal_there_is_no_keyboard(monkeypatch: pytest.MonkeyPatch) -> None:
    """A service or a test would read its input as commands."""
    with Path(os.devnull).open() as nothing:
        monkeypatch.setattr(sys, "stdin", nothing)
        with raw_keyboard() as keys:
            assert keys is None


def test_the_terminal_is_as_before_in_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """Otherwise a person's input would stay invisible in the shell."""
    import termios

    ours, theirs = pty.openpty()
    with os.fdopen(theirs) as terminal, os.fdopen(ours, "wb"):
        monkeypatch.setattr(sys, "stdin", terminal)
        before = termios.tcgetattr(theirs)
        with raw_keyboard() as keys:
            assert keys == theirs
            assert termios.tcgetattr(theirs) != before
        assert termios.tcgetattr(theirs) == before


def test_a_person_parts_the_members_and_joins_them_again() -> None:
    """A partition would have other sides than those that were typed, or would not end."""
    routes = [MemberRoute(near, far, 1, 2) for near in range(1, 5) for far in range(1, 5) if near != far]
    links = Links(routes)
    keyboard = keyboard_of([FakeMember() for _ in range(4)], links)
    assert keyboard.text() == KEYS
    for key, words in (("x", "the members of one side"), ("1", "partition: 1 |"), ("2", "partition: 12 |")):
        keyboard.press(key)
        assert words in keyboard.text()
    assert links.divided == ()
    keyboard.press("\n")
    assert keyboard.text() == f"partition: 1 2 | 3 4\n{KEYS}"
    for key in "x4\r":
        keyboard.press(key)
    assert links.divided == ((4,), (1, 2, 3))
    keyboard.press("h")
    assert (links.divided, keyboard.text()) == ((), KEYS)


def test_a_partition_that_is_not_finished_changes_nothing() -> None:
    links = Links([MemberRoute(1, 2, 1, 2), MemberRoute(2, 1, 3, 4)])
    members = [FakeMember(), FakeMember()]
    keyboard = keyboard_of(members, links)
    for key in "\nx1k1\n":
        keyboard.press(key)
    assert links.divided == ()
    assert members[0].asked == ["kill"]
