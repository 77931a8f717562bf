"""The texts of geth for the specification's errors (go-ethereum 1.17, core/vm/errors.go)."""

from alysd.embedded.engine.specification import EthereumException, exceptions
from alysd.embedded.engine.tracing.opcodes import OPCODES

REVERTED = "execution reverted"
COLLISION = "contract address collision"

_WORDS: dict[type[EthereumException], str] = {
    exceptions.Revert: REVERTED,
    exceptions.OutOfGasError: "out of gas",
    exceptions.StackUnderflowError: "stack underflow",
    exceptions.StackOverflowError: "stack limit reached 1024 (1023)",
    exceptions.InvalidJumpDestError: "invalid jump destination",
    exceptions.WriteInStaticContext: "write protection",
    exceptions.OutOfBoundsRead: "return data out of bounds",
    exceptions.InvalidContractPrefix: "invalid code: must not begin with 0xef",
    exceptions.AddressCollision: COLLISION,
    exceptions.StackDepthLimitError: "max call depth exceeded",
}


def words_of(error: EthereumException) -> str:
    """The text for an error that ended a message."""
    if isinstance(error, exceptions.InvalidOpcode):
        return f"invalid opcode: {OPCODES[error.code].name}"
    return _WORDS.get(type(error), type(error).__name__)
