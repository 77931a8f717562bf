"""The configuration of a signer in a process of its own: one TOML file without sections (docs/peg.md)."""

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

import attrs

from alysd.config.addresses import SignerAddress
from alysd.config.credentials import NO_FOLDER, credentials_folder, names_credential
from alysd.config.options import INPUT_FILE, OWN_FILE
from alysd.config.problems import InvalidConfig, Source, problem
from alysd.config.structure import structure_fields, unknown_key
from alysd.config.toml_file import read_settings
from alysd.types.units import MAX_SAT, Sat


@attrs.frozen
class SignerConfig:
    """The options of `alysd signer`.

    `chain` is the chain specification. `key_file` is the member's Bitcoin key, and the first line of
    `passphrase_file` the passphrase of an encrypted one. `record` is the record of the payments that the key has
    signed, and `followed` the file with the signer's knowledge of the chain. A node connects to `listen`. The
    payments that the key first signs within an hour pay at most `hourly_limit_sat` together; None for no limit.

    With TLS, the signer shows the certificate `certificate`, whose key is `key`, and accepts nodes whose
    certificate leads to one in `authority`.
    """

    chain: Path = attrs.field(metadata=INPUT_FILE)
    key_file: Path = attrs.field(metadata=INPUT_FILE)
    record: Path = attrs.field(metadata=OWN_FILE)
    followed: Path = attrs.field(metadata=OWN_FILE)
    listen: SignerAddress
    passphrase_file: Path | None = attrs.field(default=None, metadata=INPUT_FILE)
    hourly_limit_sat: Sat | None = attrs.field(default=None, metadata={"between": (1, MAX_SAT)})
    certificate: Path | None = attrs.field(default=None, metadata=INPUT_FILE)
    key: Path | None = attrs.field(default=None, metadata=INPUT_FILE)
    authority: Path | None = attrs.field(default=None, metadata=INPUT_FILE)


TLS_OPTIONS = ("certificate", "key", "authority")
"""The options that a TLS address needs, and that a Unix socket must not have."""


def read_signer_config(path: Path, environment: Mapping[str, str] = MappingProxyType({})) -> SignerConfig:
    """Read the file. `environment` names the folder of credentials.

    Raises `InvalidConfig` with all problems, or `ConfigError` if the file cannot be read.
    """
    settings = read_settings(path, what="the configuration of a signer")
    known = [field.name for field in attrs.fields(SignerConfig)]
    problems = [unknown_key(setting, key, known) for key, setting in settings.items() if key not in known]
    folder = credentials_folder(environment)
    values = structure_fields(
        SignerConfig, settings, prefix="", source=Source(str(path)), problems=problems, credentials=folder
    )
    problems += [
        problem(settings[key].source, key, str(value), NO_FOLDER)
        for key, value in values.items()
        if names_credential(value)
    ]
    if problems:
        raise InvalidConfig(problems)
    config = SignerConfig(**values)
    tls = config.listen.path is None
    problems += [
        f"{path}: {name} {'is missing: a TLS address needs it' if tls else 'is only for a TLS address'}"
        for name in TLS_OPTIONS
        if (getattr(config, name) is None) == tls
    ]
    if problems:
        raise InvalidConfig(problems)
    return config
