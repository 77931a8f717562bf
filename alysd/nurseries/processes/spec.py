"""A child in a process of its own, as data: `process(...)` makes the spec.

    process(
        peers, "federation.network:start", config=NetworkConfig(port=9000), codec="federation.codec:codec",
        reaches=[Reach(chain, [GetHead, SubmitBlock])], limits=ProcessLimits(memory=256 << 20),
    )

`federation.network.start` is called in the new process with a `ProcessContext` and returns the actor. Factory and
codec are given by name, because the parent does not import the factory.
"""

from collections.abc import Mapping, Sequence
from importlib import import_module
from typing import Any, Protocol, TypeVar

import attrs
from attrs.validators import ge, gt, optional

from alysd.nurseries.address import Address
from alysd.nurseries.behaviour import Actor
from alysd.nurseries.errors import SpecError
from alysd.nurseries.processes.launching import Launcher
from alysd.nurseries.restart import ExponentialBackoff, RestartPolicy
from alysd.nurseries.spec import NO_TAGS, STOP_SECONDS, ActorSpec, Priority, Sibling, names

P = TypeVar("P")


class PayloadCodec(Protocol):
    """The encoding of messages, answers, the configuration and tuples. Provided by the program."""

    def encode(self, value: Any) -> bytes:
        """Encode the value. Raises any `Exception` for a value that cannot be encoded."""
        ...

    def decode(self, data: bytes) -> Any:
        """Decode a value. Raises any `Exception` for bytes that are not the encoding of one.

        The bytes are not trusted. The codec must not run code that they name, as pickle does.
        """
        ...


@attrs.frozen(kw_only=True)
class ProcessLimits:
    """The bounds of a process and of its border with the parent."""

    memory: int | None = attrs.field(default=512 << 20, validator=optional(ge(64 << 20)))
    """Bytes of private writable memory (RLIMIT_DATA), the interpreter's 40 MB included. `None`: no limit.

    Shared maps of files, such as LMDB's, do not count. Linux only; other systems do not enforce the limit.
    """
    files: int = attrs.field(default=256, validator=ge(32))
    """Open file descriptors (RLIMIT_NOFILE)."""
    nice: int = attrs.field(default=5, validator=[ge(0), attrs.validators.le(19)])
    """The number by which the priority of the process is lower than the parent's (nice(2))."""
    credit: int = attrs.field(default=256, validator=ge(1))
    """The largest number of messages in flight, for each address and direction.

    A message to the process is in flight until it is handled, one to the parent until its address has queued it.
    """
    message_bytes: int = attrs.field(default=1 << 20, validator=ge(1 << 15))
    """The largest encoded message or answer."""
    start_seconds: float = attrs.field(default=30.0, validator=gt(0.0))
    """The time from the start of the process until its actor runs. An interpreter with trio takes 0.3 s."""
    end_seconds: float = attrs.field(default=1.0, validator=ge(0.0))
    """The time from closing the socket of a process to SIGKILL. A process that has failed is killed at once."""
    log_lines: int = attrs.field(default=200, validator=ge(1))
    """Lines of output that are logged in any 10 s. Further lines are counted and dropped."""
    environment: Mapping[str, str] = attrs.field(factory=dict[str, str])
    """Environment variables for the process, besides those in `launch.ENVIRONMENT`, which it inherits."""


@attrs.frozen
class Reach:
    """Permission for a process to send to `address`: only `messages` of these types, or all if it is `None`."""

    address: Address[Any]
    messages: Sequence[type[Any]] | None = attrs.field(default=None, converter=attrs.converters.optional(tuple))


@attrs.frozen
class ProcessContext:
    """The argument of a factory in the new process."""

    config: Any
    """The value that the spec was given, encoded and decoded."""
    addresses: Mapping[str, Address[Any]]
    """The addresses of the parent that the process may reach, by name. They work as in the parent."""

    def address(self, name: str) -> Address[Any]:
        """The address `name` of the parent. Raises `NotReachable` when the spec does not list it."""
        from alysd.nurseries.processes.errors import NotReachable

        if name not in self.addresses:
            raise NotReachable("this child", name)
        return self.addresses[name]


@attrs.frozen(kw_only=True)
class ProcessSpec(ActorSpec):
    """An actor whose instances live in processes of their own."""

    factory: Any = Actor
    """Not used: the instance is made in the process, by `source`."""
    source: str
    """`package.module:function` of the factory, which takes a `ProcessContext`."""
    config: Any
    """The value for the factory, or a function that returns it, which is called at each start of a process."""
    codec: str
    """`package.module:name` of the `PayloadCodec`."""
    reaches: tuple[Reach, ...] = ()
    refusals: tuple[type[Exception], ...] = ()
    """Classes of errors that are refusals in the process, and cross the border as the same class."""
    limits: ProcessLimits = attrs.field(factory=ProcessLimits)
    launcher: Launcher | None = None
    """The launcher of the processes; `None` starts real ones. A test can run the actor in its own process."""


def process(
    address: Address[P],
    factory: str,
    *,
    codec: str,
    config: Any = None,
    reaches: Sequence[Address[Any] | Reach] = (),
    refusals: Sequence[type[Exception]] = (),
    limits: ProcessLimits | None = None,
    restart: RestartPolicy | None = None,
    priority: Priority = Priority.NORMAL,
    stop_seconds: float = STOP_SECONDS,
    handle_seconds: float | None = None,
    crash_on_not_answered: bool = False,
    depends_on: Sequence[Sibling] = (),
    linked_to: Sequence[Sibling] = (),
    tags: Sequence[str] = (),
    awaited: bool = True,
) -> ProcessSpec:
    """An actor child in a process of its own. `factory` and `codec` are named as `package.module:name`.

    `config`, `reaches`, `refusals` and `limits` are described in `ProcessSpec`; the other options are those of
    `actor`.

    With `awaited=False`, the later children start while the process is still starting, which takes 0.3 s and more.

    Raises `SpecError` for a name that another process cannot import.
    """
    for name in (factory, codec):
        _check_importable(address.name, name)
    return ProcessSpec(
        name=address.name,
        address=address,
        source=factory,
        config=config,
        codec=codec,
        reaches=tuple(each if isinstance(each, Reach) else Reach(each) for each in reaches),
        refusals=tuple(refusals),
        limits=limits or ProcessLimits(),
        restart=restart or ExponentialBackoff(),
        priority=priority,
        stop_seconds=stop_seconds,
        handle_seconds=handle_seconds,
        crash_on_not_answered=crash_on_not_answered,
        depends_on=names(*depends_on, *linked_to),
        linked_to=names(*linked_to),
        tags=frozenset(tags) if tags else NO_TAGS,
        awaited=awaited,
    )


def _check_importable(child: str, name: str) -> None:
    module, _, attribute = name.partition(":")
    if not module or not attribute or module == "__main__":
        raise SpecError(f"{child}: a new process cannot import {name!r}; name it package.module:attribute")


def imported(name: str) -> Any:
    """The object that `package.module:attribute` names."""
    module, _, attribute = name.partition(":")
    found: Any = import_module(module)
    for part in attribute.split("."):
        found = getattr(found, part)
    return found
