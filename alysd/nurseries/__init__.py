"""Supervised actors on trio. The package depends on trio and attrs, not on the rest of the program.

Each module can be read on its own:

- `behaviour`: messages, and the class that handles them. Types connect a message with its reply. `protocols`: the
  check that an actor handles all messages of its protocol.
- `address`, `inbox`, `mailbox`, `asks`: how a message reaches its actor, how an answer reaches its asker, and what
  happens to a message when its actor crashes.
- `deferred`: answers that are given after their handler has returned.
- `serve`: the loop of an actor. `threads`: calls into its trio run from other threads.
- `signals`: messages of the runtime to one instance of an actor. `watch` sends them when instances of another
  actor end, `timers` when a time has passed. `visible_state`: the state that an actor shows.
- `spec`: the tree as data. `restart`: policies, strategies and budgets, which decide whether a child restarts.
- `dynamic`: children that are started at run time, one per operation.
- `last_deadline`: the report of a child that cannot be ended.
- `child`, `life`, `actor_child`, `task_child`: the children at run time. `children`, `supervising`, `supervision`:
  the child that is a supervisor. `running_tree`, `system`: the whole tree. `opening`: its start and its end.
  `registry`: snapshots of the tree.
- `failures`, `patterns`: the log of failures, and patterns in it.
- `health`: the health monitor, which restarts unhealthy children.
- `pools`, `pool_child`, `receivers`: several actors behind one address. `bus`: events by type. `persistent_state`:
  state that survives a restart.
- `trace`: trace contexts that messages carry. `envelope`: messages between processes.
- `processes`: a child in an operating-system process of its own.
- `isolation`: a unit of work whose failure ends nothing else. `errors`: every error, as a tree.

The smallest program:

    class Greeting: ...

    @attrs.frozen
    class Greet(Ask[Greeting, str]):
        name: str

    class Greeter(Actor[Greeting]):
        @handles(Greet)
        async def greet(self, message: Greet) -> str:
            return f"Hello {message.name}"

    greeter: Address[Greeting] = Address("greeter")
    async with open_system(supervisor("Root", OneForOne(), [actor(greeter, Greeter)])):
        print(await greeter.ask(Greet("you")))
"""

from alysd.nurseries.address import Address, OnCrash
from alysd.nurseries.behaviour import Actor, Ask, Health, Tell, handles
from alysd.nurseries.bus import Bus, BusRules, NotPermitted, Rate, TooManyEvents
from alysd.nurseries.deferred import Deferred
from alysd.nurseries.dynamic import Operation, dynamic_supervisor
from alysd.nurseries.envelope import Codec, Envelope, InboundEndpoint, NotAuthentic, seal, unseal
from alysd.nurseries.errors import (
    ActorDown,
    AskCycle,
    AskTimeout,
    BudgetSpent,
    ChildEnded,
    CircuitOpen,
    Fatal,
    HandlerCrashed,
    HandlerTooSlow,
    HealthCheckFailed,
    IllegalTransition,
    InstanceReused,
    MailboxFull,
    NotAnswered,
    NurseryError,
    OperationFailed,
    Refusal,
    SpecError,
    StartFailed,
    StartTooSlow,
    SystemFailed,
    TooManyChildren,
    UnknownChild,
    UnknownMessage,
    WrongState,
    WrongThread,
)
from alysd.nurseries.failures import (
    ChildHistory,
    Classifier,
    FailureKind,
    FailureLog,
    FailureRecord,
    Outcome,
    Recovery,
)
from alysd.nurseries.health import HealthChange, HealthMonitor, HealthRules
from alysd.nurseries.inbox import DeadLetter
from alysd.nurseries.isolation import isolated
from alysd.nurseries.last_deadline import StuckChild
from alysd.nurseries.mailbox import Backoff, Mailbox, Overflow
from alysd.nurseries.opening import open_system, run_system
from alysd.nurseries.patterns import Pattern, PatternKind, PatternRules
from alysd.nurseries.persistent_state import PersistentState, StateStore
from alysd.nurseries.pools import PoolRestart, PoolSpec, pool
from alysd.nurseries.processes.spec import PayloadCodec, ProcessContext, ProcessLimits, Reach, process
from alysd.nurseries.registry import ChildSnapshot, MailboxSnapshot, Registry
from alysd.nurseries.restart import (
    Aligned,
    CircuitBreaker,
    ExponentialBackoff,
    FixedDelay,
    Immediate,
    Intensity,
    Never,
    OneForAll,
    OneForOne,
    RestartPolicy,
    RestForOne,
    Strategy,
)
from alysd.nurseries.spec import ChildSpec, Priority, SupervisorSpec, actor, supervisor, task
from alysd.nurseries.states import TRANSITIONS, Change, Observer, State
from alysd.nurseries.system import System
from alysd.nurseries.timers import Timer, Timers
from alysd.nurseries.trace import TraceContext, Tracer, Unrecorded, current_trace, traced, untraced
from alysd.nurseries.watch import Down, Watch

__all__ = [
    "TRANSITIONS",
    "Actor",
    "ActorDown",
    "Address",
    "Aligned",
    "Ask",
    "AskCycle",
    "AskTimeout",
    "Backoff",
    "BudgetSpent",
    "Bus",
    "BusRules",
    "Change",
    "ChildEnded",
    "ChildHistory",
    "ChildSnapshot",
    "ChildSpec",
    "CircuitBreaker",
    "CircuitOpen",
    "Classifier",
    "Codec",
    "DeadLetter",
    "Deferred",
    "Down",
    "Envelope",
    "ExponentialBackoff",
    "FailureKind",
    "FailureLog",
    "FailureRecord",
    "Fatal",
    "FixedDelay",
    "HandlerCrashed",
    "HandlerTooSlow",
    "Health",
    "HealthChange",
    "HealthCheckFailed",
    "HealthMonitor",
    "HealthRules",
    "IllegalTransition",
    "Immediate",
    "InboundEndpoint",
    "InstanceReused",
    "Intensity",
    "Mailbox",
    "MailboxFull",
    "MailboxSnapshot",
    "Never",
    "NotAnswered",
    "NotAuthentic",
    "NotPermitted",
    "NurseryError",
    "Observer",
    "OnCrash",
    "OneForAll",
    "OneForOne",
    "Operation",
    "OperationFailed",
    "Outcome",
    "Overflow",
    "Pattern",
    "PatternKind",
    "PatternRules",
    "PayloadCodec",
    "PersistentState",
    "PoolRestart",
    "PoolSpec",
    "Priority",
    "ProcessContext",
    "ProcessLimits",
    "Rate",
    "Reach",
    "Recovery",
    "Refusal",
    "Registry",
    "RestForOne",
    "RestartPolicy",
    "SpecError",
    "StartFailed",
    "StartTooSlow",
    "State",
    "StateStore",
    "Strategy",
    "StuckChild",
    "SupervisorSpec",
    "System",
    "SystemFailed",
    "Tell",
    "Timer",
    "Timers",
    "TooManyChildren",
    "TooManyEvents",
    "TraceContext",
    "Tracer",
    "UnknownChild",
    "UnknownMessage",
    "Unrecorded",
    "Watch",
    "WrongState",
    "WrongThread",
    "actor",
    "current_trace",
    "dynamic_supervisor",
    "handles",
    "isolated",
    "open_system",
    "pool",
    "process",
    "run_system",
    "seal",
    "supervisor",
    "task",
    "traced",
    "unseal",
    "untraced",
]
