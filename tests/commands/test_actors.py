"""`alysd actors`: its requests, its output and its exit status."""

import json
import socket
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from alysd.cli import main
from alysd.commands.actors import ask
from alysd.errors import UserError
from alysd.testing.config_files import CONF

CHILDREN = [
    {"name": "engine", "kind": "actor", "state": "Suspended", "health": "Healthy", "restarts": 1, "waiting": 12},
    {"name": "finality", "kind": "task", "state": "Running", "health": "Unknown", "restarts": 0, "waiting": None},
]  # fmt: skip


@contextmanager
def node(folder: Path, answer: bytes | None) -> Generator[list[Any]]:
    """A node that answers the first request so; None: it takes it and never answers. Gives the requests."""
    requests: list[Any] = []
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listening:
        listening.bind(str(folder / "control.sock"))
        listening.listen()

        def serve() -> None:
            connection = listening.accept()[0]
            with connection:
                requests.append(json.loads(connection.recv(65536)))
                if answer is None:
                    connection.recv(1)
                else:
                    connection.sendall(answer)

        thread = Thread(target=serve)
        thread.start()
        yield requests
        thread.join()


def command(folder: Path, *words: str) -> int:
    """`alysd actors …` for the node of this folder."""
    return main(["actors", *words, "--config", str(CONF / "dev.toml"), "--set", f"storage.path={folder}"])


@pytest.mark.parametrize(
    ("action", "critical", "text"),
    [
        ("restart", True, "engine was stopped and is starting again\n"),
        ("resume", True, "engine handles messages again\n"),
        (
            "suspend",
            False,
            "engine handles no messages after its current one; `alysd actors resume` resumes it\n",
        ),
        (
            "suspend",
            True,
            (
                "engine handles no messages after its current one; `alysd actors resume` resumes it\n"
                "no blocks are made while it is suspended\n"
            ),
        ),
    ],
)
def test_what_was_done_is_said(
    action: str, critical: bool, text: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with node(tmp_path, json.dumps({"name": "engine", "critical": critical}).encode() + b"\n") as requests:
        assert command(tmp_path, action, "engine") == 0
    assert requests == [{"command": action, "name": "engine"}]
    assert capsys.readouterr().out == text


def test_the_list_is_a_table(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with node(tmp_path, json.dumps({"children": CHILDREN}).encode() + b"\n") as requests:
        assert command(tmp_path, "list") == 0
    assert requests == [{"command": "list"}]
    assert capsys.readouterr().out == (
        "NAME      KIND   STATE      HEALTH   RESTARTS  WAITING\n"
        "engine    actor  suspended  healthy  1         12\n"
        "finality  task   running    unknown  0\n"
    )


def test_a_refusal_is_a_sentence_and_2(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with node(tmp_path, b'{"error": "unknown_child", "message": "there is no child named x"}\n'):
        assert command(tmp_path, "restart", "x") == 2
    assert capsys.readouterr().err == "alysd: there is no child named x\n"


@pytest.mark.parametrize("left", [False, True])
def test_a_node_that_is_not_running_is_a_sentence_and_2(
    left: bool, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A killed node may have left its socket. Without a socket, a node may run whose socket was removed."""
    if left:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listening:
            listening.bind(str(tmp_path / "control.sock"))
    assert command(tmp_path, "list") == 2
    said = capsys.readouterr().err
    if left:
        assert said.startswith(f"alysd: no node is running on the data folder {tmp_path}; start it first. If it ")
    else:
        assert said.startswith(f"alysd: {tmp_path}/control.sock: there is no such socket: no node is running")
        assert "or its control socket was removed. If a node runs on another folder, name its socket" in said


@pytest.mark.parametrize("answer", [b"", b"nonsense\n", b"[]\n", b"[" * 100_000])
def test_an_answer_that_is_none_is_a_sentence(
    answer: bytes, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with node(tmp_path, answer):
        assert command(tmp_path, "list") == 2
    assert capsys.readouterr().err.startswith("alysd: the node closed the connection without a valid answer")


def test_a_node_that_does_not_answer_is_waited_for_a_bounded_time(
    tmp_path: Path,
) -> None:
    with node(tmp_path, None), pytest.raises(UserError, match=r"the node has not answered within 0\.1 s"):
        ask(tmp_path / "control.sock", {"command": "list"}, seconds=0.1)


def test_a_running_node_is_reached_although_its_file_is_wrong(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The commands that help an operator were the first to fail after a mistake in the file."""
    file = tmp_path / "alysd.toml"
    file.write_text(f"[chain]\nspec = 5\n[storage]\npath = '{tmp_path}'\n[api\naddress = 1\n")
    with node(tmp_path, json.dumps({"name": "engine", "critical": False}).encode() + b"\n"):
        assert main(["actors", "resume", "engine", "--config", str(file)]) == 0
    assert f"{file}: not valid TOML: " in capsys.readouterr().err
    with node_in(tmp_path / "other", json.dumps({"children": CHILDREN}).encode() + b"\n") as path:
        assert main(["actors", "list", "--config", str(file), "--socket", str(path)]) == 0
    assert capsys.readouterr().err == "", "the socket alone names the node"


def test_a_file_that_hides_the_data_folder_stops_the_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It went to the node below the current directory, which may be another one."""
    monkeypatch.chdir(tmp_path)
    file = tmp_path / "alysd.toml"
    file.write_text("[storage]\npath = /var/lib/x\n")
    with node_in(tmp_path / "data", json.dumps({"children": CHILDREN}).encode() + b"\n") as path:
        for words in (["actors", "suspend", "engine"], ["clock", "accept"], ["config", "schedule", "--cancel"]):
            assert main([*words, "--config", str(file)]) == 2
            error = capsys.readouterr().err
            assert f"{file}: storage.path cannot be read: " in error
            assert "name the socket with --socket" in error
            assert f"{file}: not valid TOML: Invalid value (at line 2" in error
        assert main(["actors", "list", "--config", str(file), "--socket", str(path)]) == 0


@contextmanager
def node_in(folder: Path, answer: bytes) -> Generator[Path]:
    """A node with its data in another folder."""
    folder.mkdir()
    with node(folder, answer):
        yield folder / "control.sock"


def test_a_file_that_is_no_socket_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    loop = tmp_path / "control.sock"
    loop.symlink_to(loop)
    assert command(tmp_path, "list") == 2
    assert capsys.readouterr().err.startswith(f"alysd: {loop}: ")


def test_a_folder_whose_path_is_too_long_for_a_socket_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The node would start without the socket, or end with an error of the system."""
    assert command(tmp_path / ("x" * 120), "list") == 2
    error = capsys.readouterr().err
    assert "but at most 107 are allowed: choose a shorter path" in error
    assert "--set storage.path" in error
