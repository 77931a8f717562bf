"""The rights that a process gives up, besides its limits, by two mechanisms of Linux that need no privileges.

*A system call filter* (seccomp(2)) keeps the process, and all processes that it starts, in one process group. They
end with it, because the parent kills the group.

*A Landlock domain* (landlock(7), since Linux 5.13) has no rules for files, but separates the process from all
others of the same user: it can neither trace them nor read their memory and environment, and from Linux 6.12 on it
cannot send them signals. Landlock also refuses to rename a file into another directory.

Neither restricts which files the process may read and write.
"""

import ctypes
import errno
import os
import platform
import struct

PR_SET_SECCOMP, SECCOMP_MODE_FILTER = 22, 2
_ALLOW, _REFUSE = 0x7FFF0000, 0x00050000 | errno.EPERM
_LOAD, _EQUAL, _AT_LEAST, _RETURN = 0x20, 0x15, 0x35, 0x06
_NUMBER_AT, _ARCHITECTURE_AT = 0, 4
_FOREIGN = 0x40000000
"""The first number of the x32 calls on x86-64, which have a table of their own."""

_CALLS = {"x86_64": (0xC000003E, 112, 109), "aarch64": (0xC00000B7, 157, 154)}
"""The AUDIT_ARCH constant of a machine, and its numbers of setsid and setpgid."""

_INSTRUCTION = struct.Struct("HBBI")

LANDLOCK_CREATE_RULESET, LANDLOCK_RESTRICT_SELF = 444, 446
_VERSION = 1
_MAKE_BLOCK = 1 << 11
"""The right to make block devices, which an unprivileged process lacks. A domain has to restrict some right."""
_SCOPE_SIGNAL = 1 << 1
SIGNALS_SINCE = 6


def enter(libc: ctypes.CDLL) -> list[tuple[str, str]]:
    """Install the system call filter and the Landlock domain; neither can be undone.

    Returns the mechanisms that the kernel lacks, each with the actions that it would prevent.
    """
    missing: list[tuple[str, str]] = []
    if not stay_in_group(libc):
        missing.append(("system call filter (seccomp)", "starting processes that outlive it"))
    if not leave_others_alone(libc):
        missing.append(("Landlock", "reading the memory of other processes of its user"))
    return missing


def stay_in_group(libc: ctypes.CDLL) -> bool:
    """Refuse setsid and setpgid to this process and all that it starts. Returns false if that is not possible."""
    if platform.machine() not in _CALLS:
        return False
    architecture, *calls = _CALLS[platform.machine()]
    refuse = 3 + len(calls)  # the steps from the first test to the last instruction
    program = [
        (_LOAD, 0, 0, _ARCHITECTURE_AT),
        (_EQUAL, 0, refuse, architecture),
        (_LOAD, 0, 0, _NUMBER_AT),
        (_AT_LEAST, refuse - 2, 0, _FOREIGN),
        *((_EQUAL, len(calls) - step, 0, call) for step, call in enumerate(calls)),
        (_RETURN, 0, 0, _ALLOW),
        (_RETURN, 0, 0, _REFUSE),
    ]
    code = ctypes.create_string_buffer(b"".join(_INSTRUCTION.pack(*each) for each in program))
    head = struct.pack("HP", len(program), ctypes.addressof(code))
    return not libc.prctl(PR_SET_SECCOMP, ctypes.c_ulong(SECCOMP_MODE_FILTER), head, *(ctypes.c_ulong(0),) * 2)


def leave_others_alone(libc: ctypes.CDLL) -> bool:
    """Enter a Landlock domain. Returns false if that is not possible."""
    version = libc.syscall(LANDLOCK_CREATE_RULESET, None, ctypes.c_size_t(0), _VERSION)
    if version < 1:
        return False
    scoped = _SCOPE_SIGNAL if version >= SIGNALS_SINCE else 0
    rules = struct.pack("QQQ", _MAKE_BLOCK, 0, scoped) if scoped else struct.pack("Q", _MAKE_BLOCK)
    ruleset = libc.syscall(LANDLOCK_CREATE_RULESET, rules, ctypes.c_size_t(len(rules)), 0)
    if ruleset < 0:
        return False
    try:
        return not libc.syscall(LANDLOCK_RESTRICT_SELF, ruleset, 0)
    finally:
        os.close(ruleset)
