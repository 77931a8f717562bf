"""`alysd signer` as a process: over a Unix socket and over TLS, with wrong certificates, garbage, and kill -9."""

import datetime
import ipaddress
import ssl
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import attrs
import pytest
import trio
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from alysd.cli import main
from alysd.config.addresses import SignerAddress
from alysd.config.chain_spec import load_chain_spec
from alysd.config.key_file import read_key_file
from alysd.errors import ConfigError, NotFollowed, PaymentForbidden, SignerUnavailable
from alysd.integrations import payment_remote
from alysd.integrations.new_key_file import write_key_file
from alysd.integrations.payment_link import TlsFiles
from alysd.integrations.payment_remote import RemoteSigner
from alysd.integrations.payment_server import MAX_CONNECTIONS
from alysd.peg.versions import payment_transaction
from alysd.testing.chain import bitcoin_secret, member_keys
from alysd.testing.peg import peg_in
from alysd.testing.processes import ComponentFailed, free_ports
from alysd.types.hashes import BitcoinHash, XOnlyKey
from alysd.types.peg import OutPoint, Payment, PaymentInput, PegContents, PegOutProposal, TransactionOutput
from alysd.types.units import Sat
from alysd.wire.bitcoin_transaction import make_transaction
from alysd.wire.signer_messages import SendViews, most_frame_bytes
from tests.integration.signer_processes import SignerProcess, signer_file, signer_process
from tests.peg.final_chain import FinalChain, ProvedRange, changed

DAY = datetime.timedelta(days=1)
COIN = 500_000
ANY = Payment((), (), Sat(0), 0, Sat(0), ())
"""The payment that a node names is not read: the signer knows it from the blocks."""


@attrs.frozen
class Chain:
    """The files of a development chain with a peg, and its blocks."""

    spec: Path
    key: Path
    blocks: FinalChain
    public: XOnlyKey

    @classmethod
    def make(cls, folder: Path) -> "Chain":
        files = folder / "files"
        assert main(["init", str(files), "--dev", "--peg"]) == 0
        path, key = files / "chains" / "dev.toml", files / "bitcoin.key"
        spec = load_chain_spec(path)
        authority = read_key_file(files / "dev-authority.key", known_to_all=True).secret
        member = member_keys(authority, bitcoin_secret(0), spec.chain_id)
        text = path.read_text().replace(spec.federation_bitcoin_keys[0].hex(), member.bitcoin_key.hex())
        path.write_text(text.replace(spec.federation_bitcoin_proofs[0].hex(), member.bitcoin_proof.hex()))
        write_key_file(key, "bitcoin", bitcoin_secret(0), member.bitcoin_key.hex())
        blocks = FinalChain.of(load_chain_spec(path))
        blocks.secrets = (authority,)
        return cls(path, key, blocks, member.bitcoin_key)

    def deposits(self, count: int) -> ProvedRange:
        """A final block with deposits."""
        return self.blocks.final(
            PegContents(peg_ins=tuple(peg_in(f"deposit {place}", COIN) for place in range(count)))
        )

    def payment(self, place: int) -> tuple[BitcoinHash, ProvedRange]:
        """A payment of a deposit in a final block."""
        spent = PaymentInput(OutPoint(peg_in(f"deposit {place}", 1).txid, 0), Sat(COIN), 0)
        payee = TransactionOutput(Sat(COIN - 2_000), b"\x00\x14" + place.to_bytes(20, "big"))
        made = payment_transaction([spent], [payee], Sat(0), self.blocks.spendings[0], make_transaction)
        proposal = PegOutProposal(made, Sat(0), None)
        return made.txid, self.blocks.final(PegContents(proposal=proposal))

    def remote(self, address: SignerAddress, tls: TlsFiles | None = None) -> RemoteSigner:
        """The node's side."""
        context = None if tls is None else tls.context(ssl.Purpose.SERVER_AUTH)
        return RemoteSigner(address, self.public, self.blocks.context, context)


async def send(remote: RemoteSigner, *ranges: ProvedRange) -> None:
    for one in ranges:
        await remote.step(one.step)
        known = await remote.views(SendViews(one.views))
        assert known.wanted == 0


