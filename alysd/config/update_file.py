"""Files with a change of the federation: JSON, in which bytes are hex with 0x.

Holders of governance keys make, sign and combine them with `alysd federation update` (docs/federation.md).
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import attrs

from alysd.config.toml_file import read_bounded
from alysd.config.values import hex_bytes
from alysd.errors import ConfigError, Malformed
from alysd.types.federation_update import FederationMember, FederationUpdate, GovernanceSignature, UpdateKind
from alysd.types.hashes import BlsPublicKey, BlsSignature, EvmAddress, SchnorrSignature, XOnlyKey
from alysd.types.units import Height
from alysd.wire.federation_update import KINDS, decode_update, encode_update
from alysd.wire.json_input import parse_json


def update_text(update: FederationUpdate) -> str:
    """The content of the file of an update."""
    return json.dumps(_shown(attrs.asdict(update)), indent=2) + "\n"


def read_update(path: Path) -> FederationUpdate:
    """Read the file of an update. Raises `ConfigError`. Checks the form of all values, and no rule."""
    data = read_bounded(path, what="a change of the federation")
    try:
        update = _update(parse_json(data))
        return decode_update(encode_update(update))
    except (ValueError, Malformed) as error:
        what = "not a change of the federation as `alysd federation update new` makes it"
        raise ConfigError(f"{path}: {what}: {error}") from None


def _shown(value: object) -> Any:
    if isinstance(value, bytes):
        return "0x" + value.hex()
    if isinstance(value, dict):
        return {key: _shown(one) for key, one in cast("dict[str, object]", value).items()}
    return [_shown(one) for one in cast("Sequence[object]", value)] if isinstance(value, list | tuple) else value


def _update(document: object) -> FederationUpdate:
    fields = _object(document, [field.name for field in attrs.fields(FederationUpdate)])
    kind: UpdateKind | None = next((one for one in KINDS if one == fields["kind"]), None)
    if kind is None:
        raise ValueError(f"kind must be {', '.join(KINDS)}, found {fields['kind']!r}")
    return FederationUpdate(
        _number(fields["sequence"], "sequence"),
        Height(_number(fields["effective_height"], "effective_height")),
        kind,
        tuple(_member(one) for one in _list(fields["members"], "members")),
        tuple(EvmAddress(hex_bytes(one, 20, "an address")) for one in _list(fields["fee_addresses"], "addresses")),
        tuple(_signature(one) for one in _list(fields["signatures"], "signatures")),
    )


def _member(document: object) -> FederationMember:
    fields = _object(document, [field.name for field in attrs.fields(FederationMember)])
    return FederationMember(
        BlsPublicKey(hex_bytes(fields["authority"], 48, "a BLS public key")),
        BlsSignature(hex_bytes(fields["authority_proof"], 96, "a BLS signature")),
        XOnlyKey(hex_bytes(fields["bitcoin_key"], 32, "an x-only Bitcoin public key")),
        SchnorrSignature(hex_bytes(fields["bitcoin_proof"], 64, "a BIP-340 signature")),
    )


def _signature(document: object) -> GovernanceSignature:
    fields = _object(document, [field.name for field in attrs.fields(GovernanceSignature)])
    signature = SchnorrSignature(hex_bytes(fields["signature"], 64, "a BIP-340 signature"))
    return GovernanceSignature(_number(fields["index"], "index"), signature)


def _object(value: object, names: Sequence[str]) -> dict[str, object]:
    if not isinstance(value, dict) or set(cast("dict[str, object]", value)) != set(names):
        raise ValueError(f"an object with {', '.join(names)} expected")
    return cast("dict[str, object]", value)


def _list(value: object, name: str) -> list[object]:
    if not isinstance(value, list):
        raise ValueError(f"{name} must be a list")
    return cast("list[object]", value)


def _number(value: object, name: str) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise ValueError(f"{name} must be a whole number, found {value!r}")
    return value
