"""The JSON-RPC dispatcher: the forms of requests and answers, independent of the methods."""

import json
import threading
from typing import Any

import attrs
import pytest
import trio
import trio.testing

from alysd.api import jsonrpc
from alysd.api.jsonrpc import IN_PLACE, Dispatcher, InvalidParams, Method, Params, RpcError
from alysd.errors import Malformed, NotNow, Refused


class BlockMissing(NotNow):
    """A refusal with a code of its own."""


@attrs.define
class Methods:
    """A table of methods that note what they were called with."""

    called: list[tuple[Any, ...]] = attrs.field(factory=list[tuple[Any, ...]])

    async def echo(self, params: Params) -> Any:
        self.called.append(params.values)
        return list(params.values)

    async def refuse(self, params: Params) -> Any:
        raise BlockMissing("no such block")

    async def revert(self, params: Params) -> Any:
        raise RpcError(3, "execution reverted", "0x01")

    async def double(self, params: Params) -> int:
        return 2 * params.required(0, whole_number) + params.optional(1, whole_number, 0)

    async def wait(self, params: Params) -> None:
        await trio.sleep_forever()

    async def broken(self, params: Params) -> None:
        raise KeyError("a fault of this program")


def whole_number(value: Any) -> int:
    if not isinstance(value, int):
        raise Malformed("a whole number is wanted")
    return value


def dispatcher(methods: Methods, **limits: Any) -> Dispatcher:
    table = {
        "echo": Method(methods.echo, 3),
        "long": Method(methods.echo, 3, large=True),
        "refuse": Method(methods.refuse),
        "revert": Method(methods.revert),
        "double": Method(methods.double, 2),
        "wait": Method(methods.wait),
        "broken": Method(methods.broken),
    }
    return Dispatcher(table, {Refused: -32000, NotNow: -32606, BlockMissing: -32604}, **limits)


async def ask(request: Any, methods: Methods | None = None, **limits: int) -> Any:
    body = request if isinstance(request, bytes) else json.dumps(request).encode()
    answer = await dispatcher(methods or Methods(), **limits).answer(body)
    return None if answer is None else json.loads(answer)


def request(method: str, *params: Any, identity: Any = 1) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "id": identity, "method": method, "params": list(params)}


async def test_a_request_is_answered_with_its_id() -> None:
    assert await ask(request("echo", 1, "two", identity="seven")) == {
        "jsonrpc": "2.0",
        "id": "seven",
        "result": [1, "two"],
    }


async def test_a_large_answer_is_the_same_from_a_thread() -> None:
    assert (await ask(request("long", 1)))["result"] == [1]


async def test_only_a_long_text_of_a_large_method_goes_through_a_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    """A thread takes longer than the encoding, and sixteen clients of eth_call would wait for each other's."""
    in_threads: list[int] = []
    real = trio.to_thread.run_sync

    async def run_sync(work: Any, result: Any, **options: Any) -> Any:
        in_threads.append(len(str(result)))
        return await real(work, result, **options)

    async def text(params: Params) -> str:
        return "x" * params.values[0]

    async def nothing(_params: Params) -> list[str]:
        return []

    monkeypatch.setattr(trio.to_thread, "run_sync", run_sync)
    answered = Dispatcher({"text": Method(text, 1, large=True), "nothing": Method(nothing, large=True)}, {})
    for size in (IN_PLACE, IN_PLACE + 1):
        body = json.dumps(request("text", size)).encode()
        assert json.loads(await answered.answer(body) or b"")["result"] == "x" * size
    assert json.loads(await answered.answer(json.dumps(request("nothing")).encode()) or b"")["result"] == []
    assert in_threads == [IN_PLACE + 1]


async def test_version_1_has_both_fields_and_answers_without_an_id() -> None:
    """Mining software of Bitcoin's school would not find `error: null`, and leaves ids out."""
    assert await ask({"method": "echo", "params": [1], "id": 5}) == {"result": [1], "error": None, "id": 5}
    assert await ask({"method": "echo"}) == {"result": [], "error": None, "id": None}
    refused = await ask({"jsonrpc": "1.0", "method": "refuse", "id": 5})
    assert refused == {"result": None, "error": {"code": -32604, "message": "no such block"}, "id": 5}


async def test_a_notification_is_carried_out_and_not_answered() -> None:
    methods = Methods()
    assert await ask({"jsonrpc": "2.0", "method": "echo", "params": [1]}, methods) is None
    assert await ask({"jsonrpc": "2.0", "method": "refuse"}, methods) is None
    assert methods.called == [(1,)]


async def test_an_id_of_null_is_answered() -> None:
    assert await ask(request("echo", identity=None)) == {"jsonrpc": "2.0", "id": None, "result": []}


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"\xff\xfe", b'{"id": NaN}', b"[" * 100_000, b"1" * 5000, b"[" * 70_000],
    ids=["nothing", "cut", "not UTF-8", "NaN", "nested", "long number", "nested, in a thread"],
)
async def test_what_is_not_json_is_a_parse_error(body: bytes) -> None:
    answer = await ask(body)
    assert answer["error"]["code"] == -32700
    assert answer["id"] is None


