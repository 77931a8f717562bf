"""Checks rules that involve several options, or options and the chain specification."""

import os
from collections.abc import Callable, Mapping, Sequence
from itertools import combinations

from alysd.config.actor_options import twice
from alysd.config.chain_sections import EngineConfig
from alysd.config.connection_sections import BitcoinConfig, GovernanceConfig, NetworkConfig, PegConfig
from alysd.config.flags import names_needed
from alysd.config.model import AlysConfig
from alysd.config.places import collide
from alysd.config.presets import refusals
from alysd.config.problems import InvalidConfig, Setting, Source
from alysd.config.runtime_sections import MonitoringConfig
from alysd.config.values import MAX_SOCKET_PATH
from alysd.consensus.auxpow import target_of
from alysd.types.chain_spec import ChainSpec, has_peg
from alysd.types.flags import Rollout
from alysd.types.peers import PeerAddress

Blame = Callable[[str], str]
"""Gives the source of an option's value in words, such as the file and line, for the start of an error message."""

MAX_INTERNAL_HASHES = 2**20
"""The maximum average number of hashes per proof at the easiest target of a chain with the internal miner.

One core computes this many in some seconds."""


def cross_check(config: AlysConfig, settings: Mapping[str, Setting], source: Source) -> list[str]:
    """Return the problems of options that are valid one by one but not together.

    Each problem names the source of the option. For an option without an entry in `settings` this is `source`.
    """

    def blame(key: str) -> str:
        setting = settings.get(key)
        return (setting.source if setting else source).words

    return [
        *_environment_problems(config, blame),
        *_flag_problems(config, blame),
        *_engine_problems(config.engine, blame),
        *_mining_problems(config, blame),
        *_network_problems(config.network, blame),
        *_bitcoin_problems(config.bitcoin, blame),
        *_peg_problems(config.peg, blame),
        *_signer_problems(config.peg, blame),
        *_governance_problems(config.governance, blame),
        *_address_problems(config, blame),
        *_monitoring_problems(config.monitoring, blame),
        *_actor_problems(config, blame),
    ]


def _environment_problems(config: AlysConfig, blame: Blame) -> list[str]:
    environment = config.node.environment
    return [
        f'{blame(key)}: {key} is not allowed with node.environment = "{environment}": {reason}'
        for key, reason in refusals(config)
    ]


def _flag_problems(config: AlysConfig, blame: Blame) -> list[str]:
    problems: list[str] = []
    if config.node.name is None:
        problems += [
            f'{blame(f"flags.{name}")}: flags.{name} = "{getattr(config.flags, name)}" needs node.name, '
            "which says which node this is"
            for name in names_needed(config)
        ]
    if config.engine.second_engine_url is None:
        problems += [
            f'{blame(f"flags.{name}")}: flags.{name} = "{getattr(config.flags, name)}" needs a second client: set '
            "engine.second_engine_url"
            for name in ("engine_compare", "engine_prefer_second")
            if getattr(config.flags, name) != Rollout()
        ]
    return problems


def _engine_problems(engine: EngineConfig, blame: Blame) -> list[str]:
    second = ("second_url", "second_engine_url", "second_jwt_secret_file")
    given = [name for name in second if getattr(engine, name) is not None]
    if engine.mode != "engine-api":
        return [
            f'{blame(f"engine.{name}")}: engine.{name} needs engine.mode = "engine-api": '
            "the embedded engine has no second client"
            for name in given
        ]
    problems = [
        f'{blame("engine.mode")}: engine.mode = "engine-api" needs engine.{name}'
        for name in ("url", "engine_url", "jwt_secret_file")
        if getattr(engine, name) is None
    ]
    if given:
        problems += [
            f"{blame(f'engine.{given[0]}')}: engine.{given[0]} needs engine.{name}: a second client has all three"
            for name in second
            if name not in given
        ]
    problems += [
        f"{blame(f'engine.{name}')}: engine.{name} = {getattr(engine, name)} is that of the first client: name "
        "another client, or remove the options of the second"
        for name in given
        if name != "second_jwt_secret_file" and getattr(engine, name) == getattr(engine, name[len("second_") :])
    ]
    return problems


