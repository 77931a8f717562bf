"""The instructions of the Cancun fork as geth knows them: the name, the constant gas, and the use of the stack."""

import attrs


@attrs.frozen
class Opcode:
    """An instruction. `gas` is the constant part of its cost (go-ethereum 1.17, core/vm/jump_table.go)."""

    name: str
    gas: int
    pops: int
    pushes: int


_TABLE = """
00 STOP 0 0 0|01 ADD 3 2 1|02 MUL 5 2 1|03 SUB 3 2 1|04 DIV 5 2 1|05 SDIV 5 2 1|06 MOD 5 2 1|07 SMOD 5 2 1
08 ADDMOD 8 3 1|09 MULMOD 8 3 1|0a EXP 0 2 1|0b SIGNEXTEND 5 2 1|10 LT 3 2 1|11 GT 3 2 1|12 SLT 3 2 1
13 SGT 3 2 1|14 EQ 3 2 1|15 ISZERO 3 1 1|16 AND 3 2 1|17 OR 3 2 1|18 XOR 3 2 1|19 NOT 3 1 1|1a BYTE 3 2 1
1b SHL 3 2 1|1c SHR 3 2 1|1d SAR 3 2 1|20 KECCAK256 30 2 1|30 ADDRESS 2 0 1|31 BALANCE 100 1 1|32 ORIGIN 2 0 1
33 CALLER 2 0 1|34 CALLVALUE 2 0 1|35 CALLDATALOAD 3 1 1|36 CALLDATASIZE 2 0 1|37 CALLDATACOPY 3 3 0
38 CODESIZE 2 0 1|39 CODECOPY 3 3 0|3a GASPRICE 2 0 1|3b EXTCODESIZE 100 1 1|3c EXTCODECOPY 100 4 0
3d RETURNDATASIZE 2 0 1|3e RETURNDATACOPY 3 3 0|3f EXTCODEHASH 100 1 1|40 BLOCKHASH 20 1 1|41 COINBASE 2 0 1
42 TIMESTAMP 2 0 1|43 NUMBER 2 0 1|44 DIFFICULTY 2 0 1|45 GASLIMIT 2 0 1|46 CHAINID 2 0 1|47 SELFBALANCE 5 0 1
48 BASEFEE 2 0 1|49 BLOBHASH 3 1 1|4a BLOBBASEFEE 2 0 1|50 POP 2 1 0|51 MLOAD 3 1 1|52 MSTORE 3 2 0
53 MSTORE8 3 2 0|54 SLOAD 0 1 1|55 SSTORE 0 2 0|56 JUMP 8 1 0|57 JUMPI 10 2 0|58 PC 2 0 1|59 MSIZE 2 0 1
5a GAS 2 0 1|5b JUMPDEST 1 0 0|5c TLOAD 100 1 1|5d TSTORE 100 2 0|5e MCOPY 3 3 0|5f PUSH0 2 0 1
a0 LOG0 0 2 0|a1 LOG1 0 3 0|a2 LOG2 0 4 0|a3 LOG3 0 5 0|a4 LOG4 0 6 0|f0 CREATE 32000 3 1|f1 CALL 100 7 1
f2 CALLCODE 100 7 1|f3 RETURN 0 2 0|f4 DELEGATECALL 100 6 1|f5 CREATE2 32000 4 1|fa STATICCALL 100 6 1
fd REVERT 0 2 0|ff SELFDESTRUCT 5000 1 0
"""


def _read() -> list[Opcode]:
    found = [Opcode(f"opcode {op:#x} not defined", 0, 0, 0) for op in range(256)]
    for entry in _TABLE.replace("|", "\n").split("\n"):
        if entry:
            op, name, gas, pops, pushes = entry.split()
            found[int(op, 16)] = Opcode(name, int(gas), int(pops), int(pushes))
    for size in range(1, 33):
        found[0x5F + size] = Opcode(f"PUSH{size}", 3, 0, 1)
    for depth in range(1, 17):
        found[0x7F + depth] = Opcode(f"DUP{depth}", 3, depth, depth + 1)
        found[0x8F + depth] = Opcode(f"SWAP{depth}", 3, depth + 1, depth + 1)
    found[0xFE] = Opcode("INVALID", 0, 0, 0)
    return found


OPCODES = _read()
"""All 256 instructions, by number."""

SSTORE, CREATE, CALL, CALLCODE, DELEGATECALL, CREATE2, STATICCALL, SELFDESTRUCT = (
    *(0x55, 0xF0, 0xF1, 0xF2),
    *(0xF4, 0xF5, 0xFA, 0xFF),
)
