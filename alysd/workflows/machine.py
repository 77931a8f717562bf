"""A state machine driven by a table, for workflows whose next step depends on the answers that they get."""

from collections.abc import Callable, Mapping
from typing import Any, Generic, TypeVar

from alysd.errors import AlysError
from alysd.messages.events import WorkflowMoved

State = TypeVar("State")
Event = TypeVar("Event")

Transitions = Mapping[tuple[type[Any], type[Any]], Callable[[Any, Any], Any]]
"""`TRANSITIONS[state class, event class]` is the function from both values to the next state."""


class NoSuchTransition(AlysError):
    """A workflow was told something that its table does not have for the state it is in: a bug in its steps."""

    def __init__(self, workflow: str, state: object, event: object) -> None:
        self.workflow = workflow
        self.state = state
        self.event = event
        super().__init__(f"{workflow}: no transition from {type(state).__name__} on {type(event).__name__}")


class Machine(Generic[State, Event]):
    """One run of a workflow: its present `state`, and `move` as the only way to another.

    `publish` gets a `WorkflowMoved` for every change, before anything acts on the new state.
    """

    __slots__ = ("_publish", "_table", "name", "state")

    def __init__(
        self, name: str, table: Transitions, initial: State, publish: Callable[[WorkflowMoved], object]
    ) -> None:
        self.name = name
        self.state = initial
        self._table = table
        self._publish = publish

    def move(self, event: Event) -> State:
        """Go to the state that the table gives for the present one and `event`; raises `NoSuchTransition`."""
        old = self.state
        step = self._table.get((old.__class__, event.__class__))
        if step is None:
            raise NoSuchTransition(self.name, old, event)
        self.state = step(old, event)
        self._publish(WorkflowMoved(self.name, type(self.state).__name__))
        return self.state
