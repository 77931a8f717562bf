"""A change of the federation over the control socket: a refusal names the rule that its sender has to heed."""

import json
from pathlib import Path
from typing import Any

import pytest
import trio
import trio.testing

from alysd.api.control import CHILD, ControlSocket
from alysd.api.system_handle import SystemHandle
from alysd.consensus.update_violations import TooSoon
from alysd.errors import NotNow, Refused
from alysd.messages.configuration import Configuration
from alysd.messages.federation_update import FederationUpdates, SubmitFederationUpdate
from alysd.nurseries import (
    Actor,
    Address,
    HealthMonitor,
    Immediate,
    OneForOne,
    actor,
    handles,
    open_system,
    supervisor,
    task,
)
from alysd.testing.chain import ChainHand, chain_spec
from alysd.testing.updates import governance_keys, members_update
from alysd.testing.virtual_time import VirtualClock
from alysd.timing import Timing
from alysd.types.federation_update import FederationUpdate
from alysd.wire.federation_update import encode_update
from alysd.workflows.clock_watch import ClockWatch

GOVERNED = ChainHand.of(chain_spec(governance_keys=governance_keys(1), governance_threshold=1))
UPDATE = members_update(GOVERNED.context, 1, 500, (0,))
LATE = members_update(GOVERNED.context, 1, 5, (0,))


class KeepingActor(Actor[FederationUpdates], partial=True):
    """Keeps every update that is not late."""

    def __init__(self, kept: list[FederationUpdate]) -> None:
        self._kept = kept

    @handles(SubmitFederationUpdate)
    async def submit(self, message: SubmitFederationUpdate) -> bool:
        """Keep the update."""
        if message.update == LATE:
            raise TooSoon(101, 5)
        self._kept.append(message.update)
        return True


async def no_status() -> dict[str, Any]:
    raise NotNow("nobody asks for it")


async def answer(folder: Path, update: str, kept: list[FederationUpdate], *, governed: bool = True) -> Any:
    watch, configuration = ClockWatch(VirtualClock(), 2), Address[Configuration]("configuration")
    updates = Address[FederationUpdates]("federation updates")
    path, handle = folder / "socket", SystemHandle(HealthMonitor())
    known = updates if governed else None
    socket = ControlSocket(path, handle, watch, configuration, Timing(2), known, status=no_status)
    root = supervisor("Root", OneForOne(), [
        actor(updates, lambda: KeepingActor(kept), restart=Immediate()),
        task(CHILD, socket.run),
    ])  # fmt: skip
    async with open_system(root, refusals=(Refused,)) as handle.system:
        await handle.system.started()
        await trio.testing.wait_all_tasks_blocked()  # the socket is made without any wait
        async with await trio.open_unix_socket(str(path)) as stream:
            await stream.send_all(json.dumps({"command": "submit_update", "update": update}).encode() + b"\n")
            return json.loads(await stream.receive_some(65536))


async def test_a_signed_change_reaches_its_actor(tmp_path: Path) -> None:
    kept: list[FederationUpdate] = []
    assert await answer(tmp_path, encode_update(UPDATE).hex(), kept) == {"new": True}
    assert kept == [UPDATE]


@pytest.mark.parametrize(("update", "rule"), [("00", "Malformed"), (encode_update(LATE).hex(), "TooSoon")])
async def test_a_refused_change_names_its_rule(tmp_path: Path, update: str, rule: str) -> None:
    found = await answer(tmp_path, update, [])
    assert (found["error"], found["rule"]) == ("update_refused", rule)


async def test_text_that_is_no_hex_is_malformed(tmp_path: Path) -> None:
    assert (await answer(tmp_path, "xy", []))["error"] == "malformed"


async def test_a_chain_without_governance_keys_refuses_every_change(tmp_path: Path) -> None:
    found = await answer(tmp_path, encode_update(UPDATE).hex(), [], governed=False)
    assert found["rule"] == "NoGovernance"
