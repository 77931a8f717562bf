"""The layers of the configuration, and the errors in each of them."""

from pathlib import Path

import pytest

from alysd.config.addresses import HttpUrl, ListenAddress
from alysd.config.load import known_keys, load_config, node_places
from alysd.config.problems import InvalidConfig
from alysd.errors import ConfigError
from alysd.testing.config_files import RIGHT, folder_with, load, problems_of


def refusal(path: Path | None, *overrides: str, **environment: str) -> list[str]:
    """Every problem that loading finds."""
    with pytest.raises(ConfigError) as caught:
        load(path, *overrides, environment=environment)
    return list(problems_of(caught.value))


def test_defaults_hold_where_nothing_is_said(tmp_path: Path) -> None:
    """The short file in the documentation would not be enough."""
    config = load(folder_with(tmp_path))
    assert config.engine.mode == "embedded"
    assert config.api.address == ListenAddress("127.0.0.1", 3000)
    assert not config.mining.internal


def test_each_layer_wins_over_the_one_before(tmp_path: Path) -> None:
    """An operator's --set, or a container's environment, would be ignored."""
    path = folder_with(tmp_path, RIGHT + '[logging]\nlevel = "error"\n')
    assert load(path).logging.level == "error"
    environment = {"ALYS_LOGGING__LEVEL": "warning"}
    assert load(path, environment=environment).logging.level == "warning"
    assert load(path, "logging.level=debug", environment=environment).logging.level == "debug"
    assert load(path, "logging.level=debug", "logging.level=info").logging.level == "info"


def test_text_layers_reach_every_kind_of_option(tmp_path: Path) -> None:
    """Every option of the file can also be set on the command line and in the environment."""
    config = load(
        folder_with(tmp_path),
        "mining.internal=true",
        "mining.fee_recipient=0x2992504C5C8fe1995c84EA5e98aaB0A146bBd472",
        "api.operator_address=[::1]:9300",
        "engine.url = https://engine.example/rpc",
        "storage.path=/var/lib/alysd",
    )
    assert config.mining.internal
    assert config.mining.fee_recipient is not None
    assert config.mining.fee_recipient.hex() == "2992504c5c8fe1995c84ea5e98aab0a146bbd472"
    assert config.api.operator_address == ListenAddress("::1", 9300)
    assert config.engine.url == HttpUrl("https://engine.example/rpc")
    assert config.storage.path == Path("/var/lib/alysd")


def test_an_empty_environment_variable_unsets_an_option(tmp_path: Path) -> None:
    """A value in the file could not be taken back for one start."""
    path = folder_with(tmp_path, RIGHT + '[api]\noperator_address = "127.0.0.1:9300"\n')
    assert load(path).api.operator_address is not None
    assert load(path, environment={"ALYS_API__OPERATOR_ADDRESS": ""}).api.operator_address is None


