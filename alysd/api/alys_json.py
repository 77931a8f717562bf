"""Blocks, offers and proofs as the JSON-RPC of Alys shows them (docs/json-rpc.md).

Field names are in lower case as in Bitcoin and Namecoin, and hashes are in Bitcoin's byte order. Values of the
execution layer are in Ethereum's form.
"""

from typing import Any

from alysd.api.federation_json import update_json
from alysd.api.peg_json import contents_json
from alysd.consensus.auxpow import proof_value, target_of
from alysd.messages.auxpow import MiningOffer, QueuedWork
from alysd.peg.deposits import recipient_script
from alysd.types.auxpow import AuxPowHeader, BitcoinHeader
from alysd.types.chain import FinalityProof, PlacedBlock
from alysd.types.chain_spec import ChainSpec
from alysd.types.evidence import Evidence
from alysd.types.hashes import BlockHash, EvmAddress, displayed
from alysd.types.tables import Proof
from alysd.wire.auxpow import encode_auxpow
from alysd.wire.evidence import encode_evidence
from alysd.wire.evm_address import checksum_address
from alysd.wire.hex import to_hex

NOT_ON_CHAIN = -1
"""The number of confirmations of an abandoned block, as in Bitcoin Core."""


def deposit_json(to: str, recipient: EvmAddress | None, spec: ChainSpec) -> dict[str, Any]:
    """The result of `getdepositaddress`: how to pay the federation's address `to`, with a `recipient` if given."""
    result: dict[str, Any] = {
        "address": to,
        "network": spec.bitcoin_network,
        "minimum": spec.peg_in_minimum,
        "confirmations": spec.peg_in_confirmations,
    }
    if recipient is not None:
        script = recipient_script(recipient)
        result |= {"recipient": checksum_address(recipient), "data": recipient.hex(), "script": script.hex()}
    return result


def offer_json(offer: MiningOffer, chain_id: int) -> dict[str, Any]:
    """The result of `createauxblock`, with the fields of Namecoin. As in Namecoin, `_target` is little-endian.

    `target` repeats `_target` for pool software that was written for other merge-mined coins (NOMP, p2pool).
    """
    target = _target(offer.target)
    return {
        "hash": displayed(offer.work.aux_hash),
        "chainid": chain_id,
        "previousblockhash": displayed(offer.previous),
        "coinbasevalue": offer.reward,
        "bits": f"{offer.work.bits:08x}",
        "height": offer.work.bundle.end_height,
        "_target": target,
        "target": target,
    }


def block_json(at: PlacedBlock) -> dict[str, Any]:
    """A block with its confirmations, as of `at.tip`."""
    signed, tip, canonical = at.signed, at.tip, at.canonical
    block, payload = signed.block, signed.block.payload
    return {
        "hash": displayed(signed.hash),
        "confirmations": tip.head.height - block.height + 1 if canonical else NOT_ON_CHAIN,
        "final": canonical and block.height <= tip.finalized.height,
        "finalizedby": None if at.proof is None else _proof_json(at.proof),
        "height": block.height,
        "slot": block.slot,
        "time": payload.timestamp,
        "previousblockhash": displayed(block.parent_hash),
        "executionhash": to_hex(payload.block_hash),
        "stateroot": to_hex(payload.state_root),
        "transactions": len(payload.transactions),
        "gasused": payload.gas_used,
        "withdrawals": [
            {"address": checksum_address(minted.address), "gwei": minted.amount} for minted in payload.withdrawals
        ],
        "approvals": signed.approvals.count,
        "auxhash": None if at.included is None else displayed(at.included.aux_hash),
        "auxpow": None if block.auxpow_header is None else _header_json(block.auxpow_header),
        "federationupdate": None if block.federation_update is None else update_json(block.federation_update),
        **contents_json(block),
    }


def _proof_json(proof: Proof) -> dict[str, Any]:
    """The block that includes a proof, and the hash of the proven work."""
    return {"hash": displayed(proof.block), "height": proof.height, "auxhash": displayed(proof.aux_hash)}


def finality_json(wanted: BlockHash, found: FinalityProof) -> dict[str, Any]:
    """The result of `getfinalityproof` for the block `wanted`, one of the blocks that the proof covers."""
    return {
        "hash": displayed(wanted),
        "blocks": [displayed(block) for block in found.hashes],
        **_header_json(found.header),
        "target": _target(target_of(found.header.bits)),
        "auxpow": encode_auxpow(found.auxpow).hex(),
        "parentheader": _parent_json(found.auxpow.parent),
        "finalizedby": _proof_json(found.proof),
    }


def evidence_json(evidence: Evidence) -> dict[str, Any]:
    """Evidence against authorities, as a part of the result of `getevidence`."""
    return {
        "offence": evidence.offence.value,
        "authorities": [{"index": index, "key": to_hex(key)} for index, key in evidence.offenders],
        "blocks": [
            {
                "hash": displayed(approved.block.hash),
                "previousblockhash": displayed(approved.block.parent),
                "slot": approved.block.slot,
                "previousslot": None if approved.parent is None else approved.parent.slot,
            }
            for approved in (evidence.first, evidence.second)
        ],
        "encoded": encode_evidence(evidence).hex(),
    }


def _parent_json(header: BitcoinHeader) -> dict[str, Any]:
    """A Bitcoin header with the field names of Bitcoin Core's `getblockheader`."""
    return {
        "hash": displayed(header.hash),
        "version": header.version,
        "previousblockhash": displayed(header.previous),
        "merkleroot": displayed(header.merkle_root),
        "time": header.time,
        "bits": f"{header.bits:08x}",
        "nonce": header.nonce,
    }


def _target(target: int) -> str:
    """A target as 32 little-endian bytes in hex, as in Namecoin."""
    return target.to_bytes(32, "little").hex()


def queued_json(work: QueuedWork) -> dict[str, Any]:
    """The result of `getqueuedpow`: the proof that the next block would include."""
    return {"hash": displayed(work.aux_hash), "blocks": work.bundle_length} | _header_json(work.header)


def _header_json(header: AuxPowHeader) -> dict[str, Any]:
    """A proof and the range of blocks that it covers. The genesis block's header has no proof."""
    parent = None if header.auxpow is None else f"{proof_value(header.auxpow):064x}"
    return {
        "rangestart": displayed(header.range_start),
        "rangeend": displayed(header.range_end),
        "bits": f"{header.bits:08x}",
        "chainid": header.chain_id,
        "feerecipient": checksum_address(header.fee_recipient),
        "parentblockhash": parent,
    }
