"""`alysd status`: its output and its exit status."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from alysd.cli import main
from alysd.clock_mode import MODE
from alysd.commands import actors, status
from alysd.commands.status import MAX_ANSWER_BYTES, fetch_report
from alysd.errors import RpcCode, UserError

REPORT: dict[str, Any] = {
    "chain": "alys-dev",
    "time": 1_700_000_000.0,
    "health": {"status": "healthy", "reasons": []},
    "counts": {"slots_missed": 2},
    "tree": {
        "name": "AlysSystem", "kind": "supervisor", "state": "Running", "health": "Healthy",
        "strategy": "OneForAll", "restarts": 0, "uptime": 100.0, "last_error": None, "last_error_at": None,
        "mailbox": None, "children": [],
    },
}  # fmt: skip

URL = "http://127.0.0.1:3000"


def answering(handler: Callable[[httpx.Request], httpx.Response]) -> Any:
    """Fetch from a node that answers so."""
    return fetch_report(URL + "/", httpx.MockTransport(handler))


def test_the_status_page_is_fetched() -> None:
    """Another page would be drawn."""
    asked: list[str] = []

    def node(request: httpx.Request) -> httpx.Response:
        asked.append(str(request.url))
        return httpx.Response(200, json=REPORT)

    assert answering(node) == REPORT
    assert asked == [f"{URL}/status"]


@pytest.mark.parametrize(
    ("method", "answer", "words"),
    [
        ("getheadblock", {"result": {"height": 7}}, "the JSON-RPC of an alysd node: use the node's api.operator"),
        ("getheadblock", {"error": {"code": RpcCode.INTERNAL_ERROR}}, "this is the JSON-RPC of an alysd node"),
        ("web3_clientVersion", {"result": "alysd/v1/x"}, "Ethereum RPC of an alysd node: .* or api.address"),
        ("web3_clientVersion", {"result": "Geth/v1/x"}, "this is not an alysd node"),
        ("getheadblock", {"result": 7}, "this is not an alysd node"),
    ],
)
def test_a_server_without_a_status_page_is_named_by_its_own_answers(
    method: str, answer: dict[str, Any], words: str
) -> None:
    """A node with an operator address, or its Ethereum RPC, would be called no node."""

    def node(request: httpx.Request) -> httpx.Response:
        if request.method == "GET":
            return httpx.Response(404)
        asked: dict[str, Any] = json.loads(request.content)
        unknown = {"error": {"code": -32601, "message": "the method does not exist/is not available"}}
        return httpx.Response(200, json={"id": asked["id"], **(answer if asked["method"] == method else unknown)})

    with pytest.raises(ValueError, match=words):
        answering(node)


def test_a_chain_on_demand_has_a_short_status(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """`alysd status` said that this is not an alysd node."""
    page: dict[str, Any] = {"status": "healthy", "mode": MODE, "reasons": [], "height": 7}

    def node(request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, json=page) if request.url.path == "/health/status" else httpx.Response(404)

    def fetched(_url: str) -> dict[str, Any]:
        return page

    assert answering(node) == page
    monkeypatch.setattr(status, "fetch_report", fetched)
    for time, words in (
        (1_795_406_400, "7 of 2026-11-23 04:00:00 UTC"),
        (10**30, "7 of an unknown time"),
    ):
        page["time"] = time
        assert main(["status", "--dev"]) == 0
        assert words in capsys.readouterr().out
    assert main(["status", "--dev", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["mode"] == MODE


@pytest.mark.parametrize(
    ("words", "url"),
    [
        ((), URL),
        (("--dev",), URL),
        (("--dev", "--set", "api.operator_address=127.0.0.1:9300"), "http://127.0.0.1:9300"),
        (("--dev", "--set", "api.address=0.0.0.0:1"), "http://127.0.0.1:1"),
        (("--dev", "--set", "api.address=[::]:1"), "http://[::1]:1"),
        (("--dev", "--url", "http://10.0.0.1:1"), "http://10.0.0.1:1"),
    ],
)
def test_the_address_is_that_of_the_configuration(
    words: tuple[str, ...], url: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """An operator would have to copy it."""
    asked: list[str] = []

    def fetched(url: str) -> dict[str, Any]:
        asked.append(url)
        return REPORT

    monkeypatch.setattr(status, "fetch_report", fetched)
    assert main(["status", *words]) == 0
    assert asked == [url]


def broken(folder: Path) -> str:
    """A file with a mistake, whose node has its data in `folder`."""
    path = folder / "alysd.toml"
    path.write_text(
        f"[chain]\nspec = 'none.toml'\n[storage]\npath = '{folder}'\n[api]\naddress = '127.0.0.1:3999'\n"
    )
    return str(path)


def test_a_node_whose_file_is_broken_is_asked_by_its_socket(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """An operator with a mistake in the file of the running node most needs its status."""
    asked: list[tuple[Path, object]] = []

    def ask(path: Path, request: object) -> dict[str, Any]:
        asked.append((path, request))
        return {"status": REPORT}

    monkeypatch.setattr(actors, "ask", ask)
    assert main(["status", "--config", broken(tmp_path)]) == 0
    found = capsys.readouterr()
    assert "alys-dev" in found.out
    assert "warning: the configuration is wrong; a node that runs has an earlier one in force" in found.err
    assert f"{tmp_path}/alysd.toml:2: chain.spec" in found.err, "the file is named"
    assert main(["status", "--socket", str(tmp_path / "control.sock")]) == 0
    assert asked == [(tmp_path / "control.sock", {"command": "show_status"})] * 2
    assert capsys.readouterr().err == ""


def test_a_node_whose_file_is_broken_is_asked_by_its_port_if_it_has_no_socket(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asked: list[str] = []

    def fetched(url: str) -> dict[str, Any]:
        asked.append(url)
        return REPORT

    monkeypatch.setattr(status, "fetch_report", fetched)
    assert main(["status", "--config", broken(tmp_path)]) == 0
    assert asked == ["http://127.0.0.1:3999"]
    assert "control.sock: there is no such socket" in capsys.readouterr().err


def test_a_node_whose_file_names_another_port_is_found_by_its_socket(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The file has changed, and the change needs a restart: the node seemed to be down."""

    def ask(path: Path, request: object) -> dict[str, Any]:
        if "other" in str(path):
            raise UserError("there is no such socket")
        return {"status": REPORT}

    def nobody(url: str) -> dict[str, Any]:
        raise ConnectionError(f"no node answers at {url}")

    monkeypatch.setattr(actors, "ask", ask)
    monkeypatch.setattr(status, "fetch_report", nobody)
    assert main(["status", "--dev", "--set", f"storage.path={tmp_path}"]) == 0
    assert f"no node answers at {URL}, but the node of {tmp_path}/control.sock answers" in capsys.readouterr().err
    assert main(["status", "--dev", "--set", f"storage.path={tmp_path}/other"]) == 3
    assert capsys.readouterr().err == f"alysd: no node answers at {URL}\n"

    def another(url: str) -> dict[str, Any]:
        raise ValueError("this is not an alysd node")

    monkeypatch.setattr(status, "fetch_report", another)
    assert main(["status", "--dev", "--set", f"storage.path={tmp_path}"]) == 0
    assert f"{URL}: this is not an alysd node, but the node of" in capsys.readouterr().err
    assert main(["status", "--dev", "--set", f"storage.path={tmp_path}/other"]) == 2
    assert capsys.readouterr().err == f"alysd: {URL}: this is not an alysd node\n"


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        ({"error": "malformed", "message": "a request is {…}"}, "the node runs an older version, which shows its"),
        ({"error": "not_now", "message": "the node is starting"}, "control.sock: the node is starting"),
    ],
)
def test_a_node_that_runs_but_shows_no_status_is_not_called_down(
    answer: dict[str, Any],
    words: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """A script would start a second node."""

    def ask(path: Path, request: object) -> dict[str, Any]:
        return answer

    def nobody(url: str) -> dict[str, Any]:
        raise ConnectionError(f"no node answers at {url}")

    def fetched(url: str) -> dict[str, Any]:
        return REPORT

    monkeypatch.setattr(actors, "ask", ask)
    monkeypatch.setattr(status, "fetch_report", nobody)
    for options in (["--socket", f"{tmp_path}/control.sock"], ["--dev", "--set", f"storage.path={tmp_path}"]):
        assert main(["status", *options]) == 1
        assert words in capsys.readouterr().err
    monkeypatch.setattr(status, "fetch_report", fetched)
    assert main(["status", "--config", broken(tmp_path)]) == 0, "the page is asked"
    assert words in capsys.readouterr().err


def test_a_file_that_hides_the_data_folder_has_the_page_asked_with_a_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The socket below the current directory is another node's."""

    def ask(path: Path, request: object) -> dict[str, Any]:
        raise AssertionError(path)

    def fetched(url: str) -> dict[str, Any]:
        return REPORT

    monkeypatch.setattr(actors, "ask", ask)
    monkeypatch.setattr(status, "fetch_report", fetched)
    path = tmp_path / "alysd.toml"
    path.write_text("[storage]\npath = /var/lib/x\n")
    assert main(["status", "--config", str(path)]) == 0
    assert f"storage.path cannot be read; asking {URL}" in capsys.readouterr().err


@pytest.mark.parametrize(
    "answer",
    [
        httpx.Response(404, json=REPORT),
        httpx.Response(200, text="<html>"),
        httpx.Response(200, json=[]),
        httpx.Response(200, json={"tree": 1}),
        httpx.Response(200, content=b"[" * 5_000),
        httpx.Response(200, content=b"x" * (MAX_ANSWER_BYTES + 1)),
    ],
)
def test_what_is_no_node_is_said_so(answer: httpx.Response) -> None:
    """Another program on the port would end in a stack trace, or fill the memory."""
    with pytest.raises(ValueError, match=r"not an alysd node|too long"):
        answering(lambda _request: answer)


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (httpx.ConnectError("refused"), "no node answers at"),
        (httpx.ReadError("reset"), "no node answers at"),
        (httpx.RemoteProtocolError("odd"), "no node answers at"),
        (httpx.ReadTimeout("slow"), "within 5 s"),
    ],
)
def test_nobody_there_is_told_in_words(error: Exception, words: str) -> None:
    """A stopped node would end in a stack trace."""

    def nobody(_request: httpx.Request) -> httpx.Response:
        raise error

    with pytest.raises(ConnectionError, match=words):
        answering(nobody)


