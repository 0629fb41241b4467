"""A certificate authority for tests, for client certificates that are signed by it and others that are not."""

from __future__ import annotations

import datetime
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID


class Authority:
    """Signs client certificates with its own key. Where it has a certificate of somebody else, `pem` is that and its key."""

    def __init__(self, name: str, pem: str = "") -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = _name(name)
        self._serial = 0
        if pem:
            key = serialization.load_pem_private_key(pem.encode(), None)
            assert isinstance(key, ec.EllipticCurvePrivateKey)
            self._key, self._name = key, x509.load_pem_x509_certificate(pem.encode()).subject
        self.certificate = pem or self._sign(self._name, self._key.public_key(), is_authority=True)

    def client(self, folder: Path) -> str:
        """Return the path of a file with a client's key and the certificate that this authority has signed for it."""
        key = ec.generate_private_key(ec.SECP256R1())
        path = folder / f"client-{self._serial}.pem"
        private = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        signed = self._sign(_name("client"), key.public_key(), is_authority=False)
        path.write_text(private.decode() + signed + self.certificate)
        return str(path)

    def _sign(self, subject: x509.Name, key: ec.EllipticCurvePublicKey, *, is_authority: bool) -> str:
        self._serial += 1
        now = datetime.datetime.now(datetime.UTC)
        builder = x509.CertificateBuilder().subject_name(subject).issuer_name(self._name).public_key(key)
        builder = builder.serial_number(self._serial).not_valid_before(now - datetime.timedelta(days=1))
        builder = builder.not_valid_after(now + datetime.timedelta(days=30))
        builder = builder.add_extension(x509.BasicConstraints(ca=is_authority, path_length=None), critical=True)
        return builder.sign(self._key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM).decode()


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])
