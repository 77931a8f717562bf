"""The rules that say whether a command is possible now and has a single outcome. Other commands are skipped.

Several outcomes are possible if a child crashes while its group starts, because any number of the others may have
started. Several are also possible if senders wait for room in a mailbox while other children crash. A child with a
background crashes only when its background has ended, and the crash of a child in a process becomes known later: a
crash at its start comes after the start of others.
"""

from alysd.nurseries import OnCrash, Overflow, State
from alysd.testing.model.commands import (
    Action,
    Command,
    CrashChild,
    CrashSupervisor,
    EndBackground,
    KillProcess,
    OperateAtOnce,
    RemoveChild,
    RestartChild,
    ResumeChild,
    SendMessage,
    SpawnChild,
    StopChild,
    SuspendChild,
)
from alysd.testing.model.tree import TreeModel


def is_allowed(model: TreeModel, command: Command, name: str) -> bool:
    """Return whether the command for the child `name` is possible now and has only one possible outcome.

    An `OperateAtOnce` has as many outcomes as its operations have orders.
    """
    crashes = isinstance(command, CrashChild | CrashSupervisor | EndBackground | KillProcess) or (
        isinstance(command, SendMessage) and command.action is Action.CRASH
    )
    if crashes and model.process_crash_waits:
        return False  # it may restart the supervisor, and the crash of the process comes after the start of others
    match command:
        case SendMessage():
            return _is_deterministic(model, command, name)
        case CrashChild():
            return model.child(name).up
        case KillProcess():
            return model.child(name).up and model.child(name).plan.process
        case EndBackground():
            return model.child(name).backgrounds > 0
        case SuspendChild():
            return model.child(name).state is State.RUNNING
        case ResumeChild():
            return model.child(name).state is State.SUSPENDED
        case CrashSupervisor() | SpawnChild():
            return model.supervisor_up
        case RestartChild():
            return model.supervisor_up and not model.child(name).removed
        case StopChild() | RemoveChild():
            return not model.child(name).removed
        case OperateAtOnce():
            return model.supervisor_up and not model.crash_waits and not model.line_stands
        case _:
            return True


def _is_deterministic(model: TreeModel, command: SendMessage, name: str) -> bool:
    child = model.child(name)
    if child.plan.process and command.action is Action.SET_TIMER:
        return False  # the parent does not count what an actor in a process tells itself
    if child.box.closed:
        return True
    to_line = child.plan.overflow is Overflow.BLOCK and not child.box.has_room
    if command.action is Action.CRASH:
        if child.plan.background and (child.state is not State.RUNNING or child.plan.on_crash is OnCrash.RETRY):
            return False
        if child.plan.process and child.plan.on_crash is OnCrash.RETRY:
            return False  # the crash at the next start
        runs = model.one_for_one or child.state is State.RUNNING
        return runs and not to_line and not model.line_stands
    return not (to_line and model.crash_waits)
