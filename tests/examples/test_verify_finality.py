"""The script that checks a proof of finality accepts what the node accepts, and refuses every falsified byte."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from alysd.api.alys_json import finality_json
from alysd.consensus.auxpow import aux_hash, commitment, merkle_root, target_of
from alysd.testing.blocks import CHAIN_ID, MINER, digest, mine, tree_branch
from alysd.types.auxpow import AuxPow, AuxPowHeader, MerkleBranch
from alysd.types.chain import FinalityProof
from alysd.types.hashes import AuxHash, BlockHash, displayed, sha256d
from alysd.types.tables import Proof
from alysd.types.units import Height
from alysd.wire.auxpow import decode_header
from examples.verify_finality import confirmations, verify

SCRIPT = Path(__file__).parents[2] / "examples/verify_finality.py"
BITS = 0x207FFFFF
HASHES = [BlockHash(digest("block", number)) for number in range(4)]
BLOCK = displayed(HASHES[1])
WORK = aux_hash(HASHES, MINER)


def header(previous: bytes, root: bytes, *, meets: bool = True) -> bytes:
    """A Bitcoin header with the easiest target, which its hash meets or misses."""
    for nonce in range(1000):
        start = (0x20000000).to_bytes(4, "little") + previous + root + (1_700_000_000).to_bytes(4, "little")
        raw = start + BITS.to_bytes(4, "little") + nonce.to_bytes(4, "little")
        if (int.from_bytes(sha256d(raw), "little") <= target_of(BITS)) == meets:
            return raw
    raise AssertionError("no nonce found")


def proof_of(*, meets: bool = True, **parts: Any) -> AuxPow:
    """A proof for `WORK` in a Bitcoin block with the easiest target; `parts` as in `testing.blocks.mine`."""
    made = mine(WORK, target_of(BITS), others=[digest("tx")], **parts)
    raw = header(digest("previous"), made.parent.merkle_root, meets=meets)
    return attrs.evolve(made, parent=decode_header(raw))


def answer_with(proof: AuxPow) -> dict[str, Any]:
    """The node's answer with this proof."""
    merged = AuxPowHeader(HASHES[0], HASHES[-1], BITS, CHAIN_ID, MINER, proof)
    included = Proof(BlockHash(digest("including")), Height(9), WORK)
    return finality_json(HASHES[1], FinalityProof(tuple(HASHES), merged, proof, included))


PROOF = proof_of()
ANSWER = answer_with(PROOF)
TAG = commitment(WORK)
TREE = tree_branch(3)
IN_TREE = commitment(AuxHash(merkle_root(WORK, TREE)), 8)


@pytest.mark.parametrize(
    "proof",
    [
        PROOF,
        proof_of(chain_branch=TREE),
        proof_of(script_sig=b"\x03abc", outputs=[b"\x51", b"\x6a\x02xy\x2c" + TAG]),
        proof_of(script_sig=b"\x03abc", outputs=[b"\x6a\x4c\x2c" + TAG + b"\x00"]),
        proof_of(script_sig=b"\x03abc", outputs=[b"\x6a\x04xy", b"\x6a\x51\x2c" + TAG, TAG]),
        proof_of(script_sig=b"\x03abc" + TAG, outputs=[TAG]),
        proof_of(outputs=[b"\x51"] * 300),
    ],
    ids=["alone", "in a tree", "OP_RETURN", "long push", "raw output", "the first place counts", "many outputs"],
)
def test_what_the_node_accepts_is_accepted(proof: AuxPow) -> None:
    """People would be told that no work stands behind a block, though it does."""
    parent, before = verify(answer_with(proof), BLOCK, CHAIN_ID)
    assert (parent, before) == (displayed(proof.parent.hash), displayed(digest("previous")))


