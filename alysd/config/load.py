"""Merges the layers of the configuration: defaults, presets, file, `ALYS_*`, `--set`. Later layers override."""

import difflib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import attrs

from alysd.config.chain_sections import StorageConfig
from alysd.config.checks import cross_check
from alysd.config.connection_sections import ApiConfig
from alysd.config.credentials import NO_FOLDER, credentials_folder, names_credential
from alysd.config.model import SECTIONS, AlysConfig
from alysd.config.presets import preset_settings
from alysd.config.problems import InvalidConfig, Setting, Source, Text, problem
from alysd.config.structure import structure_fields, unknown_key
from alysd.config.toml_file import read_settings, readable_settings
from alysd.errors import ConfigError

ENVIRONMENT_PREFIX = "ALYS_"


@attrs.frozen
class LoadedConfig:
    """A configuration, and its settings of all layers by key. An option without a setting has its default."""

    config: AlysConfig
    settings: Mapping[str, Setting]


def load_config(path: Path | None, *, environment: Mapping[str, str], overrides: Sequence[str] = ()) -> AlysConfig:
    """Merge the layers and validate the result; see `load_layers`."""
    return load_layers(path, environment=environment, overrides=overrides).config


def load_layers(
    path: Path | None, *, environment: Mapping[str, str], overrides: Sequence[str] = ()
) -> LoadedConfig:
    """Merge the layers and validate the result: first each value by itself, then across sections.

    Variables of `environment` named `ALYS_SECTION__KEY` set options, and one names the folder of credentials;
    others are ignored. `overrides` are `key=value` texts. Raises `InvalidConfig` with all problems, or
    `ConfigError` for a file that cannot be read.
    """
    problems: list[str] = []
    settings = {} if path is None else read_settings(path, what="the configuration file")
    settings |= _environment_settings(environment)
    settings |= _override_settings(overrides, problems)
    settings = preset_settings(settings) | settings
    _refuse_unknown(settings, problems)
    credentials = credentials_folder(environment)
    blamed = Source(str(path) if path else "configuration (no --config given)")
    sections: dict[str, Any] = {}
    for name, cls in SECTIONS.items():
        before = len(problems)
        values = structure_fields(
            cls, settings, prefix=f"{name}.", source=blamed, problems=problems, credentials=credentials
        )
        if len(problems) == before:
            sections[name] = cls(**values)
    if problems:
        raise InvalidConfig(problems)
    config = AlysConfig(**sections)
    if problems := cross_check(config, settings, blamed):
        raise InvalidConfig(problems)
    return LoadedConfig(config, settings)


@attrs.frozen
class NodePlaces:
    """The places at which a running node can be reached, by its configuration.

    If the configuration is wrong, `problem` says why, and the places are those of the options that can be read.
    `storage` is None if the mistake hides `storage.path`: the default would be the data folder of another node.
    """

    storage: StorageConfig | None
    api: ApiConfig
    problem: ConfigError | None = None


def node_places(path: Path | None, *, environment: Mapping[str, str], overrides: Sequence[str] = ()) -> NodePlaces:
    """Return the places of a node, also if its configuration is wrong: the node may run with an earlier one.

    Raises `InvalidConfig` for mistakes in `overrides`, which belong to this command and not to the node.
    """
    try:
        config = load_config(path, environment=environment, overrides=overrides)
    except ConfigError as error:
        reason = error
    else:
        return NodePlaces(config.storage, config.api)
    problems: list[str] = []
    overriding = _override_settings(overrides, problems)
    _refuse_unknown(overriding, problems)
    if problems:
        raise InvalidConfig(problems)
    settings, whole = _readable(path)
    settings |= _environment_settings(environment)
    settings |= overriding
    _refuse_unknown(settings, problems)
    whole = whole and not problems and "storage.path" not in settings
    storage, api = (
        structure_fields(cls, settings, prefix=prefix, source=Source(""), problems=[])
        for cls, prefix in ((StorageConfig, "storage."), (ApiConfig, "api."))
    )
    return NodePlaces(StorageConfig(**storage) if "path" in storage or whole else None, ApiConfig(**api), reason)


def _readable(path: Path | None) -> tuple[dict[str, Setting], bool]:
    """The settings of a file that can be read, and whether they are all of its settings."""
    if path is None:
        return {}, True
    try:
        return read_settings(path, what="the configuration file"), True
    except ConfigError:
        pass  # the caller has this error
    try:
        return readable_settings(path, what="the configuration file"), False
    except ConfigError:
        return {}, False


def check_credentials(loaded: LoadedConfig) -> None:
    """Raise `InvalidConfig` for each option that names a credential, if this command has no folder of them."""
    problems = [
        problem(setting.source, key, setting.value, NO_FOLDER)
        for key, setting in loaded.settings.items()
        if names_credential(setting.value) and names_credential(_value(loaded.config, key))
    ]
    if problems:
        raise InvalidConfig(problems)


def _value(config: AlysConfig, key: str) -> object:
    section, _, name = key.partition(".")
    return getattr(getattr(config, section), name, None)


def known_keys() -> list[str]:
    """Return the dotted keys of all options, in the order of the documentation."""
    return [f"{name}.{field.name}" for name, cls in SECTIONS.items() for field in attrs.fields(cls)]


def _environment_settings(environment: Mapping[str, str]) -> dict[str, Setting]:
    """Read settings from variables: `ALYS_ENGINE__URL=…` sets engine.url.

    A relative path in a variable is relative to the working directory. Other variables are ignored, such as those
    that Kubernetes sets in each container for a Service named alys (`ALYS_PORT`, `ALYS_SERVICE_HOST`). A variable
    whose section is similar to a known one is a typing mistake: it is kept, so that it is refused later.
    """
    settings: dict[str, Setting] = {}
    for name, value in environment.items():
        section, separator, option = name.removeprefix(ENVIRONMENT_PREFIX).lower().partition("__")
        if name.startswith(ENVIRONMENT_PREFIX) and separator and difflib.get_close_matches(section, SECTIONS):
            settings[f"{section}.{option}"] = Setting(Text(value), Source(name))
    return settings


def _override_settings(overrides: Sequence[str], problems: list[str]) -> dict[str, Setting]:
    """Read settings from `--set key=value` options; if a key occurs twice, the last value is used."""
    settings: dict[str, Setting] = {}
    for text in overrides:
        key, equals, value = text.partition("=")
        if not equals:
            problems.append(f'--set {text}: must be KEY=VALUE, such as --set "logging.level=debug"')
            continue
        settings[key.strip()] = Setting(Text(value.strip()), Source(f"--set {key.strip()}"))
    return settings


def _refuse_unknown(settings: Mapping[str, Setting], problems: list[str]) -> None:
    """Report unknown keys as problems. An empty section is allowed."""
    known = known_keys()
    for key, setting in settings.items():
        if key in SECTIONS and setting.value != {}:
            problems.append(f"{setting.source.words}: {key} is a section: write [{key}] and its keys below")
        elif key not in known and key not in SECTIONS:
            problems.append(unknown_key(setting, key, known))