@pytest.mark.parametrize("url", ["nonsense", "ftp://x", "http://[::1"])
def test_an_address_that_is_none_is_the_users_mistake(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Otherwise the command would say that the node is down."""
    assert main(["status", "--url", url]) == 2
    assert capsys.readouterr().err.startswith(f"alysd: --url {url}: must be a URL such as")


def test_a_node_that_is_down_is_one_line_and_3(capsys: pytest.CaptureFixture[str]) -> None:
    """A script could not tell down from unwell."""
    assert main(["status", "--url", "http://127.0.0.1:9"]) == 3  # the discard port: nobody listens there
    assert capsys.readouterr().err == "alysd: no node answers at http://127.0.0.1:9\n"


@pytest.mark.parametrize(("health", "code"), [("healthy", 0), ("degraded", 1), ("unhealthy", 1)])
def test_the_exit_code_tells_the_health(
    health: str, code: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A check in a script would always be green."""
    reasons: list[str] = []
    report = REPORT | {"health": {"status": health, "reasons": reasons}}

    def fetched(_url: str) -> dict[str, Any]:
        return report

    monkeypatch.setattr(status, "fetch_report", fetched)
    assert main(["status"]) == code
    assert health in capsys.readouterr().out
    assert main(["status", "--json"]) == code
    assert json.loads(capsys.readouterr().out) == report
