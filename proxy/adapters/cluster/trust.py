"""Trust between the proxies of a cluster, from one secret that they share.

In: the file of the secret. Out: a CA whose private key follows from the secret, and a certificate of this proxy that it
has signed. Whoever has the secret is one of them; nobody else is. Nothing else has to be set up: each proxy derives the same
CA. The certificate is renewed long before it ends, and counts from long before it was made, because clocks differ.
"""

from __future__ import annotations

import errno
import os
import stat
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from proxy.errors import TrustError
from proxy.secret import Secret

SHORTEST_KEY = 16
"""In characters. A secret of fewer can be guessed."""
LONGEST_KEY = 100_000
"""In characters. What follows is not read."""
LIFE, TOLERANCE = timedelta(days=2), timedelta(days=1)
"""How long a certificate counts from now on, and how far the clocks of two nodes may differ."""
RENEWAL = timedelta(hours=12)
SECRETS_FOLDER = Path("/run/secrets")
"""Where the engine mounts secrets. They are in memory, and only this container has them, whatever their mode says."""

_INFO = b"aliyun.proxy cluster CA, version 1"
_FOREVER = datetime(2000, 1, 1, tzinfo=UTC), datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)
_CA_USAGE = x509.KeyUsage(
    digital_signature=False,
    content_commitment=False,
    key_encipherment=False,
    data_encipherment=False,
    key_agreement=False,
    key_cert_sign=True,
    crl_sign=True,
    encipher_only=False,
    decipher_only=False,
)
"""Together with the identifiers of the keys, what RFC 5280 wants: clients of Python >= 3.13 insist on it."""
_CA_NAME = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "routing proxy cluster")])


@dataclass(frozen=True, slots=True, kw_only=True)
class Credentials:
    """What this proxy shows to the others, and by what it recognises them, as PEM."""

    ca: str
    certificate: Secret = field(repr=False)
    """Certificate and key."""


def read_key(path: Path) -> Secret:
    """Return the secret of a file, without white space around it. Raises TrustError."""
    try:
        if path.exists() and not path.is_file():
            raise IsADirectoryError(errno.EISDIR, "it is not a file")
        with path.open(encoding="utf-8") as file:
            text = file.read(LONGEST_KEY).strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not a text"
        raise TrustError(f"{path} cannot be read ({reason}); create the secret, and mount it there on every node") from None
    if len(text) < SHORTEST_KEY:
        raise TrustError(
            f"{path} holds {len(text)} characters; write at least {SHORTEST_KEY} that nobody can guess, for example those "
            "of `openssl rand -hex 32`"
        )
    return Secret(text)


def is_open_to_all(path: Path) -> bool:
    """Return whether every user of this machine can read the file of the secret."""
    if SECRETS_FOLDER in path.resolve().parents:
        return False
    try:
        return bool(path.stat().st_mode & stat.S_IROTH)
    except OSError:
        return False


def make_credentials(key: Secret, now: datetime) -> Credentials:
    """Return the CA of `key` and a new certificate of this proxy, which counts around `now`. The CA is always the same."""
    seed = HKDF(algorithm=hashes.SHA256(), length=32, salt=None, info=_INFO).derive(key.reveal().encode())
    ca_key = ed25519.Ed25519PrivateKey.from_private_bytes(seed)
    own_key = ec.generate_private_key(ec.SECP256R1())
    own_name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"proxy {os.urandom(8).hex()}")])
    usages = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH])
    certificate = (
        _builder(own_name, own_key.public_key(), now - TOLERANCE, now + LIFE + TOLERANCE)
        .serial_number(x509.random_serial_number())
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(usages, critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(own_key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(ca_key.public_key()), critical=False)
        .sign(ca_key, None)
    )
    private = own_key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    pem = (certificate.public_bytes(Encoding.PEM) + private).decode("ascii")
    return Credentials(ca=_make_ca(ca_key), certificate=Secret(pem))


def _make_ca(key: ed25519.Ed25519PrivateKey) -> str:
    public = key.public_key()
    certificate = (
        _builder(_CA_NAME, public, *_FOREVER)
        .serial_number(1)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_CA_USAGE, critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
        .sign(key, None)
    )
    return certificate.public_bytes(Encoding.PEM).decode("ascii")


def _builder(
    name: x509.Name, key: ec.EllipticCurvePublicKey | ed25519.Ed25519PublicKey, begin: datetime, end: datetime
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(_CA_NAME)
        .public_key(key)
        .not_valid_before(begin)
        .not_valid_after(end)
    )