@asynccontextmanager
async def unix_signer(folder: Path, *options: str) -> AsyncGenerator[tuple[Chain, SignerProcess, RemoteSigner]]:
    chain = Chain.make(folder)
    socket = folder / "signer.sock"
    config = signer_file(folder, chain.spec, chain.key, f"unix:{socket}", *options)
    async with signer_process(folder, config) as process:
        remote = chain.remote(SignerAddress(socket))
        yield chain, process, remote
        await remote.aclose()


async def test_payments_of_final_blocks_are_signed_over_a_unix_socket(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each kill -9 is between two requests; the last one is between the record and the answer."""
    monkeypatch.setattr(payment_remote, "UNKNOWN_SECONDS", 0.0)
    async with unix_signer(tmp_path, f"hourly_limit_sat = {3 * COIN - 1}") as (chain, process, remote):
        assert (tmp_path / "signer.sock").stat().st_mode & 0o777 == 0o600
        await send(remote, chain.deposits(4))
        first, proves_first = chain.payment(0)
        second, proves_second = chain.payment(1)
        third, proves_third = chain.payment(2)
        with pytest.raises(PaymentForbidden, match="as far as the signer knows from final blocks"):
            await remote.sign(ANY, first)
        await send(remote, proves_first)
        signature = await remote.sign(ANY, first)
        assert (signature.txid, signature.key, len(signature.signatures)) == (first, chain.public, 1)
        await process.kill()
        with pytest.raises(SignerUnavailable, match="Connection refused|the connection was lost"):
            await remote.known()
        await process.start()
        assert (await remote.known()).hash == proves_first.step.hashes[-1]
        again = await remote.sign(ANY, first)
        assert again.txid == first
        with pytest.raises(NotFollowed, match="are left out"):
            await remote.step(proves_third.step)
        await send(remote, proves_second)
        # The request has arrived, and the process is killed before or after the record; then it is asked again.
        async with trio.open_nursery() as nursery:
            nursery.start_soon(ask_and_lose, remote, second)
            await until_recorded(process, 2)
            await process.kill()
        await process.start()
        assert (await remote.sign(ANY, second)).txid == second
        await send(remote, proves_third)
        with pytest.raises(PaymentForbidden, match="above the signer's limit"):
            await remote.sign(ANY, third)
        assert len(recorded(process)) == 2, "each payment has one line, whatever happened"
        assert await process.stop() == 0
        log = process.log.read_text()
        assert log.count("signer_refused") == 2, "the block left out, and the payment above the limit"


async def ask_and_lose(remote: RemoteSigner, txid: BitcoinHash) -> None:
    try:
        await remote.sign(ANY, txid)
    except SignerUnavailable:
        return


def recorded(process: SignerProcess) -> list[str]:
    return (process.folder / "record").read_text().splitlines()[2:]


async def until_recorded(process: SignerProcess, lines: int) -> None:
    with trio.fail_after(60):
        while len(recorded(process)) < lines:  # noqa: ASYNC110  another process has no event to wait for
            await trio.sleep(0.001)


async def test_a_signer_survives_garbage_and_slow_clients(tmp_path: Path) -> None:
    """Nothing that a client sends stops it, or keeps it from the others."""
    async with unix_signer(tmp_path) as (chain, process, remote):
        path = str(tmp_path / "signer.sock")
        most = most_frame_bytes(chain.blocks.context.spec)
        answers: list[bytes] = []
        for content in (
            b"\xff" * 64,
            (most + 1).to_bytes(4, "little") + b"x",
            (0).to_bytes(4, "little"),
            (5).to_bytes(4, "little") + b"\x03abcd",
            (1).to_bytes(4, "little") + b"\x82",
            (33).to_bytes(4, "little") + b"\x04" + bytes(32) + b"more",
        ):
            async with await trio.open_unix_socket(path) as stream:
                await stream.send_all(content)
                with trio.fail_after(30):
                    answers.append(bytes(await stream.receive_some(4096)))
        assert all(answer[4] == 131 for answer in answers), "each is refused with a reason"
        slow = [await trio.open_unix_socket(path) for _ in range(3)]
        for one in slow:
            await one.send_all(b"\x10")
        assert (await remote.known()).height == 0
        one_too_many = await trio.open_unix_socket(path)
        with trio.fail_after(30):
            assert await one_too_many.receive_some(1) == b""
        for one in (*slow, one_too_many):
            await one.aclose()
        await send(remote, chain.deposits(1))
        step = chain.blocks.final(PegContents()).step
        with pytest.raises(NotFollowed):
            await remote.step(changed(step, hashes=()))
        assert process.process.poll() is None


async def test_a_signer_without_its_record_or_with_that_of_another_does_not_start(tmp_path: Path) -> None:
    async with unix_signer(tmp_path) as (_, process, remote):
        with pytest.raises(ComponentFailed):
            async with signer_process(tmp_path / "files", process.folder / "signer.toml"):
                pass
        assert "is in use: another signer" in (tmp_path / "files" / "signer.log").read_text()
        assert await process.stop() == 0
        (process.folder / "record").rename(process.folder / "gone")
        with pytest.raises(ComponentFailed):
            await process.start()
        assert 'see "A lost record" in docs/peg.md' in process.log.read_text()
        (process.folder / "gone").rename(process.folder / "record")
        (process.folder / "followed").write_bytes(b"damaged")
        with pytest.raises(ComponentFailed):
            await process.start()
        assert "follows the chain from the genesis block again" in process.log.read_text()
        (process.folder / "followed").unlink()
        await process.start()
        assert (await remote.known()).height == 0


async def test_a_signer_of_another_member_or_chain_is_refused(tmp_path: Path) -> None:
    async with unix_signer(tmp_path) as (chain, _, _):
        address = SignerAddress(tmp_path / "signer.sock")
        stranger = RemoteSigner(address, XOnlyKey(bytes(32)), chain.blocks.context, None)
        with pytest.raises(SignerUnavailable, match="and the key of this member is"):
            await stranger.known()
        other = RemoteSigner(address, chain.public, FinalChain.of().context, None)
        with pytest.raises(SignerUnavailable, match="is of the chain with the genesis block"):
            await other.known()


@attrs.frozen
class Authority:
    """Makes certificates in a folder."""

    folder: Path
    name: str
    key: ec.EllipticCurvePrivateKey = attrs.field(factory=lambda: ec.generate_private_key(ec.SECP256R1()))

    @property
    def subject(self) -> x509.Name:
        return x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, self.name)])

    def write(self) -> Path:
        """The authority's own certificate."""
        path = self.folder / f"{self.name}.pem"
        path.write_bytes(self._signed(self.subject, self.key, x509.BasicConstraints(ca=True, path_length=None)))
        return path

    def member(self, name: str, address: str = "127.0.0.1", *, days: int = 30) -> tuple[Path, Path]:
        """The certificate and the key of one side, valid until `days` from now."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
        names = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(address))])
        certificate, secret = self.folder / f"{name}.pem", self.folder / f"{name}.key"
        certificate.write_bytes(self._signed(subject, key, names, days))
        form = serialization.PrivateFormat.PKCS8
        secret.write_bytes(key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption()))
        secret.chmod(0o600)
        return certificate, secret

    def _signed(
        self, subject: x509.Name, key: ec.EllipticCurvePrivateKey, extension: x509.ExtensionType, days: int = 30
    ) -> bytes:
        now = datetime.datetime.now(datetime.UTC)
        made = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self.subject)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - 60 * DAY)
            .not_valid_after(now + days * DAY)
            .add_extension(extension, critical=False)
            .sign(self.key, hashes.SHA256())
        )
        return made.public_bytes(serialization.Encoding.PEM)


def raw_stream(tcp: trio.SocketStream, files: TlsFiles) -> "trio.SSLStream[trio.SocketStream]":
    """TLS as a node has it, for a test that sends its own bytes."""
    context = files.context(ssl.Purpose.SERVER_AUTH)
    return trio.SSLStream(tcp, context, server_hostname="127.0.0.1", https_compatible=True)


async def test_over_tls_both_sides_show_certificates(tmp_path: Path) -> None:
    """A client without the right certificate gets no answer, and a signer without the right one no request."""
    chain = Chain.make(tmp_path)
    (port,) = free_ports(1)
    right, wrong = Authority(tmp_path, "right"), Authority(tmp_path, "wrong")
    authority, other = right.write(), wrong.write()
    certificate, key = right.member("signer")
    tls = (f'certificate = "{certificate}"', f'key = "{key}"', f'authority = "{authority}"')
    config = signer_file(tmp_path, chain.spec, chain.key, f"tls://127.0.0.1:{port}", *tls)
    address = SignerAddress(None, "127.0.0.1", port)
    good = TlsFiles(*right.member("node"), authority)
    async with signer_process(tmp_path, config):
        remote = chain.remote(address, good)
        await send(remote, chain.deposits(1))
        txid, proved = chain.payment(0)
        await send(remote, proved)
        assert (await remote.sign(ANY, txid)).txid == txid
        await remote.aclose()
        stranger = TlsFiles(*wrong.member("stranger"), authority)
        expired = TlsFiles(*right.member("expired", days=-1), authority)
        for files in (stranger, expired):
            with pytest.raises(SignerUnavailable):
                await chain.remote(address, files).known()
        with pytest.raises(SignerUnavailable, match="certificate|unable to get|self-signed"):
            await chain.remote(address, attrs.evolve(good, authority=other)).known()
        with pytest.raises(SignerUnavailable, match="needs TLS"):
            await chain.remote(address).known()
        # Without TLS, and without a certificate.
        async with await trio.open_tcp_stream("127.0.0.1", port) as plain:
            await plain.send_all(b"\x23\x00\x00\x00\x01\x01\x00" + bytes(32))
            with trio.fail_after(30):
                assert b"\x81" not in await plain.receive_some(4096)
        anonymous = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        anonymous.load_verify_locations(authority)
        silent = RemoteSigner(address, chain.public, chain.blocks.context, anonymous)
        with pytest.raises(SignerUnavailable):
            await silent.known()
        # One with a certificate that never closes its connections takes no place for longer than its request.
        lazy: list[trio.SSLStream[trio.SocketStream]] = []
        for _ in range(2 * MAX_CONNECTIONS):
            tcp = await trio.open_tcp_stream("127.0.0.1", port)
            lazy.append(raw_stream(tcp, good))
            await lazy[-1].send_all((1).to_bytes(4, "little") + b"\xff")
            with trio.fail_after(30):
                assert (await lazy[-1].receive_some(4096))[4] == 131
        assert (await remote.known()).height == chain.blocks.end.height
        await remote.aclose()
        for one in lazy:
            await trio.aclose_forcefully(one)


async def test_a_signer_with_another_name_or_an_expired_certificate_is_refused(tmp_path: Path) -> None:
    chain = Chain.make(tmp_path)
    right = Authority(tmp_path, "right")
    authority = right.write()
    good = TlsFiles(*right.member("node"), authority)
    for name, others, words in (
        ("elsewhere", {"address": "10.9.9.9"}, "IP address mismatch"),
        ("old", {"days": -1}, "certificate has expired"),
    ):
        folder = tmp_path / name
        folder.mkdir()
        (port,) = free_ports(1)
        certificate, key = right.member(name, **others)  # pyright: ignore[reportArgumentType]
        tls = (f'certificate = "{certificate}"', f'key = "{key}"', f'authority = "{authority}"')
        config = signer_file(folder, chain.spec, chain.key, f"tls://127.0.0.1:{port}", *tls)
        async with signer_process(folder, config):
            with pytest.raises(SignerUnavailable, match=words):
                await chain.remote(SignerAddress(None, "127.0.0.1", port), good).known()


def test_files_that_are_no_certificates_are_refused(tmp_path: Path) -> None:
    right = Authority(tmp_path, "right")
    authority, (certificate, key) = right.write(), right.member("node")
    key.chmod(0o644)
    with pytest.raises(ConfigError, match="accessible to other users"):
        TlsFiles(certificate, key, authority).context(ssl.Purpose.SERVER_AUTH)
    key.chmod(0o600)
    (tmp_path / "text").write_text("no certificate")
    for files in (TlsFiles(tmp_path / "text", key, authority), TlsFiles(certificate, key, tmp_path / "text")):
        with pytest.raises(ConfigError, match="in PEM form"):
            files.context(ssl.Purpose.SERVER_AUTH)
