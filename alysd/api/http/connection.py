"""The connection of one client. One task reads, runs and answers its requests, one after the other."""

import attrs
import h11
import trio

from alysd.api.http.connection_places import Phase, Place
from alysd.api.http.messages import HttpRefused, Request, Response, accepts_gzip, compressed, encode, json_response
from alysd.api.http.site import Route, Site, SocketHandler
from alysd.api.http.websocket import TRY_AGAIN_LATER, WebSocket, accepting
from alysd.errors import Refused, RpcCode
from alysd.nurseries import isolated

READ = 16 * 1024
"""The maximum number of bytes received at once.

A request's head may exceed `ServerLimits.head` by at most this.
"""

EVENTS_PER_TURN = 64
"""Other tasks get a turn after this many chunks of a body, which take about one millisecond."""

JOINED = 64 * 1024
"""The maximum size, in bytes, of a body that is sent together with its head. Larger bodies are not copied."""

_ERROR = {"code": RpcCode.INTERNAL_ERROR, "message": "internal error; the node's log says more"}
INTERNAL_ERROR = json_response({"jsonrpc": "2.0", "id": None, "error": _ERROR}, 500)
"""The response after an error in this program, in the form that RPC clients expect."""


@attrs.frozen
class _Asked:
    """A request without its body, and the route that answers it.

    `keep` says whether another request may follow.
    """

    request: Request
    answer: Route | SocketHandler
    keep: bool


