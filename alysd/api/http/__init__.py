"""The HTTP and WebSocket server of both ports, on h11 and wsproto.

`limits` has all bounds and deadlines. `messages` has requests and responses. `site` says what a port serves, and
to whom. `connection` serves one client, `websocket` a client that has upgraded its connection, `server` all
clients of a port.
"""