def test_files_stand_beside_the_file_that_names_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`alysd run` would work from one folder only; and one named by hand means the folder one is in."""
    path = folder_with(tmp_path)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "other.key").write_text("x")
    monkeypatch.chdir(elsewhere)
    config = load(path, "chain.authority_key_file=other.key")
    assert config.chain.spec == tmp_path / "chain.toml"
    assert config.chain.authority_key_file == Path("other.key")


def test_an_error_names_file_line_key_value_and_what_is_allowed(tmp_path: Path) -> None:
    """A person would have to search."""
    path = folder_with(tmp_path, RIGHT + '\n[logging]\n# how much\nlevel = "loud"\n')
    assert refusal(path) == [
        f'{path}:7: logging.level = "loud": must be one of "debug", "info", "warning", "error"'
    ]


def test_errors_name_the_variable_or_the_option_of_the_command_line(tmp_path: Path) -> None:
    """The file would be blamed for what stands elsewhere."""
    path = folder_with(tmp_path)
    (variable,) = refusal(path, ALYS_MINING__INTERNAL="yes")
    assert variable == 'ALYS_MINING__INTERNAL: mining.internal = "yes": must be true or false'
    (option,) = refusal(path, "storage.path=")
    assert option == '--set storage.path: storage.path = "": must be a string that is not empty'


def test_all_problems_are_told_at_once(tmp_path: Path) -> None:
    """Otherwise the operator would have to start once per mistake."""
    found = refusal(folder_with(tmp_path), "logging.level=x", "api.address=y", "nonsense", "engine.mod=z")
    assert [text.partition(":")[0] for text in found] == [
        "--set nonsense",
        "--set engine.mod",
        "--set api.address",
        "--set logging.level",
    ]


def test_an_unknown_key_is_refused_with_the_nearest_known_one(tmp_path: Path) -> None:
    """A misspelt option would silently keep its default."""
    path = folder_with(tmp_path, RIGHT + '[api]\nadress = "127.0.0.1:1"\n[engin]\nurl = "http://x"\n')
    address, engine = refusal(path)
    assert address == f"{path}:5: api.adress is not a known key: did you mean api.address or api.max_requests?"
    assert engine.startswith(f"{path}:7: engin.url is not a known key: did you mean engine.url")
    (far,) = refusal(folder_with(tmp_path), "qqq=1")
    assert far == "--set qqq: qqq is not a known key: docs/configuration.md lists all keys"
    (variable,) = refusal(folder_with(tmp_path), ALYS_ENGIN__URL="x")
    assert variable.startswith("ALYS_ENGIN__URL: engin.url is not a known key: did you mean engine.url")


def test_a_value_where_a_section_belongs_is_said_so(tmp_path: Path) -> None:
    """`api = 3` would be called unknown although there is an api."""
    path = folder_with(tmp_path, "api = 3\n" + RIGHT)
    assert refusal(path) == [f"{path}:1: api is a section: write [api] and its keys below"]


def test_an_empty_section_is_no_mistake(tmp_path: Path) -> None:
    """A file with everything in a section commented out would be refused."""
    assert load(folder_with(tmp_path, RIGHT + "[mining]\n")).mining.internal is False


def test_what_is_required_and_missing_is_named(tmp_path: Path) -> None:
    """A node without a chain would fail somewhere later."""
    path = folder_with(tmp_path, "[storage]\npath = 'x'\n")
    assert refusal(path) == [f"{path}: chain.spec is missing: it has no default and must be set"]
    assert refusal(None)[0].startswith("configuration (no --config given): chain.spec is missing")


def test_a_node_without_authority_key_is_a_follower(tmp_path: Path) -> None:
    """A full node would have to invent a key."""
    (tmp_path / "none.toml").write_text("")
    path = folder_with(tmp_path, "[chain]\nspec = 'chain.toml'\n")
    assert load(path).chain.authority_key_file is None


def test_variables_of_others_are_left_alone(tmp_path: Path) -> None:
    """Variables of other programs, such as PATH or ALYSD_…, must not stop the node."""
    environment = {"PATH": "/bin", "ALYSD_GETH": "/geth", "alys_x": "1"}
    assert load(folder_with(tmp_path), environment=environment).logging.level == "info"


KUBERNETES = {
    "ALYS_PORT": "tcp://10.0.0.7:3000",
    "ALYS_PORT_3000_TCP": "tcp://10.0.0.7:3000",
    "ALYS_PORT_3000_TCP_ADDR": "10.0.0.7",
    "ALYS_PORT_3000_TCP_PORT": "3000",
    "ALYS_PORT_3000_TCP_PROTO": "tcp",
    "ALYS_SERVICE_HOST": "10.0.0.7",
    "ALYS_SERVICE_PORT": "3000",
    "ALYS_SERVICE_PORT_JSON_RPC": "3000",
    "ALYS_SERVICE_PORT_JSON__RPC": "3000",
    "ALYS_ENGINE_SERVICE_HOST": "10.0.0.8",
    "ALYS_STORAGE_PORT": "tcp://10.0.0.9:1",
}
"""The variables that each container gets for Services named alys, alys-engine and alys-storage."""


def test_a_kubernetes_service_named_alys_changes_nothing(tmp_path: Path) -> None:
    """The node would not start in the namespace that has its own Service."""
    path = folder_with(tmp_path)
    environment = {**KUBERNETES, "ALYS_LOGGING__LEVEL": "debug"}
    assert load(path, environment=environment) == load(path, environment={"ALYS_LOGGING__LEVEL": "debug"})


def test_cross_checks_run_on_the_merged_result(tmp_path: Path) -> None:
    """Each layer may be valid while the merged configuration is not."""
    (text,) = refusal(folder_with(tmp_path), "mining.internal=true")
    assert text.startswith("--set mining.internal: mining.internal = true needs mining.fee_recipient")


def test_every_known_key_has_a_section_and_a_name() -> None:
    """The list that suggestions come from would not fit the sections."""
    assert "engine.jwt_secret_file" in known_keys()
    assert all(key.count(".") == 1 for key in known_keys())


def test_a_missing_file_is_an_error_of_its_own(tmp_path: Path) -> None:
    """The options would be called missing instead of the file."""
    with pytest.raises(ConfigError, match="there is no such file") as caught:
        load_config(tmp_path / "no.toml", environment={})
    assert not isinstance(caught.value, InvalidConfig)


@pytest.mark.parametrize(
    ("text", "folder"),
    [
        ("[storage]\npath = /var/lib/x\n", None),
        ("[storage\npath = '/var/lib/x'\n", None),
        ("[chain]\nspec = 'x'\n[storage\npath = '/var/lib/x'\n", None),
        ("storage = { path = '/var/lib/x', oops }\n", None),
        ("[storage]\npath = 5\n", None),
        ("[storage]\npth = '/var/lib/x'\n", None),
        ("[storge]\npath = '/var/lib/x'\n", None),
        ("[[storage]]\npath = '/var/lib/x'\n", None),
        ("[storage]\npath = 'a'\npath = 'b'\n", None),
        ("[storage]\npath = 'a'\n[engine\npath = 'b'\n", None),
        ("[chain]\nspec = x\n", None),
        ("[storage]\npath = '/var/lib/x'\n[chain]\nspec = x\n", "/var/lib/x"),
        ("[storage]\npath = '/var/lib/x'\nother = 1\n", "/var/lib/x"),
        ("[chain]\nspec = 5\n", "data"),
        ("", "data"),
    ],
)
def test_the_default_folder_is_that_of_a_node_only_if_nothing_hides_another(
    text: str, folder: str | None, tmp_path: Path
) -> None:
    """`alysd actors suspend` went to whatever node ran below the current directory."""
    path = tmp_path / "alysd.toml"
    path.write_text(text)
    places = node_places(path, environment={})
    assert places.problem is not None
    assert (places.storage and str(places.storage.path)) == folder
    named = node_places(path, environment={}, overrides=["storage.path=here"])
    assert named.storage is not None
    assert named.storage.path == Path("here")


def test_the_folder_of_a_missing_file_is_unknown(tmp_path: Path) -> None:
    assert node_places(tmp_path / "none.toml", environment={}).storage is None
    assert node_places(None, environment={}, overrides=["storage.path="]).storage is None
    assert node_places(None, environment={"ALYS_STORAGE__PTH": "x"}).storage is None


@pytest.mark.parametrize("override", ["storage.path", "storage.pth=x"])
def test_a_mistake_in_the_command_itself_is_refused(override: str) -> None:
    with pytest.raises(InvalidConfig, match=r"--set storage\.p"):
        node_places(None, environment={}, overrides=[override])
