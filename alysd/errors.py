"""All error classes of alysd, in one tree. The branch of an error decides how it is handled.

AlysError
├─ Refused               the request is wrong or not possible now: answer with it, change nothing
│  ├─ InvalidBlock       a block breaks a rule of docs/protocol.md   (subclasses in consensus.violations,
│  │                                                            payload_violations, peg.violations)
│  ├─ InvalidApproval    an authority's approval breaks a rule       (subclasses in consensus.violations)
│  ├─ InvalidWork        a proof of work breaks a rule               (subclasses in consensus.work_violations)
│  ├─ Malformed          bytes or text cannot be parsed
│  ├─ NotSeenOnBitcoin   a block says something of Bitcoin that this node's Bitcoin node does not see
│  ├─ PaymentDeclined    this node judges a proposed payment wrong
│  ├─ NoPeg              a request for the peg, on a chain that has none
│  ├─ NoProof            a block has no proof of work and will have none
│  ├─ NotBroadcast       the Bitcoin node refuses a transaction
│  ├─ NotFollowed        a signer does not follow the blocks that a node sends
│  ├─ ConfigRefused      a changed configuration is invalid, or the running node cannot take it
│  └─ NotNow             a valid request that the node cannot serve in its current state
│     ├─ NotFinal        a block has no proof of work yet
│     └─ NoQuorum        too few authorities have approved this node's block
├─ Unavailable           an external system does not answer: retry with backoff
│  ├─ EngineUnavailable
│  ├─ BitcoinUnavailable
│  ├─ NodeUnavailable
│  ├─ SignerUnavailable
│  ├─ GovernanceUnavailable
│  └─ PeerUnavailable
│     ├─ PeerBusy        the peer or this node has no room for a request now: ask another peer
│     └─ PeerWithoutProtocol  the peer runs another program, or has another chain
├─ EngineBehind          the execution client does not know a block of the node: send it the missing blocks
├─ ComponentError        an external system answers with an error
├─ ApprovalForbidden     the record of this authority's approvals forbids another one
│  ├─ WouldDoubleSign    the slot is too old, or another block was approved in it
│  ├─ WouldBreakLock     the block's parent has an earlier slot than the lock
│  ├─ KeyUsedElsewhere   another node signs with this authority's key, or its record is an old copy
│  └─ NotRecovering      the record is not lost, so the authority must not state that it is
├─ PaymentForbidden      the signer of the federation's payments must not sign one
├─ StoreError            the database cannot be read or written
├─ Corrupt               stored data is damaged: stop the node
└─ UserError             a mistake in a configuration or a command: print it without stack trace
   ├─ ConfigError
   ├─ DevClockForbidden  a chain that other nodes may have is started with --dev-clock
   ├─ DataMismatch       database and signing guard do not belong together
   ├─ DataFolderInUse
   ├─ PaymentRecordMissing
   ├─ WrongChain         the data folder or the execution client belongs to another chain
   └─ AddressInUse

`HANDLING`, below the classes, defines for each branch the reaction of the actor runtime, the error code of the
JSON-RPC, and the exit status of a command.
"""

from collections.abc import Iterable, Mapping
from enum import IntEnum
from types import MappingProxyType

import attrs

RESTORE_DATABASE = (
    "stop the node and restore the folder `chain` of its data folder from a backup, but not `signing-guard`; "
    'docs/operating.md, "Backups", says how'
)
"""The advice in errors about a damaged database of the node."""

REBUILD_EXECUTION = (
    "stop the node and remove the folder `execution` of its data folder; the node builds it again from its blocks"
)
"""The advice in errors about a damaged database of the embedded engine."""


REBUILD_BITCOIN = (
    "stop the node and remove the folder `bitcoin` of its data folder; the node reads the Bitcoin chain again"
)
"""The advice in errors about a damaged database of the node's findings on Bitcoin."""


def without_credentials(url: str) -> str:
    """A URL without its user and password, for errors, logs and terminals.

    Everything between the scheme and the last `@` is left out, so that nothing remains of a password with a `/` or
    a `#`, although a URL must not contain such a password.
    """
    head, _, rest = url.rpartition("@")
    scheme, separator, _ = head.partition("://")
    return f"{scheme}{separator}{rest}" if separator else rest


class AlysError(Exception):
    """The base class of all errors of alysd."""


class Refused(AlysError):
    """A request is refused: it is answered with this error, and no state changes."""


class InvalidBlock(Refused):
    """A block breaks a rule. Each rule has a subclass with the expected value and the value found."""


class InvalidApproval(Refused):
    """The approval of one authority, as nodes send it to each other, breaks a rule."""


class InvalidWork(Refused):
    """A proof of work breaks a rule. Each rule has a subclass with the expected value and the value found."""


