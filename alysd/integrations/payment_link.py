"""Frames between a node and its signer: over a Unix socket, or over TCP with certificates of both sides."""

import ssl
from pathlib import Path

import attrs
import trio

from alysd.config.key_file import exposed
from alysd.config.regular_file import read_regular
from alysd.config.toml_file import MAX_FILE_BYTES
from alysd.errors import ConfigError, Malformed
from alysd.wire.signer_messages import LENGTH_BYTES

Stream = trio.abc.Stream

FRAME_SECONDS = 30.0
"""Deadline for a frame of up to some MB to arrive or to be sent, once it has begun."""

HANDSHAKE_SECONDS = 10.0
"""Deadline for the TLS handshake."""

_CHUNK_BYTES = 2**16


class Slow(Exception):
    """The other side has not sent or taken a frame in time."""


@attrs.frozen
class TlsFiles:
    """The certificate of this side with its key, and the authorities that must have issued the other side's."""

    certificate: Path
    key: Path
    authority: Path

    def context(self, purpose: ssl.Purpose) -> ssl.SSLContext:
        """The context of a server (`CLIENT_AUTH`) or client (`SERVER_AUTH`): TLS 1.3 with both certificates.

        Raises `ConfigError` for files that cannot be used.
        """
        server = purpose is ssl.Purpose.CLIENT_AUTH
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER if server else ssl.PROTOCOL_TLS_CLIENT)
        context.minimum_version = ssl.TLSVersion.TLSv1_3
        context.verify_mode = ssl.CERT_REQUIRED
        if server:
            context.num_tickets = 0  # each connection shows its certificates
        for file in (self.certificate, self.key, self.authority):
            _check_readable(file)
        try:
            if exposed(self.key.stat()):
                raise ConfigError(f"{self.key}: the key is accessible to other users: chmod 600 {self.key}")
            context.load_cert_chain(self.certificate, self.key, password=_no_password)
        except OSError as error:
            reason = error.reason if isinstance(error, ssl.SSLError) else error.strerror
            raise ConfigError(
                f"{self.certificate} and {self.key} are not a certificate and its key in PEM form: {reason}"
            ) from None
        try:
            context.load_verify_locations(self.authority)
        except OSError as error:
            reason = error.reason if isinstance(error, ssl.SSLError) else error.strerror
            raise ConfigError(f"{self.authority}: not a certificate in PEM form: {reason}") from None
        return context


def _check_readable(file: Path) -> None:
    """Raise `ConfigError` unless OpenSSL can read a file without waiting for another program."""
    try:
        read_regular(file, MAX_FILE_BYTES)
    except OSError as error:
        raise ConfigError(f"{file}: the certificate or its key cannot be read: {error.strerror}") from None


def _no_password() -> str:
    """Without this, OpenSSL would ask for the password of an encrypted key on the terminal."""
    return ""


async def send_frame(stream: Stream, frame: bytes) -> None:
    """Send a frame. Raises `Slow`, or trio's error for a connection that is lost."""
    with trio.move_on_after(FRAME_SECONDS) as scope:
        await stream.send_all(frame)
    if scope.cancelled_caught:
        raise Slow(f"the other side did not read a frame within {FRAME_SECONDS:g} s")


async def receive_frame(stream: Stream, most: int, begin_seconds: float) -> bytes | None:
    """Receive a frame of at most `most` bytes, without its length; None if the connection was closed before.

    A frame must begin within `begin_seconds`. Raises `Slow`, `Malformed`, or trio's error for a lost connection.
    """
    data = bytearray()
    with trio.move_on_after(begin_seconds) as scope:
        data += await stream.receive_some(_CHUNK_BYTES)
        if not data:
            return None
    if scope.cancelled_caught:
        raise Slow(f"nothing has arrived within {begin_seconds:g} s")
    with trio.move_on_after(FRAME_SECONDS):
        while True:
            length = int.from_bytes(data[:LENGTH_BYTES], "little") if len(data) >= LENGTH_BYTES else None
            if length is not None and length > most:
                raise Malformed(f"a frame has at most {most} bytes, found {length}")
            if length is not None and len(data) >= LENGTH_BYTES + length:
                break
            more = await stream.receive_some(_CHUNK_BYTES)
            if not more:
                raise Malformed(f"the connection was closed after {len(data)} bytes of a frame")
            data += more
        if len(data) > LENGTH_BYTES + length:
            raise Malformed("the other side has sent more bytes before it got the answer to its frame")
        return bytes(data[LENGTH_BYTES:])
    raise Slow(f"a frame was not complete within {FRAME_SECONDS:g} s")