@pytest.mark.parametrize(
    ("proof", "words"),
    [
        (proof_of(script_sig=b"nothing"), "exactly one commitment"),
        (proof_of(script_sig=TAG + TAG), "exactly one commitment"),
        (proof_of(script_sig=TAG[:-1]), "exactly one commitment"),
        (proof_of(script_sig=b"", outputs=[b"\x6a\x2c" + TAG, b"\x6a\x2c" + TAG]), "exactly one commitment"),
        (proof_of(script_sig=b"", outputs=[b"\x51" + TAG]), "exactly one commitment"),
        (proof_of(script_sig=commitment(AuxHash(digest("other")))), "is to other work"),
        (proof_of(script_sig=commitment(WORK, 2)), "place is wrong"),
        (proof_of(script_sig=IN_TREE, chain_branch=attrs.evolve(TREE, index=TREE.index ^ 1)), "place is wrong"),
        (proof_of(meets=False), "above the target"),
        (attrs.evolve(PROOF, coinbase_branch=MerkleBranch((digest("tx"),), 2)), "not in the Bitcoin block"),
        (attrs.evolve(PROOF, coinbase_branch=MerkleBranch((), 0)), "not in the Bitcoin block"),
    ],
    ids=lambda value: value if isinstance(value, str) else "proof",
)
def test_what_the_node_refuses_is_refused(proof: AuxPow, words: str) -> None:
    """A node that lies would have its block taken for a final one."""
    with pytest.raises(ValueError, match=words):
        verify(answer_with(proof), BLOCK, CHAIN_ID)


def test_a_proof_of_another_chain_is_refused() -> None:
    """In a tree the place follows from the chain's id; alone, the header's version must not be the id."""
    with pytest.raises(ValueError, match="place is wrong"):
        verify(answer_with(proof_of(chain_branch=TREE)), BLOCK, CHAIN_ID + 1)
    with pytest.raises(ValueError, match="version is the chain's id"):
        verify(ANSWER, BLOCK, 0x2000)


def test_the_target_is_the_one_that_the_person_gives_not_the_node() -> None:
    """A node could call any hash good enough."""
    verify(ANSWER, BLOCK, CHAIN_ID, BITS)
    with pytest.raises(ValueError, match="above the target"):
        verify(ANSWER, BLOCK, CHAIN_ID, 0x1D00FFFF)
    with pytest.raises(ValueError, match="is not valid"):
        verify(ANSWER, BLOCK, CHAIN_ID, 0)


def test_a_block_that_the_proof_does_not_cover_is_refused() -> None:
    with pytest.raises(ValueError, match="does not cover the block"):
        verify(ANSWER, displayed(digest("other")), CHAIN_ID)


def check(answer: dict[str, Any]) -> None:
    """Check an answer with a Bitcoin chain that has one header."""
    parent, _ = verify(answer, BLOCK, CHAIN_ID)
    if parent != ANSWER["parentblockhash"]:
        raise ValueError("a header that is not in the Bitcoin chain")


def changed(hexed: str, place: int, flip: int) -> str:
    """The hex text with one byte changed."""
    data = bytearray.fromhex(hexed)
    data[place % len(data)] ^= flip
    return data.hex()


@given(
    st.sampled_from(["auxpow", "feerecipient", *range(len(HASHES))]), st.integers(0, 10_000), st.integers(1, 255)
)
def test_any_changed_byte_is_refused(field: str | int, place: int, flip: int) -> None:
    """Some part of the proof would not be bound to the work."""
    answer = json.loads(json.dumps(ANSWER))
    if isinstance(field, int):
        answer["blocks"][field] = changed(answer["blocks"][field], place, flip)
    else:
        answer[field] = changed(answer[field].removeprefix("0x"), place, flip)
    with pytest.raises(ValueError, match=r"\w"):
        check(answer)


