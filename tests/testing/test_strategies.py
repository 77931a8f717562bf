"""The strategies draw every kind of value, and the messages of any protocol."""

import attrs
from hypothesis import Phase, find, given, settings
from hypothesis.strategies import SearchStrategy

from alysd.messages.chain import Chain, GetForkchoice
from alysd.nurseries import (
    CircuitBreaker,
    ExponentialBackoff,
    FixedDelay,
    Immediate,
    Never,
    OnCrash,
    OneForAll,
    OneForOne,
    RestartPolicy,
    RestForOne,
    Strategy,
    Tell,
)
from alysd.testing.model.commands import Command, Program, SpawnChild, TreePlan
from alysd.testing.strategies import (
    commands,
    group_strategies,
    messages,
    messages_of,
    programs,
    restart_policies,
    trees,
)
from alysd.testing.till import Book, Count, GetBalance, Ledger, Till, Trip, Withdraw


def assert_drawn(strategy: SearchStrategy[object], kind: type[object]) -> None:
    """The first one that is found is not shrunk."""
    generate = settings(max_examples=2000, phases=[Phase.generate])
    find(strategy, lambda drawn: isinstance(drawn, kind), settings=generate)


def test_every_policy_and_strategy_is_drawn() -> None:
    policies: list[type[RestartPolicy]] = [Immediate, FixedDelay, ExponentialBackoff, CircuitBreaker, Never]
    for policy in policies:
        assert_drawn(restart_policies(0.01), policy)
    strategies: list[type[Strategy]] = [OneForOne, OneForAll, RestForOne]
    for strategy in strategies:
        assert_drawn(group_strategies(), strategy)


def test_every_command_is_drawn() -> None:
    kinds: list[type[Command]] = list(Command.__args__)
    for kind in kinds:
        assert_drawn(commands(), kind)


@given(trees())
@settings(max_examples=50)
def test_a_tree_with_groups_retries_nothing(plan: TreePlan) -> None:
    """The model could not say how far the group had come when the message struck again."""
    if plan.grouped:
        assert all(child.on_crash is OnCrash.DROP for child in plan.children)


@given(programs(most=5))
@settings(max_examples=50)
def test_a_program_is_a_value_that_prints_as_what_it_is(program: Program) -> None:
    assert len(program.commands) <= 5
    assert hash(program) == hash(Program(program.plan, program.commands))
    for command in program.commands:
        assert type(command).__name__ in repr(program)
        if isinstance(command, SpawnChild) and program.plan.grouped:
            assert command.plan.on_crash is OnCrash.DROP


def test_the_messages_of_a_protocol_are_found() -> None:
    assert messages_of(Till) == [Count, Trip, Withdraw]
    assert messages_of(Ledger) == [Book, GetBalance]
    assert GetForkchoice in messages_of(Chain)


@given(messages(*messages_of(Till)))
@settings(max_examples=50)
def test_messages_are_drawn_by_the_types_of_their_fields(message: object) -> None:
    assert isinstance(message, Count | Trip | Withdraw)
    if isinstance(message, Withdraw):
        assert isinstance(message.amount, int)


def test_a_class_that_attrs_replaced_is_no_message() -> None:
    """Whether it is found would depend on when the garbage is collected."""

    class Counter: ...

    class Plain(Tell[Counter]): ...

    @attrs.frozen
    class Add(Tell[Counter]):
        number: int

    assert messages_of(Counter) == [Add]
    assert issubclass(Plain, Tell)
