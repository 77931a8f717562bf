"""The hash of typed data is that of eth_account, and everything else is refused."""

import json
from pathlib import Path
from random import Random
from typing import Any

import pytest
from eth_account import Account
from eth_account.messages import encode_typed_data

from alysd.embedded.rpc.typed_data import typed_data_hash
from alysd.errors import Malformed
from alysd.types.hashes import EvmAddress
from tests.embedded.rpc.chain import NOBODY, RICH, RpcFailure, eth_chain
from tests.thorough import cases

PERSON = [{"name": "name", "type": "string"}, {"name": "wallet", "type": "address"}]
MAIL: dict[str, Any] = {
    "types": {
        "EIP712Domain": [
            {"name": "name", "type": "string"},
            {"name": "version", "type": "string"},
            {"name": "chainId", "type": "uint256"},
            {"name": "verifyingContract", "type": "address"},
        ],
        "Person": PERSON,
        "Mail": [
            {"name": "from", "type": "Person"},
            {"name": "to", "type": "Person"},
            {"name": "contents", "type": "string"},
        ],
    },
    "primaryType": "Mail",
    "domain": {
        "name": "Ether Mail",
        "version": "1",
        "chainId": 1,
        "verifyingContract": "0xCcCCccccCCCCcCCCCCCcCcCccCcCCCcCcccccccC",
    },
    "message": {
        "from": {"name": "Cow", "wallet": "0xCD2a3d9F938E13CD947Ec05AbC7FE734Df8DD826"},
        "to": {"name": "Bob", "wallet": "0xbBbBBBBbbBBBbbbBbbBbbbbBBbBbbbbBbBbbBBbB"},
        "contents": "Hello, Bob!",
    },
}


def test_the_example_of_the_specification_has_its_hash() -> None:
    expected = "be609aee343fb3c4b28e1df9e632fca64fcfaede20f02e86244efddf30957bd2"
    assert typed_data_hash(MAIL).hex() == expected
    assert typed_data_hash(json.dumps(MAIL)).hex() == expected


async def test_an_account_signs_typed_data(tmp_path: Path) -> None:
    keys = {EvmAddress(bytes.fromhex(RICH.address[2:])): b"\x01" * 32}
    async with eth_chain(tmp_path, keys=keys) as chain:
        for given in (MAIL, json.dumps(MAIL)):
            signature = await chain.rpc("eth_signTypedData_v4", RICH.address, given)
            signer: Any = Account.recover_message(encode_typed_data(full_message=MAIL), signature=signature)
            assert signer == RICH.address
        with pytest.raises(RpcFailure, match="-32000: unknown account"):
            await chain.rpc("eth_signTypedData_v4", NOBODY, MAIL)
        with pytest.raises(RpcFailure, match=r"-32602: params\[1\]: the typed data are not JSON"):
            await chain.rpc("eth_signTypedData_v4", RICH.address, "{")


class RandomData:
    """Makes random types, and a value of them."""

    def __init__(self, random: Random) -> None:
        self._random = random
        self.types: dict[str, list[dict[str, str]]] = {"EIP712Domain": [{"name": "name", "type": "string"}]}

    def data(self) -> dict[str, Any]:
        for number in range(self._random.randrange(1, 5)):
            self.types[f"T{number}"] = [
                {"name": f"f{place}", "type": self._type(number)} for place in range(self._random.randrange(1, 5))
            ]
        structs = len(self.types) - 1
        primary = "Top"  # uses all others: eth_account takes the type that no other one uses
        self.types[primary] = [{"name": f"f{number}", "type": f"T{number}"} for number in range(structs)]
        message = self._value(primary)
        return {"types": self.types, "primaryType": primary, "domain": {"name": "x"}, "message": message}

    def _type(self, structs: int) -> str:
        bits = self._random.randrange(1, 33)
        kinds = ["string", "bytes", "bool", "address", f"bytes{bits}", f"uint{8 * bits}", f"int{8 * bits}"]
        kinds += [f"T{number}" for number in range(structs)]
        array = self._random.choice(("", "", "[]", "[2]", "[][1]"))
        return self._random.choice(kinds) + array

    def _value(self, kind: str) -> Any:
        random = self._random
        if kind.endswith("]"):
            inner, _, size = kind[:-1].rpartition("[")
            return [self._value(inner) for _ in range(int(size) if size else random.randrange(3))]
        if kind in self.types:
            return {field["name"]: self._value(field["type"]) for field in self.types[kind]}
        if kind in ("string", "bytes"):
            written = random.randbytes(random.randrange(40))
            return written.hex() if kind == "string" else "0x" + written.hex()
        if kind == "bool":
            return random.random() < 0.5
        if kind == "address":
            return "0x" + random.randbytes(20).hex()
        if kind.startswith("bytes"):
            return "0x" + random.randbytes(int(kind[5:])).hex()
        bits = int(kind.lstrip("uint"))
        return random.randrange(1 << bits) if kind[0] == "u" else random.randrange(-(1 << bits - 1), 1 << bits - 1)