@pytest.mark.parametrize(
    ("body", "identity"),
    [
        ({}, None),
        (7, None),
        ("echo", None),
        ([], None),
        ({"jsonrpc": "2.0", "id": 4}, 4),
        ({"jsonrpc": "3.0", "id": 4, "method": "echo"}, 4),
        ({"jsonrpc": "2.0", "id": 4, "method": 5}, 4),
        ({"jsonrpc": "2.0", "id": [4], "method": "echo"}, None),
        ({"jsonrpc": "2.0", "id": 4, "method": "echo", "params": {"named": 1}}, 4),
        ({"jsonrpc": "2.0", "id": 4, "method": "echo", "params": "text"}, 4),
    ],
)
async def test_what_is_not_a_request_is_refused_with_the_id_it_has(body: Any, identity: Any) -> None:
    answer = await ask(body)
    assert answer["error"]["code"] == -32600
    assert answer["id"] == identity


async def test_an_unknown_method_is_named() -> None:
    error = (await ask(request("nothing")))["error"]
    assert error == {"code": -32601, "message": "the method nothing does not exist/is not available"}


@pytest.mark.parametrize(
    ("params", "words"),
    [
        ((), "missing value for required argument 0"),
        (("x",), "params[0]: a whole number is wanted"),
        ((1, "x"), "params[1]: a whole number is wanted"),
        ((1, 2, 3), "too many arguments, want at most 2"),
    ],
)
async def test_wrong_parameters_are_refused_saying_which(params: tuple[Any, ...], words: str) -> None:
    assert (await ask(request("double", *params)))["error"] == {"code": -32602, "message": words}


async def test_an_absent_or_null_parameter_has_its_default() -> None:
    assert (await ask(request("double", 4)))["result"] == 8
    assert (await ask(request("double", 4, None)))["result"] == 8
    assert (await ask(request("double", 4, 1)))["result"] == 9


async def test_the_nearest_class_of_an_error_decides_its_code() -> None:
    assert (await ask(request("refuse")))["error"] == {"code": -32604, "message": "no such block"}


async def test_an_error_in_the_callers_terms_keeps_its_data() -> None:
    error = (await ask(request("revert")))["error"]
    assert error == {"code": 3, "message": "execution reverted", "data": "0x01"}


async def test_a_fault_of_this_program_is_raised_not_hidden() -> None:
    with pytest.raises(KeyError):
        await ask(request("broken"))


async def test_a_batch_is_answered_in_order_without_its_notifications() -> None:
    notification = {"jsonrpc": "2.0", "method": "echo"}
    batch = [request("echo", 1, identity=1), notification, 5, request("refuse", identity=2)]
    answers = await ask(batch)
    assert [answer["id"] for answer in answers] == [1, None, 2]
    assert [answer.get("error", {}).get("code") for answer in answers] == [None, -32600, -32604]


async def test_a_batch_pauses_before_each_item_and_says_how_long_its_answers_are() -> None:
    paused: list[int] = []

    async def pause(answered: int) -> None:
        paused.append(answered)

    one = {"jsonrpc": "2.0", "id": 1, "method": "echo"}
    answer = await dispatcher(Methods()).answer(json.dumps([one] * 3).encode(), pause)
    size = len(b'{"jsonrpc":"2.0","id":1,"result":[]}')
    assert (len(json.loads(answer or b"")), paused) == (3, [0, size, 2 * size])
    await dispatcher(Methods()).answer(json.dumps(one).encode(), pause)
    assert len(paused) == 3, "a single request does not pause"


async def test_a_batch_of_notifications_is_not_answered() -> None:
    assert await ask([{"jsonrpc": "2.0", "method": "echo"}] * 3) is None


async def test_a_batch_beyond_the_bound_is_refused_whole() -> None:
    """Otherwise one body of 5 MiB could contain 100,000 requests."""
    methods = Methods()
    assert (await ask([request("echo")] * jsonrpc.MAX_BATCH, methods))[-1]["result"] == []
    refused = await ask([request("echo")] * (jsonrpc.MAX_BATCH + 1), methods)
    assert refused["error"]["code"] == -32600
    assert len(methods.called) == jsonrpc.MAX_BATCH


async def test_a_batch_shares_one_bound_on_its_answers() -> None:
    requests = [request("echo", "x" * 100, identity=number) for number in range(3)]
    answers = await ask(requests, max_response=200)
    assert [answer.get("error", {}).get("code") for answer in answers] == [None, -32003, -32003]


async def test_an_answer_beyond_the_bound_is_an_error() -> None:
    refused = await ask(request("echo", "x" * 2000), max_response=1000)
    assert refused["error"] == {"code": -32003, "message": "response too large"}
    assert (await ask(request("echo", "x" * 500), max_response=1000))["result"] == ["x" * 500]


