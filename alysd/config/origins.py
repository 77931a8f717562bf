"""Shows the configuration with the origin of each value: default, preset, line of the file, variable, `--set`."""

from alysd.config.difference import value_text
from alysd.config.load import LoadedConfig
from alysd.config.model import all_options


def show_origins(loaded: LoadedConfig) -> str:
    """Return one line per option, with its value and the origin of the value.

    Values are shown without secrets; long ones are cut.
    """
    rows: list[tuple[str, str]] = []
    for one in all_options():
        setting = loaded.settings.get(one.key)
        value = getattr(getattr(loaded.config, one.section), one.name)
        rows.append(
            (f"{one.key} = {value_text(one, value)}", "default" if setting is None else setting.source.words)
        )
    width = min(60, max(len(option) for option, _ in rows))
    return "".join(f"{option:<{width}}  # {origin}\n" for option, origin in rows)
