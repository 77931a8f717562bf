"""Counts the calls that decoding makes, to compare its work without a clock."""

import sys
from collections import Counter
from collections.abc import Callable
from types import FrameType
from typing import Any

from alysd.errors import Malformed


def calls(decode: Callable[[], object]) -> Counter[str]:
    """The calls that `decode` makes until it returns or raises `Malformed`, by the function's name."""
    made: Counter[str] = Counter()

    def count(frame: FrameType, event: str, argument: Any) -> None:
        if event == "call":
            made[frame.f_code.co_name] += 1
        elif event == "c_call":
            made[getattr(argument, "__name__", "")] += 1

    previous = sys.getprofile()
    sys.setprofile(count)
    try:
        decode()
    except Malformed:
        pass
    finally:
        sys.setprofile(previous)
    return made


def work(decode: Callable[[], object]) -> int:
    """The number of all calls that `decode` makes."""
    return calls(decode).total()
