"""The access list with which a message pays the least for its storage (eth_createAccessList, EIP-2930)."""

import attrs

from alysd.embedded.engine.calls import CallRefused, CallSource, CallTimeout, Execution
from alysd.embedded.engine.message_checks import MessageRefused
from alysd.embedded.engine.overrides import Overrides
from alysd.embedded.engine.specification import PRECOMPILED, Address, Uint, compute_contract_address
from alysd.embedded.engine.time_budget import OutOfTime, TimeBudget
from alysd.embedded.engine.tracing.access_list_tracer import AccessListTracer
from alysd.embedded.engine.transaction import AccessList
from alysd.embedded.engine.values import CallRequest
from alysd.errors import Refused
from alysd.types.execution import ExecutionHeader


class NoAccessList(Refused):
    """No access list fits: with each list that was tried, the message uses other accounts or slots."""

    def __str__(self) -> str:
        return "the message has no access list: with each list found, it uses other accounts or slots"


@attrs.frozen
class FoundAccessList:
    """The list, the gas that the message uses with it, and geth's words if the message fails."""

    entries: AccessList
    gas_used: int
    error: str | None


def find_access_list(
    source: CallSource,
    header: ExecutionHeader,
    request: CallRequest,
    overrides: Overrides,
    gas: int,
    seconds: float,
) -> FoundAccessList:
    """Execute the message after a block until its access list no longer changes, as geth does.

    Some messages use other slots with each list, for example if they store the gas that is left. geth executes
    those without end; here they are refused as soon as a list is found again.

    Raises `CallRefused`, `NoAccessList`, `CallTimeout` and `StatePruned`.
    """
    budget = TimeBudget(seconds)
    try:
        with source.reader.state_of(header):
            return _search(source, header, request, overrides, gas, budget)
    except OutOfTime as error:
        raise CallTimeout(seconds) from error
    except MessageRefused as error:
        raise CallRefused(f"failed to apply transaction: {error}") from error


def _search(
    source: CallSource,
    header: ExecutionHeader,
    request: CallRequest,
    overrides: Overrides,
    gas: int,
    budget: TimeBudget,
) -> FoundAccessList:
    known = {*PRECOMPILED, request.sender, _recipient(source, header, request, overrides)}
    entries = AccessListTracer(request.access_list, known).list()
    tried: set[AccessList] = set()
    while entries not in tried:
        tried.add(entries)
        budget.check()
        tracer = AccessListTracer(entries, known)
        listed = attrs.evolve(request, access_list=entries)
        used = Execution(source, header, overrides, listed, budget).trace(gas, tracer)
        found = tracer.list()
        if found == entries:
            return FoundAccessList(entries, used, tracer.error)
        entries = found
    raise NoAccessList


def _recipient(source: CallSource, header: ExecutionHeader, request: CallRequest, overrides: Overrides) -> bytes:
    if request.to is not None:
        return request.to
    override = overrides.accounts.get(request.sender)
    nonce = None if override is None else override.nonce
    if nonce is None:
        nonce = source.reader.account(header, request.sender).nonce
    return compute_contract_address(Address(request.sender), Uint(nonce))
