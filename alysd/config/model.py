"""The complete configuration: all sections and their options (docs/configuration.md).

Each section is a class with one field per option, in `chain_sections`, `connection_sections`,
`operation_sections` or `runtime_sections`.
"""

from collections.abc import Mapping
from typing import Any, Self

import attrs

from alysd.config.addresses import HttpUrl, ListenAddress
from alysd.config.chain_sections import ChainConfig, EngineConfig, MiningConfig, StorageConfig
from alysd.config.connection_sections import ApiConfig, BitcoinConfig, GovernanceConfig, NetworkConfig, PegConfig
from alysd.config.operation_sections import (
    DevelopmentConfig,
    FlagsConfig,
    LoggingConfig,
    NodeConfig,
    ReloadingConfig,
    TracingConfig,
)
from alysd.config.options import ConfigOption
from alysd.config.runtime_sections import ActorsConfig, MonitoringConfig, SystemConfig
from alysd.types.peers import PeerAddress


@attrs.frozen
class AlysConfig:
    """The complete configuration, merged and validated."""

    @property
    def accounts_open(self) -> bool:
        """Whether clients may use the development accounts: never on a chain with others."""
        alone = self.network.address is None and self.chain.authority_key_file is not None
        return self.development.accounts and alone and self.engine.mode == "embedded"

    @property
    def listeners(self) -> Mapping[str, ListenAddress]:
        """The addresses of the node's servers, by their keys."""
        named = {"api.address": self.api.address, "api.operator_address": self.api.operator_address}
        if self.engine.mode == "embedded":
            named["api.ethereum_address"] = self.api.ethereum_address
        named["network.address"] = self.network.address
        return {key: address for key, address in named.items() if address is not None}

    @property
    def urls(self) -> Mapping[str, HttpUrl]:
        """The URLs of other servers, by their keys."""
        return {
            f"{name}.{field.name}": value
            for name, section in SECTIONS.items()
            for field in attrs.fields(section)
            if isinstance(value := getattr(getattr(self, name), field.name), HttpUrl)
        }

    chain: ChainConfig
    node: NodeConfig = attrs.Factory(NodeConfig)
    engine: EngineConfig = attrs.Factory(EngineConfig)
    api: ApiConfig = attrs.Factory(ApiConfig)
    network: NetworkConfig = attrs.Factory(NetworkConfig)
    bitcoin: BitcoinConfig = attrs.Factory(BitcoinConfig)
    peg: PegConfig = attrs.Factory(PegConfig)
    governance: GovernanceConfig = attrs.Factory(GovernanceConfig)
    storage: StorageConfig = attrs.Factory(StorageConfig)
    mining: MiningConfig = attrs.Factory(MiningConfig)
    logging: LoggingConfig = attrs.Factory(LoggingConfig)
    reload: ReloadingConfig = attrs.Factory(ReloadingConfig)
    system: SystemConfig = attrs.Factory(SystemConfig)
    actors: ActorsConfig = attrs.Factory(ActorsConfig)
    monitoring: MonitoringConfig = attrs.Factory(MonitoringConfig)
    tracing: TracingConfig = attrs.Factory(TracingConfig)
    development: DevelopmentConfig = attrs.Factory(DevelopmentConfig)
    flags: FlagsConfig = attrs.Factory(FlagsConfig)

    def with_bootnodes(self, bootnodes: tuple[PeerAddress, ...]) -> Self:
        """This configuration, with the chain's `bootnodes` as peers if it has a network but names no peers."""
        if self.network.address is None or self.network.peers:
            return self
        return attrs.evolve(self, network=attrs.evolve(self.network, peers=bootnodes))


SECTIONS: Mapping[str, type[Any]] = {
    field.name: field.type for field in attrs.fields(AlysConfig) if field.type is not None
}
"""The class of each section, by the section's name in the file."""


def all_options() -> list[ConfigOption]:
    """Return all options, in the order of the documentation."""
    return [
        ConfigOption.of(f"{name}.{field.name}", field)
        for name, cls in SECTIONS.items()
        for field in attrs.fields(cls)
    ]
