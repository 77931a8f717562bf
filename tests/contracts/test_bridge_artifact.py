"""The committed bytecode is what the pinned compiler makes of Bridge.sol.

Every chain's genesis holds this bytecode: were it another, nobody could say what it does.
"""

import hashlib
import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
from eth_utils.crypto import keccak

ROOT = Path(__file__).parents[2]
ARTIFACT = ROOT / "alysd" / "integrations" / "execution" / "bridge.json"
REQUEST_PEG_OUT_TOPIC = keccak(text="RequestPegOut(address,bytes,uint256)")


@pytest.fixture(scope="module")
def artifact() -> dict[str, Any]:
    """The file from which the package reads the bytecode."""
    return json.loads(ARTIFACT.read_text())


def compile_again() -> dict[str, Any]:
    """The artifact as the pinned compiler makes it now; skips (or fails) where that is missing."""
    try:
        done = subprocess.run(
            [ROOT / "contracts" / "compile", "--print"], capture_output=True, text=True, timeout=120, check=True
        )
    except FileNotFoundError:
        reason = "node is not installed"
    except subprocess.CalledProcessError as failed:
        reason = failed.stderr.strip()
        if "is not installed" not in reason:
            raise
    else:
        return json.loads(done.stdout)
    if os.environ.get("ALYSD_REQUIRE_COMPONENTS") == "1":
        pytest.fail(reason)
    pytest.skip(reason)


def test_artifact_was_compiled_from_the_source_here(artifact: dict[str, Any]) -> None:
    """Someone changed Bridge.sol and did not run contracts/compile."""
    source = (ROOT / artifact["source"]).read_bytes()
    assert artifact["sourceSha256"] == hashlib.sha256(source).hexdigest()


def test_the_pinned_compiler_makes_the_same_artifact(artifact: dict[str, Any]) -> None:
    """The bytecode of the genesis can be reproduced by anyone, or it need not be believed."""
    assert compile_again() == artifact


def test_the_event_is_the_one_that_nodes_look_for(artifact: dict[str, Any]) -> None:
    """A node counts logs by this topic: with another, burned money is never paid out."""
    (event,) = (entry for entry in artifact["abi"] if entry["type"] == "event")
    assert event["name"] == "RequestPegOut"
    kinds = [(argument["type"], argument["indexed"]) for argument in event["inputs"]]
    assert kinds == [("address", True), ("bytes", False), ("uint256", False)]
    assert REQUEST_PEG_OUT_TOPIC.hex() in artifact["deployedBytecode"]


def test_the_creation_code_deploys_the_runtime_code(artifact: dict[str, Any]) -> None:
    """The genesis places the runtime code without running a constructor, so there must be nothing else to run."""
    assert artifact["bytecode"].endswith(artifact["deployedBytecode"].removeprefix("0x"))