class Connection:
    """The connection of one client over `stream`. `place` counts towards the port's limits."""

    def __init__(self, stream: trio.abc.HalfCloseableStream, place: Place, site: Site) -> None:
        self._stream = stream
        self._place = place
        self._site = site
        self._limits = place.port.limits
        self._rest = b""
        self._known: tuple[bytes, _Asked] | None = None  # the previous head
        self._socket: WebSocket | None = None

    async def run(self) -> None:
        """Serve until either side ends the connection. Any error raised is an error in this program."""
        try:
            with self._place.scope as scope:
                await self._serve()
            if scope.cancelled_caught:
                await self._take_leave()
        except* (trio.BrokenResourceError, trio.ClosedResourceError):
            pass  # the client has closed the connection or does not read
        finally:
            self._place.leave()
            await trio.aclose_forcefully(self._stream)

    async def _serve(self) -> None:
        try:
            keep = True
            while keep:
                asked = await self._receive()
                if not isinstance(asked.answer, Route):
                    return await self._upgrade(asked.request, asked.answer)
                keep = await self._answer(asked.request, asked.answer, keep=asked.keep)
        except HttpRefused as refused:
            await self._refuse(refused)

    async def _take_leave(self) -> None:
        """Tell the client why the server ends the connection. This takes at most `ServerLimits.linger`.

        The reason is a deadline that has passed, too many connections, or the stop of the node. A client that is
        receiving a response is not told.
        """
        if self._place.phase is Phase.SENDING:
            self._place.port.slow()
        elif self._socket is not None:
            await self._socket.close(TRY_AGAIN_LATER)
        elif self._place.phase in (Phase.READING, Phase.PAUSED):
            if self._place.given_up or self._place.port.closing.is_set():
                await self._refuse(HttpRefused(503, "too many connections, or the node is stopping; try again"))
            else:
                words = f"the request was not complete within {self._limits.request:g} s"
                await self._refuse(HttpRefused(408, words))

    # Receiving

    async def _receive(self) -> _Asked:
        """Receive a request. Raises `HttpRefused`, and the errors of `_more`.

        h11 parses heads and chunked bodies. A body with a Content-Length needs no parser. A head with the same
        bytes as the connection's previous one needs none either; most clients repeat their head.
        """
        self._place.rest(pipelined=bool(self._rest))
        data = await self._beginning()
        if self._known is not None and data.startswith(self._known[0]):
            asked = self._known[1]
            body = await self._exactly(data[len(self._known[0]) :], asked.request)
        else:
            parser = h11.Connection(h11.SERVER, max_incomplete_event_size=self._limits.head)
            asked = await self._head(parser, data)
            begun = parser.trailing_data[0]
            if parser.they_are_waiting_for_100_continue and not begun:
                await self._stream.send_all(b"HTTP/1.1 100 Continue\r\n\r\n")
            if b"transfer-encoding" in asked.request.headers:
                body = await self._chunks(parser)
            else:
                body = await self._exactly(begun, asked.request)
        head = asked.request
        complete = Request(head.method, head.path, head.headers, body, self._place.pause)
        return _Asked(complete, asked.answer, asked.keep)

    async def _beginning(self) -> bytes:
        """Receive the first bytes of a request, and wait for its turn."""
        data, self._rest = self._rest.lstrip(b"\r\n"), b""
        while not data:
            data = (await self._more()).lstrip(b"\r\n")  # empty lines may precede a request (RFC 9112, 2.2)
        self._place.read()
        await self._place.port.turn()
        return data

    async def _more(self) -> bytes:
        """Receive at least one byte. Raises `trio.BrokenResourceError` when the client has closed."""
        data = await self._stream.receive_some(READ)
        if not data:
            raise trio.BrokenResourceError("the client has closed the connection")
        return bytes(data)

    async def _head(self, parser: h11.Connection, data: bytes) -> _Asked:
        """Receive the rest of a head that begins with `data`, and judge it."""
        received = data
        parser.receive_data(data)
        while not isinstance(event := _next_event(parser), h11.Request):
            data = await self._more()
            received += data
            parser.receive_data(data)
        asked = self._judge(event)
        ordinary = not asked.request.headers.keys() & {b"expect", b"transfer-encoding"}
        length = len(received) - len(parser.trailing_data[0])
        self._known = (received[:length], asked) if ordinary else None
        return asked

    async def _exactly(self, begun: bytes, request: Request) -> bytes:
        """Receive a body with a Content-Length. `begun`, its beginning, has already been received."""
        length = int(request.headers.get(b"content-length", b"0"))
        if len(begun) >= length:
            self._rest = begun[length:]
            return begun[:length]
        body = bytearray(begun)
        self._place.grow(len(begun))
        while len(body) < length:
            data = await self._more()
            self._place.grow(len(data))
            body += data
        self._rest = bytes(body[length:])
        return bytes(body[:length])

    async def _chunks(self, parser: h11.Connection) -> bytes:
        """Receive a chunked body."""
        body, events = bytearray(), 0
        while not isinstance(event := _next_event(parser), h11.EndOfMessage):
            if event is h11.NEED_DATA:
                parser.receive_data(await self._more())
            elif isinstance(event, h11.Data):
                events += 1
                body += event.data
                self._place.grow(len(event.data))
                if len(body) > self._limits.body:
                    raise self._too_large()
                if events > self._limits.pieces:
                    raise HttpRefused(413, f"the request's body has more than {self._limits.pieces} chunks")
                if not events % EVENTS_PER_TURN:
                    await trio.lowlevel.checkpoint()
        self._rest = parser.trailing_data[0]
        return bytes(body)

    def _judge(self, head: h11.Request) -> _Asked:
        """Find the route for a request, before its body is received. Raises `HttpRefused`."""
        headers: dict[bytes, bytes] = {}
        for name, value in head.headers:
            headers[name] = headers[name] + b", " + value if name in headers else value
        if not head.http_version.startswith(b"1."):
            raise HttpRefused(505, "only HTTP/1.0 and HTTP/1.1 are served")
        if len(head.headers) > self._limits.headers:
            raise HttpRefused(431, f"the request has more than {self._limits.headers} headers")
        if b"transfer-encoding" in headers and b"content-length" in headers:
            raise HttpRefused(400, "a request must not have both Transfer-Encoding and Content-Length")
        encoding = headers.get(b"content-encoding", b"identity")
        if encoding != b"identity":
            shown = encoding[:20].decode("ascii", "backslashreplace")
            raise HttpRefused(415, f"the request has the Content-Encoding {shown}: send its body uncompressed")
        method, target = head.method.decode("ascii"), head.target.decode("ascii")
        host, path = headers.get(b"host"), target.partition("?")[0]
        if path.lower().startswith("http://"):
            authority, slash, rest = path[7:].partition("/")
            host, path = authority.encode(), slash + rest or "/"
        self._site.check_host(host)
        self._site.check_origin(headers.get(b"origin"), host)
        if int(headers.get(b"content-length", b"0")) > self._limits.body:
            raise self._too_large()
        answer = self._site.socket(path, headers) or self._site.find(method, path, headers)
        last = b"close" in headers.get(b"connection", b"").lower() or head.http_version == b"1.0"
        return _Asked(Request(method, path, headers), answer, keep=not last)

    def _too_large(self) -> HttpRefused:
        return HttpRefused(413, f"request body too large: at most {self._limits.body} bytes are accepted")

    # Answering

    async def _answer(self, request: Request, route: Route, *, keep: bool) -> bool:
        """Run a request and send its response. Returns whether another request may follow."""
        await trio.lowlevel.checkpoint_if_cancelled()  # do not start a request that could not be answered
        if self._place.pipelined and not route.operator:
            await self._place.run_when_free()
        else:
            self._place.run(operator=route.operator)
        self._place.port.counts.requests += 1
        response = await isolated(self._failed, route.call, request)
        if len(response.body) >= self._limits.gzip and accepts_gzip(request.headers.get(b"accept-encoding", b"")):
            if len(response.body) <= self._limits.in_place:
                response = compressed(response)
            else:
                response = await trio.to_thread.run_sync(compressed, response)
        if self._site.any_origin and b"origin" in request.headers:
            headers = {**response.headers, "access-control-allow-origin": "*"}
            response = attrs.evolve(response, headers=headers)
        keep = keep and not self._place.port.closing.is_set()
        head, body = encode(response, head_only=request.method == "HEAD", close=not keep)
        self._place.send(len(body))
        if len(body) <= JOINED:
            await self._stream.send_all(head + body)
        else:
            await self._stream.send_all(head)
            await self._stream.send_all(body)
        return keep

    def _failed(self, error: Exception) -> Response:
        """The response to a request whose handler raised `error`, such as `NotNow` while the node is starting."""
        if isinstance(error, Refused):
            return Response.text(str(error), 503)
        self._place.port.failed(error)
        return INTERNAL_ERROR

    async def _refuse(self, refused: HttpRefused) -> None:
        """Send a refusal and end the connection. A client that is still sending also gets the refusal."""
        self._place.rest()
        self._place.port.refused(refused)
        head, body = encode(Response.text(str(refused), refused.status, refused.headers), close=True)
        with trio.move_on_after(self._limits.linger):
            await self._stream.send_all(head + body)
            await self._stream.send_eof()
            while await self._stream.receive_some(READ):
                pass

    async def _upgrade(self, request: Request, serve: SocketHandler) -> None:
        """Answer the handshake, and serve the connection as a WebSocket until it ends."""
        handshake = accepting(request.headers)
        await trio.lowlevel.checkpoint_if_cancelled()
        self._place.run(operator=False)
        self._place.send(0)
        await self._stream.send_all(handshake)
        self._place.websocket = True
        self._place.rest()
        self._socket = WebSocket(self._stream, self._rest, self._place)
        await serve(self._socket)


def _next_event(parser: h11.Connection) -> object:
    """The next event of a request. Raises `HttpRefused` for bytes that are not HTTP."""
    try:
        return parser.next_event()
    except h11.RemoteProtocolError as error:
        raise HttpRefused(error.error_status_hint, f"this is not HTTP/1.1: {str(error)[:100]}") from error
