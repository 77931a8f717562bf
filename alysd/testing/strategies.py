"""Hypothesis strategies: restart policies, trees, programs for a supervisor, and messages of any protocol.

    @given(programs())
    def test_the_tree_does_as_the_model(program: Program) -> None:
        run_program(program)

A program is drawn as a whole, before the run. Hypothesis's rule-based state machine cannot be used: its rules are
separate synchronous calls, and a trio run cannot be left and entered again between them. Programs shrink as well
as such rules, and the driver checks the preconditions of each command.
"""

from collections.abc import Iterator, Sequence
from functools import cache
from typing import Any, get_args, get_origin

import attrs
from hypothesis import strategies as st

from alysd.nurseries import (
    Ask,
    CircuitBreaker,
    ExponentialBackoff,
    FixedDelay,
    Immediate,
    Never,
    OnCrash,
    OneForAll,
    OneForOne,
    Overflow,
    RestartPolicy,
    RestForOne,
    Strategy,
    Tell,
)
from alysd.testing.model.commands import (
    Action,
    CancelSender,
    ChildPlan,
    Command,
    CrashChild,
    CrashSupervisor,
    Disturbance,
    DisturbWatcher,
    EndBackground,
    KillProcess,
    OperateAtOnce,
    Operation,
    Operator,
    PassTime,
    Program,
    RemoveChild,
    RestartChild,
    ResumeChild,
    SendMessage,
    SendMode,
    SpawnChild,
    StopChild,
    SuspendChild,
    TreePlan,
)

FOR_EVER = 1e6
"""More seconds than any program lasts. As `stable_seconds`, it prevents that time resets a failure count."""

OFFSETS = (0.0131, 0.0247, 0.0359, 0.0473, 0.0591)
"""Seconds added to the delays of one child, so that no two children restart at the same moment."""


@cache
def restart_policies(offset: float = 0.0) -> st.SearchStrategy[RestartPolicy]:
    """All kinds of restart policies, without jitter. Delays are a few half seconds plus `offset`."""
    halves = st.sampled_from([0.5, 1.0]).map(lambda seconds: seconds + offset)
    stable = st.just(FOR_EVER)
    return st.one_of(
        st.builds(Immediate, stable_seconds=stable),
        st.builds(FixedDelay, seconds=halves, increment=st.sampled_from([0.0, 0.5]), stable_seconds=stable),
        st.builds(ExponentialBackoff, first_seconds=halves, jitter=st.just(0.0), stable_seconds=stable),
        st.builds(
            CircuitBreaker,
            failures=st.integers(1, 2),
            open_seconds=halves.map(lambda seconds: seconds + 1.0),
            delay_seconds=st.one_of(st.just(0.0), halves),
            stable_seconds=stable,
        ),
        st.builds(Never),
    )


def group_strategies() -> st.SearchStrategy[Strategy]:
    """Every group strategy."""
    return st.sampled_from([OneForOne(), OneForAll(), RestForOne()])


@cache
def child_plans(offset: float = 0.0, *, retries: bool = True) -> st.SearchStrategy[ChildPlan]:
    """Plans of children with small mailboxes. With `retries`, some of them handle a crashing message once more."""
    return st.builds(
        ChildPlan,
        restart=restart_policies(offset),
        capacity=st.integers(1, 3),
        overflow=st.sampled_from(list(Overflow)),
        on_crash=st.sampled_from(list(OnCrash)) if retries else st.just(OnCrash.DROP),
        stop_turns=st.sampled_from([0, 0, 1, 3]),
        background=st.booleans(),
        process=st.booleans(),
    )


@st.composite
def trees(draw: st.DrawFn) -> TreePlan:
    """A supervisor over one to three actors.

    Messages are retried only under one-for-one and without links. Otherwise, a retried message would crash its
    actor while the actor's group starts, for which the model has no single outcome.
    """
    count = draw(st.integers(1, 3))
    linked = tuple(number for number in range(1, count) if draw(st.booleans()))
    plan = TreePlan(
        draw(group_strategies()),
        (),
        restarts=draw(st.integers(0, 4)),
        root_restarts=draw(st.integers(0, 2)),
        linked=linked,
    )
    children = [draw(child_plans(offset, retries=not plan.grouped)) for offset in OFFSETS[:count]]
    return attrs.evolve(plan, children=tuple(children))


@cache
def commands(*, retries: bool = True) -> st.SearchStrategy[Command]:
    """One command; about half of them send a message."""
    child = st.integers(0, 4)
    gives: Sequence[st.SearchStrategy[Command]] = [
        st.builds(SendMessage, child=child, mode=st.just(mode), action=st.just(action))
        for mode in SendMode
        for action in Action
        if action is not Action.DUE
    ]
    spawned = st.sampled_from(OFFSETS[3:]).flatmap(lambda offset: child_plans(offset, retries=retries))
    operations: Sequence[st.SearchStrategy[Operation]] = [
        st.builds(SuspendChild, child=child),
        st.builds(ResumeChild, child=child),
        st.builds(RestartChild, child=child),
        st.builds(StopChild, child=child),
        st.builds(RemoveChild, child=child),
        st.builds(SpawnChild, plan=spawned),
    ]
    turns = st.integers(0, 6)
    operator = st.builds(
        Operator, operation=st.one_of(*operations), turns=turns, cancelled_after=st.one_of(st.none(), turns)
    )
    at_once = st.lists(operator, min_size=2, max_size=3).map(tuple)
    others: Sequence[st.SearchStrategy[Command]] = [
        st.builds(CancelSender, waiting=st.integers(0, 3)),
        st.builds(CrashChild, child=child),
        st.builds(EndBackground, child=child, raises=st.booleans()),
        st.builds(KillProcess, child=child),
        st.builds(CrashSupervisor),
        *operations,
        st.builds(OperateAtOnce, operators=at_once),
        st.builds(DisturbWatcher, how=st.sampled_from(list(Disturbance))),
        st.builds(PassTime, steps=st.integers(1, 4)),
    ]
    return st.one_of(*gives, *others)


@st.composite
def programs(draw: st.DrawFn, *, most: int = 30) -> Program:
    """A tree and at most `most` commands for it."""
    plan = draw(trees())
    command = commands(retries=not plan.grouped)
    return Program(plan, tuple(draw(st.lists(command, max_size=most))))


def messages_of(protocol: type[object]) -> list[type[Any]]:
    """All imported message classes of a protocol, ordered by name."""
    kinds = (kind for base in (Tell, Ask) for kind in _below(base) if _protocol_of(kind) is protocol)
    # attrs replaces a class by one with slots. The replaced class remains a subclass until it is
    # garbage-collected.
    found = {kind for kind in kinds if attrs.has(kind)}
    return sorted(found, key=lambda kind: kind.__name__)


def messages(*kinds: type[Any]) -> st.SearchStrategy[Any]:
    """Messages of these classes, with fields that are drawn by their types.

    `messages(*messages_of(Chain))` draws any message of the chain actor. If hypothesis cannot know the bounds of a
    field's type, call `st.register_type_strategy` first.
    """
    return st.one_of([st.from_type(kind) for kind in kinds])


def _below(kind: type[Any]) -> Iterator[type[Any]]:
    for child in kind.__subclasses__():
        yield child
        yield from _below(child)


def _protocol_of(kind: type[Any]) -> object:
    for base in getattr(kind, "__orig_bases__", ()):
        if get_origin(base) in (Tell, Ask):
            return get_args(base)[0]
    return None
