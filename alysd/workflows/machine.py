"""A state machine driven by a table, for workflows whose next step depends on the answers to earlier ones."""

from collections.abc import Callable, Mapping
from typing import Any, Generic, TypeVar

from alysd.errors import AlysError
from alysd.messages.events import WorkflowMoved

State = TypeVar("State")
Event = TypeVar("Event")

Transitions = Mapping[tuple[type[Any], type[Any]], Callable[[Any, Any], Any]]
"""Maps the classes of a state and an event to a function that computes the next state from both values."""


class NoSuchTransition(AlysError):
    """The workflow's table has no transition for this event in this state: a bug in the workflow."""

    def __init__(self, workflow: str, state: object, event: object) -> None:
        self.workflow = workflow
        self.state = state
        self.event = event
        super().__init__(f"{workflow}: no transition from {type(state).__name__} on {type(event).__name__}")


class Machine(Generic[State, Event]):
    """One run of a workflow: its current `state`, which only `move` changes.

    `publish` is called with a `WorkflowMoved` for every change.
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
        """Change to the state that the table gives for the current state and `event`.

        Raises `NoSuchTransition` if the table has none.
        """
        old = self.state
        step = self._table.get((old.__class__, event.__class__))
        if step is None:
            raise NoSuchTransition(self.name, old, event)
        self.state = step(old, event)
        self._publish(WorkflowMoved(self.name, type(self.state).__name__))
        return self.state