class Malformed(Refused):
    """Bytes or text from outside cannot be parsed, or are larger than allowed."""


@attrs.frozen(str=False)
class NotSeenOnBitcoin(Refused):
    """A block states something of Bitcoin that this node's Bitcoin node does not see; `reason` says what."""

    reason: str

    def __str__(self) -> str:
        return f"this node's Bitcoin node shows something else: {self.reason}"


@attrs.frozen(str=False)
class PaymentDeclined(Refused):
    """A proposed payment obeys the chain's rules, but this node judges it wrong, for example its fee rate.

    `reason` says what. The authority does not approve the block (docs/protocol.md, "Computed and judged").
    """

    reason: str

    def __str__(self) -> str:
        return f"this node declines the proposed payment: {self.reason}"


class NoPeg(Refused):
    """A request needs the peg, but this chain has none: a deposit would be neither credited nor paid out."""


class NoProof(Refused):
    """No proof of work covers a block, and none ever will. The message says why."""


class NotBroadcast(Refused):
    """The Bitcoin node refuses a transaction. The message has its reason."""


class NotFollowed(Refused):
    """A signer of payments does not accept a block, or the proof that blocks are final. The message says why."""


class ConfigRefused(Refused):
    """A reload of the configuration changes nothing: it is invalid, or was rolled back. The message says why."""


class NotNow(Refused):
    """A valid request cannot be served in the node's current state. The message says why."""


class NotFinal(NotNow):
    """No proof of work covers a block yet. The message says why."""


@attrs.frozen(str=False)
class NoQuorum(NotNow):
    """A block of `slot` has `found` approvals, fewer than `quorum`.

    In a hand-over to another federation, they are those of its `of` members: "new" or "former".
    `silent` has the authorities that have not approved: the index, and the slot of the last message from it, None
    if this node has heard nothing from it since its start.
    """

    slot: int
    quorum: int
    found: int
    silent: tuple[tuple[int, int | None], ...]
    of: str = ""

    def __str__(self) -> str:
        return (
            f"{approvals_needed(self.found, self.quorum, self.of)}; no approval from {named_silent(self.silent)}"
        )


def approvals_needed(found: int, quorum: int, of: str) -> str:
    """The text about missing approvals; `of` is "new" or "former" members in a hand-over, else empty."""
    return f"{found} of the {quorum} approvals{f' of {of} members' if of else ''} needed"


def named_silent(silent: Iterable[tuple[int, int | None]]) -> str:
    """Name silent authorities as text: the index, and the slot in which each was last heard.

    If there are none, only the approval of this node can be missing: this node is never among the silent ones.
    """
    named = ", ".join(
        f"{index} (last heard in slot {heard})" if heard else f"{index} (not heard since this node's start)"
        for index, heard in silent
    )
    return f"authority {named}" if named else "this node itself"


class Unavailable(AlysError):
    """An external system did not answer, or not in time."""


@attrs.frozen(str=False)
class EngineUnavailable(Unavailable):
    """The execution client at `url` did not answer. `reason` is text; for a timeout it has the seconds."""

    url: str = attrs.field(converter=without_credentials)
    reason: str

    def __str__(self) -> str:
        return f"execution client at {self.url}: {self.reason}"


@attrs.frozen(str=False)
class BitcoinUnavailable(Unavailable):
    """The Bitcoin node at `url` did not answer. `reason` is text."""

    url: str = attrs.field(converter=without_credentials)
    reason: str

    def __str__(self) -> str:
        return f"Bitcoin node at {self.url}: {self.reason}"


@attrs.frozen(str=False)
class NodeUnavailable(Unavailable):
    """The Alys node at `url`, called by a command, did not answer. `reason` is text."""

    url: str = attrs.field(converter=without_credentials)
    reason: str

    def __str__(self) -> str:
        return f"Alys node at {self.url}: {self.reason}"


@attrs.frozen(str=False)
class SignerUnavailable(Unavailable):
    """The signer of the federation's payments at `address` did not answer. `reason` is text."""

    address: str
    reason: str

    def __str__(self) -> str:
        return f"signer at {self.address}: {self.reason}"


@attrs.frozen(str=False)
class GovernanceUnavailable(Unavailable):
    """The server of the governance at `address` cannot be used now. `reason` is text."""

    address: str
    reason: str

    def __str__(self) -> str:
        return f"governance at {self.address}: {self.reason}"


@attrs.frozen(str=False)
class PeerUnavailable(Unavailable):
    """The peer with the id `peer` did not answer a request. `reason` is text."""

    peer: str
    reason: str

    def __str__(self) -> str:
        return f"peer {self.peer}: {self.reason}"


@attrs.frozen(str=False)
class PeerBusy(PeerUnavailable):
    """A request cannot be served now, by the peer or by this node's peer host. The peer is not to blame."""