def _mining_problems(config: AlysConfig, blame: Blame) -> list[str]:
    if not config.mining.internal:
        return []
    needs = f"{blame('mining.internal')}: mining.internal = true needs"
    problems: list[str] = []
    if config.mining.fee_recipient is None:
        problems.append(f"{needs} mining.fee_recipient, the address to pay")
    if config.chain.authority_key_file is None:
        problems.append(f"{needs} chain.authority_key_file: a follower makes no blocks for the internal miner")
    return problems


MOST_PEERS = 64
"""The maximum number of peers that a node keeps connections to, for which the peer host has open files."""


def _network_problems(network: NetworkConfig, blame: Blame) -> list[str]:
    problems: list[str] = []
    if len(network.peers) > MOST_PEERS:
        count = len(network.peers)
        problems.append(f"{blame('network.peers')}: network.peers has {count} peers, at most {MOST_PEERS}")
    if network.address is not None:
        return problems
    if network.peers:
        problems.append(
            f"{blame('network.peers')}: network.peers needs network.address, where peers connect to this node"
        )
    if network.checkpoint is not None:
        problems.append(
            f"{blame('network.checkpoint')}: network.checkpoint needs network.address: a node without peers "
            "gets no blocks"
        )
    return problems


def _bitcoin_problems(bitcoin: BitcoinConfig, blame: Blame) -> list[str]:
    return [
        f"{blame(f'bitcoin.{key}')}: bitcoin.{key} needs bitcoin.{needed}"
        for key, needed in (
            ("cookie_file", "url"),
            ("second_url", "url"),
            ("second_cookie_file", "second_url"),
        )
        if getattr(bitcoin, key) is not None and getattr(bitcoin, needed) is None
    ]


def _peg_problems(peg: PegConfig, blame: Blame) -> list[str]:
    return [
        f"{blame(f'peg.{key}')}: peg.{key} needs peg.key_file"
        for key in ("passphrase_file", "hourly_limit_sat")
        if getattr(peg, key) is not None and peg.key_file is None
    ]


def _signer_problems(peg: PegConfig, blame: Blame) -> list[str]:
    """The problems of the options of a signer in another process."""
    tls = ("signer_certificate", "signer_key", "signer_authority")
    if peg.signer is not None and peg.key_file is not None:
        return [
            f"{blame('peg.signer')}: peg.signer and peg.key_file are both set: only one of the two has the key"
        ]
    if peg.signer is not None and peg.signer.path is None:
        return [
            f"{blame('peg.signer')}: peg.signer = {peg.signer} needs peg.{name}"
            for name in tls
            if getattr(peg, name) is None
        ]
    words = (
        "peg.signer at a TLS address" if peg.signer is None else f"a TLS address, not peg.signer = {peg.signer}"
    )
    return [f"{blame(f'peg.{name}')}: peg.{name} needs {words}" for name in tls if getattr(peg, name) is not None]


MOST_ENDPOINTS = 8
"""The maximum number of servers of the governance."""


def _governance_problems(governance: GovernanceConfig, blame: Blame) -> list[str]:
    count = len(governance.endpoints)
    if count > MOST_ENDPOINTS:
        return [
            f"{blame('governance.endpoints')}: governance.endpoints has {count} servers, at most {MOST_ENDPOINTS}"
        ]
    others = ("node_id", "certificate", "key", "authority")
    if count:
        return [
            f"{blame('governance.endpoints')}: governance.endpoints needs governance.{name}"
            for name in others
            if getattr(governance, name) is None
        ]
    return [
        f"{blame(f'governance.{name}')}: governance.{name} needs governance.endpoints"
        for name in others
        if getattr(governance, name) is not None
    ]


def _address_problems(config: AlysConfig, blame: Blame) -> list[str]:
    """The problems of the path of the control socket and of the addresses at which the node listens."""
    problems: list[str] = []
    control = str(config.storage.control_socket)
    if len(os.fsencode(control)) > MAX_SOCKET_PATH:
        problems.append(
            f"{blame('storage.path')}: storage.path: the path of the control socket, {control}, has "
            f"{len(os.fsencode(control))} bytes, but at most {MAX_SOCKET_PATH} are allowed: choose a shorter path"
        )
    for (one, address), (key, later) in combinations(config.listeners.items(), 2):
        if collide(address, later):
            both = f"are both {later}" if address == later else f"({later} and {address}) overlap"
            problems.append(f"{blame(key)}: {key} and {one} {both}: give each its own port")
    return problems


