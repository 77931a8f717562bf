"""The text and the JSON of an audit."""

from typing import Any

import attrs

from alysd.audit.reconcile import Report
from alysd.audit.records import AlysFindings, BitcoinFindings
from alysd.types.units import SAT_PER_BTC

_LINES = (
    ("held", "held by the federation"),
    ("minted", "minted on Alys"),
    ("burned", "burned on Alys"),
    ("owed", "owed to accepted requests"),
    ("refunded", "refunded on Alys"),
    ("refunds_due", "refunds due"),
    ("reserve", "reserve"),
    ("paid", "paid on Bitcoin"),
    ("bitcoin_fees", "fees of these payments"),
    ("waiting", "deposits not minted yet"),
    ("uncredited", "paid to the federation, not credited"),
)


def report_json(report: Report, bitcoin: BitcoinFindings, alys: AlysFindings) -> dict[str, Any]:
    """The report as JSON; all amounts in sat."""
    return {
        "bitcoin_height": bitcoin.height,
        "alys_height": alys.height,
        "totals": attrs.asdict(report.totals),
        "former": bitcoin.former,
        "missing": report.totals.missing,
        "open": report.open,
        "problems": list(report.problems),
        "equal": report.equal,
    }


def report_text(report: Report, bitcoin: BitcoinFindings, alys: AlysFindings) -> str:
    """The report for a person."""
    lines = [
        (
            f"Bitcoin up to block {bitcoin.height}: {len(bitcoin.deposits)} deposits, "
            f"{len(bitcoin.payments)} payments"
        ),
        f"Alys up to block {alys.height}: {len(alys.burns)} burns, {len(alys.withdrawals)} mints and refunds",
        "",
    ]
    totals = attrs.asdict(report.totals)
    lines += [f"{text:<38}{_btc(totals[name]):>22} BTC" for name, text in _LINES]
    if bitcoin.former:
        lines.append(f"{'of this, held by former federations':<38}{_btc(bitcoin.former):>22} BTC")
    lines.append("")
    lines += [
        f"not credited: {one.amount} sat in {one.txid[::-1].hex()}: {one.reason}" for one in bitcoin.uncredited
    ]
    lines += [f"problem: {problem}" for problem in report.problems]
    if report.totals.missing > 0:
        lines.append(f"{report.totals.missing} sat are missing")
    if report.totals.missing < 0:
        lines.append(f"{-report.totals.missing} sat are too many")
    if report.equal:
        lines.append(
            "held + burned = minted + refunded + refunds due + owed + reserve, to the satoshi; "
            f"{report.open} deposits, requests, refunds and consolidations wait"
        )
    return "\n".join(lines) + "\n"


def _btc(sat: int) -> str:
    sign = "-" if sat < 0 else ""
    return f"{sign}{abs(sat) // SAT_PER_BTC}.{abs(sat) % SAT_PER_BTC:08}"