async def test_a_request_has_a_deadline(autojump_clock: trio.testing.MockClock) -> None:
    answer = await ask(request("wait"))
    assert answer["error"] == {"code": -32002, "message": "request timed out"}
    assert trio.current_time() < jsonrpc.DEADLINE_SECONDS + 1


async def test_a_batch_has_one_deadline(autojump_clock: trio.testing.MockClock) -> None:
    """A batch of a hundred calls, each within its time, would otherwise hold a connection for an hour."""
    answers = await ask([request("wait"), request("echo"), request("wait")])
    assert [answer["error"]["code"] for answer in (answers[0], answers[2])] == [-32002, -32002]
    assert trio.current_time() < jsonrpc.DEADLINE_SECONDS + 1


def even(value: Any) -> int:
    if not isinstance(value, int) or value % 2:
        raise Malformed("an even number is wanted")
    return value


def test_a_required_parameter_is_decoded() -> None:
    assert Params((4, 6)).required(1, even) == 6


def test_a_missing_parameter_is_named_by_its_position() -> None:
    with pytest.raises(InvalidParams, match=r"^missing value for required argument 1$"):
        Params((4,)).required(1, even)


def test_a_wrong_parameter_is_named_with_the_decoder_s_words() -> None:
    with pytest.raises(InvalidParams, match=r"^params\[0\]: an even number is wanted$"):
        Params((5,)).required(0, even)


@pytest.mark.parametrize("values", [(), (None,)])
def test_an_optional_parameter_may_be_absent_or_null(values: tuple[Any, ...]) -> None:
    assert Params(values).optional(0, even, "default") == "default"


def test_an_optional_parameter_that_is_there_is_checked() -> None:
    assert Params((2,)).optional(0, even, "default") == 2
    with pytest.raises(InvalidParams, match=r"params\[0\]"):
        Params((3,)).optional(0, even, "default")


async def test_a_long_list_is_encoded_in_pieces_to_the_same_text() -> None:
    """One call of the encoder held the GIL for all of it, 50 ms for 10,000 logs, and the event loop waited."""
    for length in (1, 63, 64, 65, 200):
        items = [{"place": place, "text": 'é"]'} for place in range(length)]

        async def listed(_params: Params, items: Any = items) -> Any:
            return items

        answered = Dispatcher({"listed": Method(listed, large=True)}, {})
        answer = await answered.answer(json.dumps(request("listed")).encode()) or b""
        assert answer == json.dumps({"jsonrpc": "2.0", "id": 1, "result": items}, separators=(",", ":")).encode()


async def test_texts_of_many_clients_are_parsed_two_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each holds the GIL for up to 0.1 s, and with 16 clients the event loop waited for all of them."""
    running, most, lock = 0, 0, threading.Lock()
    both = threading.Event()

    def parse(_body: bytes, _decoder: Any) -> Any:
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
            if running == 2:
                both.set()
        assert both.wait(20)
        with lock:
            running -= 1
        return request("echo", 1)

    monkeypatch.setattr(jsonrpc, "parse_json", parse)
    answered = dispatcher(Methods())
    async with trio.open_nursery() as nursery:
        for _ in range(6):
            nursery.start_soon(answered.answer, b" " * (IN_PLACE + 1))
    assert most == 2


LARGE = [["x" * (IN_PLACE + 1)], [[0] * (IN_PLACE // 2)], [{f"{n:x}": "0x01" * 8 for n in range(2_000)}]]


@pytest.mark.parametrize("params", LARGE)
async def test_large_parameters_are_decoded_in_a_thread(params: list[Any]) -> None:
    """The event loop stood for 0.2 s while it decoded an access list of 5 MB."""
    threads: list[int] = []

    async def decode(params: Params) -> int:
        return await params.decoded(lambda given: threads.append(threading.get_ident()) or len(given.values))

    answered = Dispatcher({"decode": Method(decode, 1)}, {})
    large, small = request("decode", *params), request("decode", "0x01")
    assert json.loads(await answered.answer(json.dumps(large).encode()) or b"")["result"] == 1
    await answered.answer(json.dumps([small, large, small]).encode())
    await answered.answer(json.dumps(small).encode())
    here = threading.get_ident()
    assert [thread == here for thread in threads] == [False, True, False, True, True]


@pytest.mark.parametrize("wrong", [{"method": [1]}, {"jsonrpc": {"a": 1}}, {"id": [1]}])
async def test_the_text_of_an_error_does_not_need_the_text_of_a_value(wrong: dict[str, Any]) -> None:
    """A list of 5 MB was written out for the 40 characters that an error shows of it: 0.3 s in the event loop."""
    (found,) = await ask([{"jsonrpc": "2.0", "id": 1, "method": "echo", **wrong}])
    assert found["error"]["code"] == -32600
    assert found["error"]["message"].endswith(("got an array", "got an object"))


async def test_parameters_are_bounded_in_number_with_the_nulls_at_their_end() -> None:
    assert (await ask(request("echo", *[None] * 64)))["result"] == []
    refused = await ask(request("echo", *[None] * 65))
    assert refused["error"] == {"code": -32602, "message": "too many arguments: 65, at most 64 are taken"}