def _monitoring_problems(monitoring: MonitoringConfig, blame: Blame) -> list[str]:
    degraded, unhealthy = monitoring.degraded_slots, monitoring.unhealthy_slots
    problem = (
        f"{blame('monitoring.unhealthy_slots')}: monitoring.unhealthy_slots must be more than "
        f"monitoring.degraded_slots, but {unhealthy} is not more than {degraded}"
    )
    return [] if unhealthy > degraded else [problem]


def _actor_problems(config: AlysConfig, blame: Blame) -> list[str]:
    return [
        f"{blame(f'actors.{key}')}: actors.{key} names {name} twice: keep one of the two"
        for key, options in (("capacity", config.actors.capacity), ("restart", config.actors.restart))
        if (name := twice(one.name for one in options)) is not None
    ]


def check_with_chain(config: AlysConfig, spec: ChainSpec) -> None:
    """Raise `InvalidConfig` if the configuration does not fit the chain that it names."""
    hashes = 2**256 // (target_of(spec.pow_limit) + 1)
    problems: list[str] = []
    if config.mining.internal and hashes > MAX_INTERNAL_HASHES:
        reason = (
            f"the target of chain {spec.name} (pow_limit {spec.pow_limit:08x}) is too hard for the internal miner"
        )
        problems.append(f"mining.internal = true: {reason}: use `alysd mine`")
    if config.bitcoin.url is not None and not has_peg(spec.execution_genesis):
        problems.append(
            f"bitcoin.url = {config.bitcoin.url}: the chain {spec.name} has no peg: remove the section [bitcoin]"
        )
    signs = [("key_file", config.peg.key_file), ("signer", config.peg.signer)]
    for option, value in ((f"peg.{key}", value) for key, value in signs if value is not None):
        if not has_peg(spec.execution_genesis):
            problems.append(f'{option} = "{value}": the chain {spec.name} has no peg: remove the section [peg]')
        elif config.bitcoin.url is None:
            problems.append(
                f'{option} = "{value}" needs bitcoin.url: without its own Bitcoin node, this member '
                f"would sign payments while the peg is halted: set bitcoin.url, or remove {option}"
            )
    if config.peg.signer is not None and config.chain.authority_key_file is None:
        problems.append(
            f'peg.signer = "{config.peg.signer}" needs chain.authority_key_file, which says which member this is'
        )
    problems += _account_problems(config, spec)
    if problems:
        raise InvalidConfig(problems)


def _account_problems(config: AlysConfig, spec: ChainSpec) -> list[str]:
    """The reasons for which this node must not sign with keys that everybody knows."""
    if not config.accounts_open:
        return []
    needs = "development.accounts = true is only for a node that is a whole chain:"
    problems: list[str] = []
    if not config.development.keys_known_to_all:
        problems.append(f"{needs} development.keys_known_to_all must be true")
    if len(spec.authorities) > 1:
        problems.append(f"{needs} the chain {spec.name} has {len(spec.authorities)} authorities")
    return problems


def check_bootnodes(config: AlysConfig, bootnodes: Sequence[PeerAddress], spec: ChainSpec) -> None:
    """Raise `InvalidConfig` if an authority would treat followers as members of its federation.

    A node trusts its configured peers more than strangers: they are not blamed for missing answers, have places of
    their own, and decide whether its clock is right. The bootnodes of an authority that names no peers have this
    trust. If there are more of them than authorities, some are followers, which anybody can run.
    """
    alone = config.chain.authority_key_file is None or len(spec.authorities) == 1
    if alone or config.network.address is None or config.network.peers or len(bootnodes) <= len(spec.authorities):
        return
    problem = (
        f'chain.spec = "{config.chain.spec}": it has {len(bootnodes)} bootnodes and {len(spec.authorities)} '
        "authorities, so some bootnodes are followers, which this authority would trust like members: name the "
        "other members in network.peers, or only the members in bootnodes"
    )
    raise InvalidConfig([problem])