@given(st.integers(0, 2000), st.sampled_from([None, "00", "ff" * 40]))
def test_a_proof_of_another_length_is_refused(at: int, put: str | None) -> None:
    """A crash would look like a fault of the script, and bytes after the proof could be anything."""
    hexed = ANSWER["auxpow"]
    at = 2 * (at % (len(hexed) // 2))
    with pytest.raises(ValueError, match=r"\w"):
        check({**ANSWER, "auxpow": hexed[:at] + ("" if put is None else put + hexed[at:])})


def bitcoin_chain(folder: Path, above: int) -> tuple[Path, list[bytes]]:
    """A file with a chain of headers: the proof's one, one before it, and `above` after it."""
    first = header(bytes(32), digest("root"))
    proof = header(sha256d(first), PROOF.parent.merkle_root)
    chain = [first, proof]
    for number in range(above):
        chain.append(header(sha256d(chain[-1]), digest("root", number)))
    path = folder / "headers"
    path.write_text("\n".join(raw.hex() for raw in chain))
    return path, chain


def test_confirmations_are_counted_in_a_file_of_headers(tmp_path: Path) -> None:
    path, chain = bitcoin_chain(tmp_path, 2)
    shown = [displayed(sha256d(raw)) for raw in chain]
    assert [confirmations(str(path), block) for block in shown] == [4, 3, 2, 1]
    assert confirmations(str(path), "77" * 32) == confirmations(str(path), "00" * 32) == 0


def test_headers_that_are_no_chain_are_refused(tmp_path: Path) -> None:
    """Anyone can write a header into a file."""
    path, chain = bitcoin_chain(tmp_path, 1)
    for headers, words in (
        ([chain[0], chain[2]], "are not a chain"),
        ([chain[0][:-1]], "does not have 80 bytes"),
        ([*chain, header(sha256d(chain[-1]), digest("x"), meets=False)], "has no work"),
    ):
        path.write_text("\n".join(raw.hex() for raw in headers))
        with pytest.raises(ValueError, match=words):
            confirmations(str(path), "77" * 32)


def run(*arguments: object) -> tuple[int, str]:
    """The script's exit status and its output, without the project's packages."""
    command = [sys.executable, "-I", "-S", SCRIPT, *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    return done.returncode, done.stdout + done.stderr


def test_the_script_needs_nothing_but_python_and_two_files(tmp_path: Path) -> None:
    headers, chain = bitcoin_chain(tmp_path, 5)
    answer = tmp_path / "answer.json"
    proof = attrs.evolve(PROOF, parent=decode_header(chain[1]))
    answer.write_text(json.dumps({"id": 1, "error": None, "result": answer_with(proof)}))
    chain_id = ("--chain-id", CHAIN_ID)
    shown = displayed(proof.parent.hash)
    assert run(BLOCK, answer, headers, *chain_id) == (
        0,
        f"final: the work is the Bitcoin block {shown}, which has 6 confirmations\n",
    )
    assert run("77" * 32, answer, headers, *chain_id) == (1, "refused: the proof does not cover the block\n")
    headers.write_text(chain[0].hex())
    status, words = run(BLOCK, answer, headers, *chain_id)
    assert (status, "is not in the Bitcoin chain, and no target was given" in words) == (1, True)
    before = displayed(sha256d(chain[0]))
    assert run(BLOCK, answer, headers, *chain_id, "--bits", "207fffff") == (
        0,
        f"final: work for the target 207fffff, on the Bitcoin block {before}, 1 confirmations\n",
    )
    headers.write_text(header(bytes(32), digest("elsewhere")).hex())
    status, words = run(BLOCK, answer, headers, *chain_id, "--bits", "207fffff")
    assert (status, words.startswith(f"refused: neither {shown} nor its parent {before} is in")) == (1, True)
    answer.write_text('{"result": null}')
    assert run(BLOCK, answer, headers, *chain_id)[0] == 1


def test_the_example_in_the_documentation_is_a_real_proof() -> None:
    """A programmer who tries the own check with it would look for the mistake in the check."""
    text = (SCRIPT.parents[1] / "docs/json-rpc.md").read_text()
    answer = json.loads(text.partition("### `getfinalityproof")[2].partition("```json\n")[2].partition("```")[0])
    shown = answer["parentheader"]
    assert verify(answer, answer["hash"], CHAIN_ID) == (shown["hash"], shown["previousblockhash"])
    assert answer.keys() == ANSWER.keys()
