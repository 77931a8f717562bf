"""Random contract code, from a seed: pieces that store, log, call, create, revert and destroy, in any order.

Every piece leaves the stack as it found it, so that any sequence of them runs until one of them ends it.
"""

from random import Random

import attrs

PRECOMPILES = range(1, 11)
PAIRING = 8

_LEAST, _MOST = 1, 6
"""Pieces of a contract."""


def push(value: int | bytes) -> bytes:
    """PUSH0 to PUSH32 of a number, or of bytes as they are."""
    data = value if isinstance(value, bytes) else value.to_bytes((value.bit_length() + 7) // 8, "big")
    return bytes((0x5F + len(data),)) + data


@attrs.frozen
class RandomCode:
    """Makes code whose addresses come from `somewhere`: those that the accounts of the test have."""

    random: Random
    somewhere: list[bytes]

    def init_code(self) -> bytes:
        """Code of a creation: it does something itself, then returns a contract, or destroys itself, or fails."""
        before = b"".join(self._harmless() for _ in range(self.random.randrange(3)))
        ending = self.random.random()
        if ending < 0.08:
            return before + self._revert()
        if ending < 0.16:
            return (
                before + push(self.address()) + b"\xff"
            )  # destroyed in the transaction that creates it (EIP-6780)
        runtime = self.runtime()
        if ending < 0.2:
            runtime = b"\xef" + runtime  # not to be deployed (EIP-3541)
        # CODECOPY(0, offset, length), RETURN(0, length); what is copied follows these 15 bytes.
        length, offset = b"\x61" + len(runtime).to_bytes(2, "big"), b"\x61" + (len(before) + 15).to_bytes(2, "big")
        return before + length + offset + b"\x60\x00\x39" + length + b"\x60\x00\xf3" + runtime

    def runtime(self) -> bytes:
        """A contract's code."""
        return b"".join(self._piece() for _ in range(self.random.randrange(_LEAST, _MOST)))

    def address(self) -> bytes:
        """Of a sender, a contract (there may be none), a precompile, or nobody at all."""
        kind = self.random.randrange(5)
        if kind == 0:
            return self.random.choice(PRECOMPILES).to_bytes(20, "big")
        if kind == 1:
            return self.random.randbytes(20)
        return self.random.choice(self.somewhere)

    def _piece(self) -> bytes:
        kinds = (self._harmless, self._call, self._create, self._precompile, self._end)
        return self.random.choices(kinds, (12, 5, 2, 3, 1))[0]()

    def _harmless(self) -> bytes:
        kinds = (self._store, self._log, self._observe, self._transient, self._copy)
        return self.random.choices(kinds, (4, 3, 3, 1, 1))[0]()

    def _slot(self) -> bytes:
        """One of few, so that values are overwritten and cleared, and refunds arise."""
        return push(self.random.randrange(4))

    def _store(self) -> bytes:
        """SSTORE of a constant, of call data, of one more than what is there, or of the call's value."""
        value = self.random.choice((push(0), push(1), push(0) + b"\x35", push(0) + b"\x54\x60\x01\x01", b"\x34"))
        return value + self._slot() + b"\x55"

    def _log(self) -> bytes:
        """LOG0 to LOG4 over what is in memory."""
        topics = self.random.randrange(5)
        data = push(self.random.randrange(100)) + push(self.random.randrange(64))
        return b"".join(push(self.random.randbytes(32)) for _ in range(topics)) + data + bytes((0xA0 + topics,))

    def _observe(self) -> bytes:
        """Store what block, transaction and accounts look like from inside."""
        kind = self.random.randrange(4)
        if kind == 0:  # EXTCODESIZE, EXTCODEHASH, BALANCE
            code = push(self.address()) + bytes((self.random.choice(b"\x3b\x3f\x31"),))
        elif kind == 1:  # BLOCKHASH of a block up to three back, which may be this one or before the first
            code = push(self.random.randrange(4)) + b"\x43\x03\x40"
        elif kind == 2:  # BLOBHASH of none
            code = push(0) + b"\x49"
        else:  # ADDRESS … CHAINID, SELFBALANCE, BASEFEE, BLOBBASEFEE, PC, MSIZE, GAS
            simple = b"\x30\x32\x33\x34\x36\x38\x3a\x3d\x41\x42\x43\x44\x45\x46\x47\x48\x4a\x58\x59\x5a"
            code = bytes((self.random.choice(simple),))
        return code + self._slot() + b"\x55"

    def _transient(self) -> bytes:
        """TSTORE of call data, then TLOAD into storage (EIP-1153)."""
        return push(0) + b"\x35" + push(1) + b"\x5d" + push(1) + b"\x5c" + self._slot() + b"\x55"

    def _copy(self) -> bytes:
        """CALLDATACOPY and MCOPY (EIP-5656) between random places, which may overlap."""
        places = [push(self.random.randrange(96)) for _ in range(6)]
        return b"".join(places[:3]) + b"\x37" + b"".join(places[3:]) + b"\x5e"

    def _call(self) -> bytes:
        return self._call_to(self.address(), push(self.random.randrange(100)))

    def _precompile(self) -> bytes:
        """A precompile, mostly on sizes that are well formed, over memory that holds something.

        Less than a pair of points for the pairing check, which the embedded engine takes a third of a second for.
        """
        seed = (
            push(self.random.randbytes(32)) + push(0) + b"\x52" + push(32) + push(0) + b"\x20" + push(32) + b"\x52"
        )
        precompile = self.random.choice(PRECOMPILES)
        size = self.random.choice((0, 64, 96, 128) if precompile == PAIRING else (0, 64, 96, 128, 192, 213, 384))
        return seed + self._call_to(precompile.to_bytes(20, "big"), push(size))

    def _call_to(self, to: bytes, size: bytes) -> bytes:
        """CALL, CALLCODE, DELEGATECALL or STATICCALL; how it ended, and how much came back, go to storage."""
        opcode = self.random.choice(b"\xf1\xf1\xf2\xf4\xfa")
        value = push(self.random.randrange(3)) if opcode in b"\xf1\xf2" else b""
        gas = push(self.random.choice((0, 3_000, 30_000, 200_000)))
        call = push(32) + push(64) + size + push(0) + value + push(to) + gas + bytes((opcode,))
        return call + self._slot() + b"\x55" + b"\x3d" + self._slot() + b"\x55"

    def _create(self) -> bytes:
        """CREATE or CREATE2 of a contract that returns, destroys itself or fails; its address goes to storage."""
        beneficiary = push(self.random.choice(self.somewhere)) + b"\xff"
        init = self.random.choice((beneficiary, push(0) + push(0) + b"\xf3", push(1) + push(0) + b"\xfd", b"\xfe"))
        place = push(init.ljust(32, b"\x00")) + push(0) + b"\x52"
        value = push(self.random.randrange(2))
        if self.random.randrange(2):
            return place + push(len(init)) + push(0) + value + b"\xf0" + self._slot() + b"\x55"
        salt = push(self.random.randrange(3))  # repeated, so that some addresses are taken
        return place + salt + push(len(init)) + push(0) + value + b"\xf5" + self._slot() + b"\x55"

    def _end(self) -> bytes:
        """STOP, RETURN, REVERT, INVALID, or SELFDESTRUCT to somewhere, itself included."""
        itself, other = b"\x30\xff", push(self.random.choice(self.somewhere)) + b"\xff"
        return self.random.choice((b"\x00", push(64) + push(0) + b"\xf3", self._revert(), b"\xfe", itself, other))

    def _revert(self) -> bytes:
        return push(self.random.randrange(64)) + push(0) + b"\xfd"
