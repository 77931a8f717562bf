"""Every error that alysd names, as one tree. What to do about an error is decided by its branch.

    AlysError
    ├─ Refused               somebody else's fault: penalize or answer, go on
    │  ├─ InvalidBlock       a block breaks a rule of docs/protocol.md   (consensus.violations has the leaves)
    │  ├─ InvalidWork        a proof of work breaks a rule               (consensus.violations has the leaves)
    │  ├─ Malformed          bytes or text that do not parse
    │  └─ NotNow             a request that is right, but not in the node's present state
    ├─ Unavailable           a system beside the node does not answer: retry, back off, say so
    │  ├─ EngineUnavailable
    │  ├─ BitcoinUnavailable
    │  └─ NodeUnavailable
    ├─ EngineBehind          the execution client does not know a block that we have: feed it
    ├─ ComponentError        a system beside the node answers with an error of its own
    ├─ WouldDoubleSign       the guard on disk forbids this signature
    ├─ StoreError            the database cannot be read or written
    ├─ Corrupt               what we stored does not read back: stop, do not guess
    └─ UserError             what a person configured or typed: printed without a stack trace, exit 2
       ├─ ConfigError
       ├─ DataFolderInUse
       ├─ WrongChain         the data folder or the execution client is of another chain
       └─ AddressInUse

`Refused` is also a refusal for the actor runtime: it goes to whoever asked, and the actor lives on.
"""

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
    """A request that is right in itself but cannot be served in the node's present state, and why."""


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
    """What the node stored does not read back as it was: nobody should guess, the node stops."""


class UserError(AlysError):
    """What a person configured or typed cannot work; the message says what to do. Shown without a stack trace."""


class ConfigError(UserError):
    """A configuration value is wrong: the message names file, key, value and what is allowed."""


class DataFolderInUse(UserError):
    """Another process has the data folder open."""


class WrongChain(UserError):
    """A data folder or an execution client belongs to another chain than the one configured."""


class AddressInUse(UserError):
    """A port that the configuration names is taken."""


def user_error_in(error: BaseException) -> UserError | None:
    """The first `UserError` among an error, its causes and the members of its groups, or None."""
    if isinstance(error, UserError):
        return error
    inner: tuple[BaseException, ...] = getattr(error, "exceptions", ())
    if error.__cause__ is not None:
        inner = (*inner, error.__cause__)
    return next(filter(None, map(user_error_in, inner)), None)
