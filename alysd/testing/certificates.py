"""TLS certificates for tests: an authority, and certificates of it for 127.0.0.1, also expired ones.

It needs the package cryptography.
"""

import datetime
import ipaddress
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from alysd.integrations.durable import create_file
from alysd.integrations.payment_link import TlsFiles

DAY = datetime.timedelta(days=1)


class CertificateAuthority:
    """An authority whose files are in `folder`."""

    def __init__(self, folder: Path, name: str = "authority") -> None:
        self._folder = folder
        self._secret = ec.generate_private_key(ec.SECP256R1())
        self._subject = _named(name)
        self.file = folder / f"{name}.pem"
        self.file.write_bytes(self._signed(self._secret, self._subject, 1, x509.BasicConstraints(True, None)))

    def member(self, name: str, days: int = 1, *, since: int = -60, host: str = "127.0.0.1") -> TlsFiles:
        """Write a certificate of `host`, and its key, valid from `since` to `days`, in days from now."""
        secret = ec.generate_private_key(ec.SECP256R1())
        address = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(host))])
        certificate, key = self._folder / f"{name}.pem", self._folder / f"{name}.key"
        certificate.write_bytes(self._signed(secret, _named(name), days, address, since))
        pem = secret.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        key.unlink(missing_ok=True)
        create_file(key, pem)
        return TlsFiles(certificate, key, self.file)

    def _signed(
        self,
        secret: ec.EllipticCurvePrivateKey,
        subject: x509.Name,
        days: int,
        extension: x509.ExtensionType,
        since: int = -60,
    ) -> bytes:
        now = datetime.datetime.now(datetime.UTC)
        certificate = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._subject)
            .public_key(secret.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now + since * DAY)
            .not_valid_after(now + days * DAY)
            .add_extension(extension, critical=False)
            .sign(self._secret, hashes.SHA256())
        )
        return certificate.public_bytes(serialization.Encoding.PEM)


def _named(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