def test_random_data_have_the_hash_of_eth_account() -> None:
    seed = Random().randrange(2**32)  # noqa: S311
    print(f"seed {seed}")
    random = Random(seed)  # noqa: S311
    for _ in range(cases(100, 1000)):
        given = RandomData(random).data()
        account: Any = Account.from_key(b"\x01" * 32)
        expected = account.sign_message(encode_typed_data(full_message=given)).message_hash
        assert typed_data_hash(given) == bytes(expected), given


def changed(**parts: Any) -> dict[str, Any]:
    return {**MAIL, **parts}


def with_field(kind: str, value: Any) -> dict[str, Any]:
    types = {**MAIL["types"], "One": [{"name": "x", "type": kind}]}
    return changed(types=types, primaryType="One", message={"x": value})


MISTAKES: list[tuple[Any, str]] = [
    (5, "must be an object"),
    ("[]", "must be an object"),
    ("[" * 100, "not JSON: nested deeper"),
    (changed(types=[]), "must be an object"),
    (changed(types={}), "the type EIP712Domain is missing"),
    (changed(primaryType="Other"), "the type Other is missing"),
    (changed(message={}), "Mail.contents: must be a string, got null"),
    (changed(message={"from": {}, "to": {}, "contents": ""}), "Person.name"),
    (changed(domain=None), "EIP712Domain: must be an object"),
    (changed(types={**MAIL["types"], "a b": []}), "is not the name of a type"),
    (changed(types={f"T{n}": [] for n in range(40)}), "at most 32 entries, got 40"),
    (changed(types={"T": [{"name": f"f{n}", "type": "bool"} for n in range(65)]}), "at most 64 fields, got 65"),
    (changed(types={"T": [{"name": "a", "type": "bool"}] * 2}), "two fields of one name"),
    (changed(types={"T": [{"name": "a" * 200, "type": "bool"}]}), "has the field"),
    (changed(types={"T": [{"name": "a", "type": "bool" * 30}]}), "has the field"),
    (with_field("uint8", 256), "must be from 0 to 255, got 256"),
    (with_field("int8", -129), "must be from -128 to 127"),
    (with_field("uint7", 1), "from 8 to 256 bits, got 7"),
    (with_field("int0", 1), "from 8 to 256 bits, got 0"),
    (with_field("uint8", 1.5), "must be an integer"),
    (with_field("uint8", True), "must be an integer"),
    (with_field("bytes4", "0x11"), "must have 4 bytes"),
    (with_field("bytes33", "0x" + "11" * 33), "must have 33 bytes"),
    (with_field("bool[2]", [True]), "has 2 items, got 1"),
    (with_field("bool[]", True), "must be an array"),
    (with_field("float", 1), "the type 'float' is not known"),
]


@pytest.mark.parametrize(("given", "words"), MISTAKES)
def test_other_data_are_refused(given: Any, words: str) -> None:
    with pytest.raises(Malformed, match=words):
        typed_data_hash(given)


def test_types_that_contain_themselves_end() -> None:
    types = {**MAIL["types"], "Node": [{"name": "next", "type": "Node"}]}
    value: Any = None
    for _ in range(20):
        value = {"next": value}
    assert len(typed_data_hash(changed(types=types, primaryType="Node", message=value))) == 32
    for _ in range(20):
        value = {"next": value}
    with pytest.raises(Malformed, match="more than 32 levels"):
        typed_data_hash(changed(types=types, primaryType="Node", message=value))


def test_integers_are_read_in_all_notations() -> None:
    hashes = {typed_data_hash(with_field("uint256", value)) for value in (255, "255", "0xff", "0xFF")}
    assert len(hashes) == 1
