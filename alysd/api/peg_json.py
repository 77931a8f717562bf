"""The peg and its operations as the JSON-RPC of Alys shows them (docs/json-rpc.md)."""

from typing import Any

from alysd.api.federation_json import peg_governance_json
from alysd.messages.bridge import PegHealth
from alysd.types.bitcoin_watch import BitcoinStatus
from alysd.types.block import Block
from alysd.types.chain_spec import ChainSpec
from alysd.types.hashes import BitcoinHash, EvmAddress, displayed
from alysd.types.peg import BRIDGE_ADDRESS, RESERVE
from alysd.types.peg_operation import OperationState, PegOperation, PegSummary
from alysd.wire.evm_address import checksum_address
from alysd.wire.hex import to_hex
from alysd.wire.plain_text import plain

BITCOIN_SECONDS = 600
"""The average time between two Bitcoin blocks, for estimates."""


def operation_json(one: PegOperation, network: str) -> dict[str, Any]:
    """The JSON of an operation.

    `network` is Bitcoin's network. On regtest the JSON has no estimate of the time, because blocks come on demand.
    """
    shared: dict[str, Any] = {
        "kind": one.kind,
        "state": one.state.value,
        "over": one.is_over,
        "number": one.number,
        "amount": one.amount,
        "account": None if one.account is None else account_json(one.account),
        "height": one.height,
        "confirmations": one.confirmations,
        "needed": one.needed,
        "secondsleft": _seconds_left(one, network),
        "reason": one.reason,
    }
    if one.transaction is None:
        return shared | {"txid": _shown(one.deposit)}
    return shared | {
        "transaction": to_hex(one.transaction),
        "address": None if one.address is None else plain(one.address.decode("latin-1")),
        "payments": [
            {"txid": displayed(version.txid), "fee": version.fee, "signed": version.signed}
            for version in one.versions
        ],
        "txid": _shown(one.payment),
        "paid": one.paid,
        "refund": one.refund,
        "endheight": one.ended,
    }


def account_json(account: EvmAddress) -> str:
    """An account, or the word `reserve`."""
    return "reserve" if account == RESERVE else checksum_address(account)


def peg_json(
    summary: PegSummary, address: str, spec: ChainSpec, bitcoin: BitcoinStatus | None, health: PegHealth | None
) -> dict[str, Any]:
    """The peg as of the head. `bitcoin` and `health` are None where this node does not know them."""
    totals = summary.tip.head.peg
    return {
        "height": summary.tip.head.height,
        "network": spec.bitcoin_network,
        "chainid": spec.chain_id,
        "address": address,
        "contract": checksum_address(BRIDGE_ADDRESS),
        "peginminimum": spec.peg_in_minimum,
        "pegoutminimum": spec.peg_out_minimum,
        "servicefee": spec.peg_out_service_fee,
        "confirmations": spec.peg_in_confirmations,
        "held": totals.held,
        "owed": totals.owed,
        "minted": totals.minted,
        "burned": totals.burned,
        "refunded": totals.refunded,
        "refundsdue": totals.refunds_due,
        "reserve": totals.reserve,
        "operations": totals.operations,
        "open": {state.value: count for state, count in summary.open},
        "oldest": None if summary.oldest is None else {"number": summary.oldest, "time": summary.since},
        "halted": halted_json(health),
        "governance": peg_governance_json(summary.tip.head),
        "haltreason": None if halted_json(health) is None or health is None else health.reason,
        "stolen": None if halted_json(health) is None or health is None else health.stolen_sat,
        "bitcoin": None if bitcoin is None else {"read": bitcoin.read, "tip": bitcoin.tip},
        "problem": doubt_json(bitcoin, health),
    }


def halted_json(health: PegHealth | None) -> bool | None:
    """Whether the peg is halted; None if this node does not know."""
    return None if health is None or health.doubt is not None else health.halted


def lost_json(one: PegOperation, health: PegHealth | None) -> bool | None:
    """Whether Bitcoin has lost the deposit or payment of an operation; None if this node does not know."""
    if halted_json(health) is None or health is None:
        return None
    txid = one.deposit if one.transaction is None else one.payment
    return any(lost.txid == txid for lost in health.lost)


def doubt_json(bitcoin: BitcoinStatus | None, health: PegHealth | None) -> str | None:
    """The reason why this node does not know everything about the peg."""
    if bitcoin is None:
        return "this node has no Bitcoin node, or its Bitcoin watch does not answer"
    if bitcoin.problem is not None:
        return bitcoin.problem
    return "the bridge does not answer" if health is None else health.doubt


def contents_json(block: Block) -> dict[str, Any]:
    """The peg's parts of a block."""
    proposal = block.peg_out_proposal
    return {
        "pegins": [
            {"txid": displayed(one.txid), "recipient": account_json(one.recipient), "amount": one.amount}
            for one in block.peg_ins
        ],
        "pegoutproposal": None if proposal is None else displayed(proposal.transaction.txid),
        "signedpegouts": [displayed(one.txid) for one in block.finalized_peg_outs],
        "confirmedpegouts": [displayed(one.txid) for one in block.confirmed_peg_outs],
    }


def _seconds_left(one: PegOperation, network: str) -> int | None:
    if network == "regtest" or one.confirmations is None or one.needed is None:
        return None
    counted = (OperationState.SEEN, OperationState.WAITING, OperationState.BROADCAST)
    return BITCOIN_SECONDS * max(0, one.needed - one.confirmations) if one.state in counted else None


def _shown(txid: BitcoinHash | None) -> str | None:
    return None if txid is None else displayed(txid)
