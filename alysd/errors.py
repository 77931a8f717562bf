"""Every error that alysd names, as one tree. The branch of an error decides how it is handled.

    AlysError
    ├─ Refused               the sender's fault: answer it, change nothing
    │  ├─ InvalidBlock       a block breaks a rule of docs/protocol.md   (consensus.violations has the leaves)
    │  ├─ InvalidWork        a proof of work breaks a rule               (consensus.violations has the leaves)
    │  ├─ Malformed          bytes or text that do not parse
    │  └─ NotNow             a right request that the node's present state does not allow
    ├─ Unavailable           a system beside the node does not answer: retry with backoff
    │  ├─ EngineUnavailable
    │  ├─ BitcoinUnavailable
    │  └─ NodeUnavailable
    ├─ EngineBehind          the execution client does not know a block of the node: feed it
    ├─ ComponentError        a system beside the node answers with an error of its own
    ├─ WouldDoubleSign       the guard on disk forbids this signature
    ├─ StoreError            the database cannot be read or written
    ├─ Corrupt               stored data does not read back as written: stop
    └─ UserError             a mistake in a configuration or a command: printed without stack trace
       ├─ ConfigError
       ├─ DataFolderInUse
       ├─ WrongChain         the data folder or the execution client is of another chain
       └─ AddressInUse

`HANDLING`, below the classes, has one row per branch that is handled in its own way: what the actor runtime does,
which code the JSON-RPC answers, with which status a command exits.
"""

from collections.abc import Mapping
from enum import IntEnum
from types import MappingProxyType

import attrs


class AlysError(Exception):
    """The root of the tree: catching it catches all that alysd names and nothing else."""


class Refused(AlysError):
    """The sender's fault. The request is answered with this error and nothing else changes."""


class InvalidBlock(Refused):
    """A block breaks a rule; each rule has a subclass that carries what was expected and what was found."""


class InvalidWork(Refused):
    """A proof of work breaks a rule; each rule has a subclass that carries expected and found."""


class Malformed(Refused):
    """Bytes or text from outside that do not parse, or pass a bound before parsing."""


class NotNow(Refused):
    """A right request that the node's present state does not allow; the message says why."""


class Unavailable(AlysError):
    """A system beside the node did not answer, or not in time."""


@attrs.frozen(str=False)
class EngineUnavailable(Unavailable):
    """The execution client at `url` did not answer; `reason` in words, with the seconds waited if it was that."""

    url: str
    reason: str

    def __str__(self) -> str:
        return f"execution client at {self.url}: {self.reason}"


@attrs.frozen(str=False)
class BitcoinUnavailable(Unavailable):
    """The Bitcoin node at `url` did not answer; `reason` in words."""

    url: str
    reason: str

    def __str__(self) -> str:
        return f"Bitcoin node at {self.url}: {self.reason}"


@attrs.frozen(str=False)
class NodeUnavailable(Unavailable):
    """The Alys node at `url`, asked by one of the commands, did not answer; `reason` in words."""

    url: str
    reason: str

    def __str__(self) -> str:
        return f"Alys node at {self.url}: {self.reason}"


@attrs.frozen(str=False)
class EngineBehind(AlysError):
    """The execution client does not know the block `payload` (its hash): it lags behind, or has lost its data."""

    payload: bytes

    def __str__(self) -> str:
        return f"the execution client does not know block {self.payload.hex()}"


@attrs.frozen(str=False)
class ComponentError(AlysError):
    """A system beside the node answered `method` with its own error `code` and `message`."""

    component: str
    method: str
    code: int
    message: str

    def __str__(self) -> str:
        return f"{self.component} refused {self.method}: {self.message} (code {self.code})"


class WouldDoubleSign(AlysError):
    """The guard on disk forbids a signature: its slot is before the last signed, or signed with another root."""


class StoreError(AlysError):
    """The database cannot be read or written: a full disk, a lost file."""


class Corrupt(AlysError):
    """Stored data does not read back as it was written. The node stops."""


class UserError(AlysError):
    """A mistake in a configuration or a command. The message says what to do; it is shown without stack trace."""


class ConfigError(UserError):
    """A configuration value is wrong: the message names file, key, value and what is allowed."""


class DataFolderInUse(UserError):
    """Another process has the data folder open."""


class WrongChain(UserError):
    """A data folder or an execution client belongs to another chain than the one configured."""


class AddressInUse(UserError):
    """A port that the configuration names is taken."""


class RpcCode(IntEnum):
    """Error codes of the node's own JSON-RPC for what its methods answer (docs/json-rpc.md, "Errors")."""

    INTERNAL_ERROR = -32603
    BLOCK_NOT_FOUND = -32604
    REFUSED = -32605
    NOT_NOW = -32606


@attrs.frozen
class Handling:
    """How errors of a class are handled.

    `kind` is the value of the actor runtime's `FailureKind`. A `refusal` is raised to the sender of the message
    and does not crash the actor that raises it. After a `fatal` error nothing restarts: the operator has to act.
    `exit_status` is that of the command which the error ends.
    """

    kind: str
    rpc_code: RpcCode
    exit_status: int
    refusal: bool = False
    fatal: bool = False


HANDLING: Mapping[type[AlysError], Handling] = MappingProxyType({
    AlysError: Handling("panic", RpcCode.INTERNAL_ERROR, 1),
    Refused: Handling("panic", RpcCode.REFUSED, 1, refusal=True),
    InvalidBlock: Handling("consensus", RpcCode.REFUSED, 1, refusal=True),
    InvalidWork: Handling("consensus", RpcCode.REFUSED, 1, refusal=True),
    NotNow: Handling("panic", RpcCode.NOT_NOW, 1, refusal=True),
    Unavailable: Handling("dependency", RpcCode.INTERNAL_ERROR, 1),
    EngineBehind: Handling("dependency", RpcCode.INTERNAL_ERROR, 1),
    ComponentError: Handling("dependency", RpcCode.INTERNAL_ERROR, 1),
    StoreError: Handling("resource exhaustion", RpcCode.INTERNAL_ERROR, 1),
    Corrupt: Handling("resource exhaustion", RpcCode.INTERNAL_ERROR, 1, fatal=True),
    UserError: Handling("configuration", RpcCode.INTERNAL_ERROR, 2, fatal=True),
})  # fmt: skip
"""The handling of each branch of the tree. A class without a row is handled as its nearest base class."""


def handling(error: BaseException) -> Handling:
    """The handling of an error: the row of its nearest base class, and that of `AlysError` outside the tree."""
    return next((HANDLING[base] for base in type(error).__mro__ if base in HANDLING), HANDLING[AlysError])


def user_error_in(error: BaseException) -> UserError | None:
    """The first `UserError` among an error, its causes and the members of its groups, or None."""
    if isinstance(error, UserError):
        return error
    inner: tuple[BaseException, ...] = getattr(error, "exceptions", ())
    if error.__cause__ is not None:
        inner = (*inner, error.__cause__)
    return next(filter(None, map(user_error_in, inner)), None)
