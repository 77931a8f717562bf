"""The terms on which a chain pays out BTC, as a node states them, and the check of a burn against them."""

from typing import Any

import attrs

from alysd.commands.peg_text import btc
from alysd.errors import ConfigError, Malformed, NodeUnavailable
from alysd.peg.addresses import NotPayable, dust_limit, payout_script
from alysd.types.peg import BRIDGE_ADDRESS
from alysd.types.units import MAX_SAT, Sat
from alysd.wire.evm_address import checksum_address
from alysd.wire.json_input import integer_field, text_field
from alysd.wire.plain_text import plain

NETWORKS = ("mainnet", "testnet", "signet", "regtest")


@attrs.frozen
class BurnTerms:
    """The terms of a chain: `federation` is the output script of its deposits. `halted` is None if not known."""

    chain_id: int
    network: str
    minimum: Sat
    service_fee: Sat
    federation: bytes
    halted: bool | None

    def script_of(self, address: str, sat: Sat) -> bytes:
        """The output script to which a burn of `sat` is paid.

        Raises `ConfigError` for a burn that the chain would refuse, or whose payment would be dust.
        """
        if sat < self.minimum:
            raise ConfigError(f"--amount {btc(sat)}: the chain pays burns of at least {btc(self.minimum)} BTC")
        try:
            script = payout_script(address.encode(errors="replace"), self.network, (self.federation,))
        except NotPayable as error:
            raise ConfigError(f"--to {address}: {error}") from None
        least = dust_limit(script) or 0
        if sat - self.service_fee < least:
            raise ConfigError(
                f"--amount {btc(sat)}: after the service fee of {btc(self.service_fee)} BTC, at least "
                f"{btc(least)} BTC must be left, or Bitcoin nodes would not relay the payment"
            )
        return script


def burn_terms(answer: dict[str, Any], url: str) -> BurnTerms:
    """Read the answer to `getpeg` of the node at `url`. Raises `NodeUnavailable` for an invalid one."""
    try:
        return _terms(answer)
    except (Malformed, NotPayable) as error:
        raise NodeUnavailable(url, f"the answer to getpeg is not that of an Alys node: {error}") from error


def _terms(answer: dict[str, Any]) -> BurnTerms:
    network, contract = text_field(answer, "network"), text_field(answer, "contract")
    if network not in NETWORKS:
        raise Malformed(f"network: {plain(network[:40])!r} is none of {', '.join(NETWORKS)}")
    if contract != checksum_address(BRIDGE_ADDRESS):  # a burn at another address would only be a present
        raise Malformed(f"contract: {plain(contract[:60])!r} is not the bridge contract")
    halted = answer.get("halted")
    federation = text_field(answer, "address").encode(errors="replace")
    return BurnTerms(
        chain_id=integer_field(answer, "chainid", 1, 2**63),
        network=network,
        minimum=Sat(integer_field(answer, "pegoutminimum", 1, MAX_SAT + 1)),
        service_fee=Sat(integer_field(answer, "servicefee", 0, MAX_SAT + 1)),
        federation=payout_script(federation, network, ()),
        halted=halted if isinstance(halted, bool) else None,
    )
