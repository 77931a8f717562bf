"""The parts of a running system that all its children share."""

from collections.abc import Callable
from random import Random
from typing import TYPE_CHECKING

import attrs

from alysd.nurseries.asks import Wheel
from alysd.nurseries.errors import Fatal, Refusal
from alysd.nurseries.failures import Classifier, FailureLog
from alysd.nurseries.last_deadline import OnStuck
from alysd.nurseries.states import Observer
from alysd.nurseries.timers import TimerHeap
from alysd.nurseries.trace import Tracer, Unrecorded

if TYPE_CHECKING:
    from alysd.nurseries.child import Child


def _raise(name: str, raised: BaseException) -> None:  # noqa: ARG001
    raise raised


@attrs.define
class Runtime:
    """The parts of a system that all its children share. `stopping` is set when an orderly stop begins.

    `on_exit` is called with the name of a child that raised a `SystemExit`, `KeyboardInterrupt` or the like, and
    with that exception. The system then stops in order, and raises it.
    """

    wheel: Wheel
    observer: Observer | None
    rng: Random
    refusals: tuple[type[Exception], ...] = (Refusal,)
    fatal: tuple[type[Exception], ...] = (Fatal,)
    failures: FailureLog = attrs.field(factory=lambda: FailureLog(Classifier()))
    tracer: Tracer = attrs.field(factory=Unrecorded)
    timers: TimerHeap = attrs.field(factory=TimerHeap)
    children: "dict[str, Child]" = attrs.field(factory=dict[str, "Child"])
    stopping: bool = False
    on_exit: "Callable[[str, BaseException], None]" = _raise
    on_stuck: OnStuck | None = None
