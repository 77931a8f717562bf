"""The HTTP and WebSocket server of both ports, on h11 and wsproto.

`limits` has every bound and deadline, `messages` requests and responses, `site` what a port serves and to whom.
`connection` serves one client, `websocket` one that has upgraded, `server` all clients of a port.
"""
