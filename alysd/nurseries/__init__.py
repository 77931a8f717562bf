"""Supervised actors on trio. Depends on trio and attrs alone; knows nothing of the program that uses it.

A tour, each module readable on its own:

- `messages`, `behaviour`: a protocol's messages, and the class that handles them. Typed from message to reply.
- `address`, `inbox`, `mailbox`, `overflow`, `wheel`: how a message gets there, and an answer back.
- `serve`: the loop of an actor.
- `lifecycle`, `restart`, `strategy`, `spec`: states, policies and the tree, as data.
- `child`, `leaf`, `supervision`, `system`, `running`: the tree at run time. `snapshot`, `registry`: seeing it.
- `failures`, `history`, `failure_log`, `patterns`: what failed, how often, and what it has in common.
- `monitor`, `probe`, `health`: who is well, and who is restarted because they are not.
- `group`: several actors behind one name. `waits`: circles of waiting actors, found.
- `trace`, `envelope`: traces that messages carry, and messages that leave the process. `keep`: state that
  survives a restart.
- `bus`: events to whoever subscribed. `errors`: all that can be raised, as a tree.

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

from alysd.nurseries.address import Address
from alysd.nurseries.behaviour import Actor, handles
from alysd.nurseries.bus import Bus, BusRules, NotPermitted, Rate, TooManyEvents
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
    MailboxFull,
    NotAnswered,
    NurseryError,
    Refusal,
    SpecError,
    SystemFailed,
    UnknownChild,
    UnknownMessage,
    WrongState,
)
from alysd.nurseries.failure_log import FailureLog
from alysd.nurseries.failures import Classifier, FailureKind, Recovery
from alysd.nurseries.group import Balance, Group, pool
from alysd.nurseries.health import Health
from alysd.nurseries.history import ChildHistory, FailureRecord, Outcome
from alysd.nurseries.inbox import DeadLetter
from alysd.nurseries.lifecycle import TRANSITIONS, Change, Observer, State
from alysd.nurseries.mailbox import Mailbox
from alysd.nurseries.messages import Ask, Tell
from alysd.nurseries.monitor import HealthChange, HealthMonitor, HealthRules
from alysd.nurseries.overflow import Backoff, OnCrash, Overflow
from alysd.nurseries.patterns import Pattern, PatternKind, PatternRules
from alysd.nurseries.persistent_state import PersistentState, StateStore
from alysd.nurseries.registry import Registry
from alysd.nurseries.restart import (
    Aligned,
    CircuitBreaker,
    ExponentialBackoff,
    FixedDelay,
    Immediate,
    Intensity,
    Never,
    RestartPolicy,
)
from alysd.nurseries.running import open_system, run_system
from alysd.nurseries.snapshot import ChildSnapshot, MailboxSnapshot
from alysd.nurseries.spec import ChildSpec, Priority, SupervisorSpec, actor, supervisor, task
from alysd.nurseries.strategy import OneForAll, OneForOne, RestForOne, Strategy
from alysd.nurseries.system import System
from alysd.nurseries.trace import TraceContext, Tracer, Unrecorded, current_trace, traced, untraced

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
    "Balance",
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
    "Envelope",
    "ExponentialBackoff",
    "FailureKind",
    "FailureLog",
    "FailureRecord",
    "Fatal",
    "FixedDelay",
    "Group",
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
    "Outcome",
    "Overflow",
    "Pattern",
    "PatternKind",
    "PatternRules",
    "PersistentState",
    "Priority",
    "Rate",
    "Recovery",
    "Refusal",
    "Registry",
    "RestForOne",
    "RestartPolicy",
    "SpecError",
    "State",
    "StateStore",
    "Strategy",
    "SupervisorSpec",
    "System",
    "SystemFailed",
    "Tell",
    "TooManyEvents",
    "TraceContext",
    "Tracer",
    "UnknownChild",
    "UnknownMessage",
    "Unrecorded",
    "WrongState",
    "actor",
    "current_trace",
    "handles",
    "open_system",
    "pool",
    "run_system",
    "seal",
    "supervisor",
    "task",
    "traced",
    "unseal",
    "untraced",
]