@attrs.frozen(str=False)
class PeerWithoutProtocol(PeerUnavailable):
    """The peer has refused the protocol of a request: it runs another program, or has another chain."""


@attrs.frozen(str=False)
class EngineBehind(AlysError):
    """The execution client does not know the block with hash `payload`: it lags behind or has lost data."""

    payload: bytes

    def __str__(self) -> str:
        return f"the execution client does not know block {self.payload.hex()}"


@attrs.frozen(str=False)
class ComponentError(AlysError):
    """An external system answered a call of `method` with an error, which has this `code` and `message`."""

    component: str
    method: str
    code: int
    message: str

    def __str__(self) -> str:
        return f"{self.component} refused {self.method}: {self.message} (code {self.code})"


class ApprovalForbidden(AlysError):
    """The record of this authority's last approval forbids another approval. Nothing was signed."""


class WouldDoubleSign(ApprovalForbidden):
    """The slot is before that of the last approval, or another block was approved in this slot."""


class WouldBreakLock(ApprovalForbidden):
    """The parent of the block has an earlier slot than the lock."""


class KeyUsedElsewhere(ApprovalForbidden):
    """An approval of this authority was seen that its record does not know: its key is used twice."""


class NotRecovering(ApprovalForbidden):
    """An authority must not state that it has lost the record of its approvals, because it has the record."""


class PaymentForbidden(AlysError):
    """The signer's record or limit forbids the signature of a payment. Nothing was signed."""


class StoreError(AlysError):
    """The database cannot be read or written, for example because the disk is full."""


class Corrupt(AlysError):
    """Stored data is damaged: it has changed on disk. The node stops, and a person has to restore it."""


class UserError(AlysError):
    """A mistake in a configuration or a command. The message says what to do; no stack trace is printed."""


class ConfigError(UserError):
    """A configuration value is invalid. The message names the file, the key, the value and what is allowed."""


@attrs.frozen(str=False)
class DevClockForbidden(UserError):
    """`--dev-clock` is asked for a chain that other nodes may have. `reasons` says what shows that."""

    reasons: tuple[str, ...]

    def __str__(self) -> str:
        return (
            f"--dev-clock makes a chain that no other node can have, but {', and '.join(self.reasons)}: "
            "use it with --dev, or leave it out"
        )


class DataMismatch(UserError):
    """The database and the signing guard of a data folder do not belong together, or one is missing."""


class DataFolderInUse(UserError):
    """Another process has the data folder open."""


class PaymentRecordMissing(UserError):
    """The record of the payments that a Bitcoin key has signed is missing: the key must not sign without it."""


class WrongChain(UserError):
    """A data folder or an execution client does not belong to the configured chain."""


class AddressInUse(UserError):
    """A configured address cannot be opened: another process uses its port, or the operating system refuses it."""


class RpcCode(IntEnum):
    """Error codes of the methods of the node's JSON-RPC (docs/json-rpc.md, "Errors")."""

    INTERNAL_ERROR = -32603
    BLOCK_NOT_FOUND = -32604
    REFUSED = -32605
    NOT_NOW = -32606


@attrs.frozen
class Handling:
    """The handling of errors of one class.

    `kind` is a value of the actor runtime's `FailureKind`. A `refusal` is raised to the sender of the message
    and does not crash the actor that raises it. A `fatal` error stops the node without restarts, because the
    operator has to act. `exit_status` is the exit status of a command that the error ends.
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
    PeerUnavailable: Handling("dependency", RpcCode.INTERNAL_ERROR, 1, refusal=True),
    EngineBehind: Handling("dependency", RpcCode.INTERNAL_ERROR, 1),
    ComponentError: Handling("dependency", RpcCode.INTERNAL_ERROR, 1),
    StoreError: Handling("resource exhaustion", RpcCode.INTERNAL_ERROR, 1),
    Corrupt: Handling("resource exhaustion", RpcCode.INTERNAL_ERROR, 2, fatal=True),
    UserError: Handling("configuration", RpcCode.INTERNAL_ERROR, 2, fatal=True),
})  # fmt: skip
"""The handling of each branch of the tree. A class without a row is handled like its nearest base class."""


def handling(error: BaseException) -> Handling:
    """Return the handling of an error. Errors that are not in the tree are handled like `AlysError`."""
    return next((HANDLING[base] for base in type(error).__mro__ if base in HANDLING), HANDLING[AlysError])


def user_error_in(error: BaseException) -> UserError | None:
    """Return the first `UserError` among an error, its causes and the members of its groups, or None."""
    if isinstance(error, UserError):
        return error
    inner: tuple[BaseException, ...] = getattr(error, "exceptions", ())
    if error.__cause__ is not None:
        inner = (*inner, error.__cause__)
    return next(filter(None, map(user_error_in, inner)), None)
