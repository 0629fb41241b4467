"""Parses certificates: text in PEM in, checked value out. What HAProxy would refuse is refused here, with a reason.

The order of the PEM's parts stays as given. The key is checked against the first certificate, because HAProxy does not
start at all with a pair that does not match. No message of this module contains any part of a PEM.
"""

from __future__ import annotations

import base64
import hashlib
import re
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.hashes import SHA1
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key
from cryptography.x509.oid import NameOID

from proxy.secret import Secret

SMALLEST_RSA_BITS, SMALLEST_EC_BITS = 2048, 224
MAX_PARTS = 100
"""The number of keys and certificates of a PEM. Parts that do not end would take seconds to read, were there thousands."""
_BLOCK = re.compile(r"-----BEGIN (?P<kind>[A-Z0-9 ]{1,64})-----[^-]*(?:-(?!----)[^-]*)*-----END (?P=kind)-----")
"""It stops at the first dashes. So a text with many beginnings and no end does not cost more than its length."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Certificate:
    """A private key with its certificate chain. `fingerprint` distinguishes two PEMs; `names` are its host names.

    `not_before` and `not_after` are in seconds since the epoch. `pairs` counts the private keys: only the first is used.
    """

    pem: Secret
    fingerprint: str
    names: tuple[str, ...] = ()
    not_before: int = 0
    not_after: int = 0
    pairs: int = 1
    sha1: str = ""
    """The fingerprint of the first certificate as HAProxy prints it (`show ssl cert`), in hexadecimal."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PemBlocks:
    """The private keys and the certificates of a PEM, in their order. It is false if there are none."""

    keys: tuple[str, ...] = field(default=(), repr=False)
    chain: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.keys or self.chain)


def parse_certificate(text: str) -> Certificate:
    r"""Parse a PEM in many lines, or in one with `\n` for newlines. Raises ValueError without quoting any part of it."""
    pem = normalise_pem(text)
    if pem.count("-----BEGIN ") > MAX_PARTS:
        raise ValueError(f"the PEM has more than {MAX_PARTS} parts; write one private key and its certificate chain")
    blocks = split_pem(pem)
    if pem.count("-----BEGIN ") != pem.count("-----END "):
        raise ValueError("the PEM ends in the middle; is it complete?")
    if not blocks.chain:
        raise ValueError("the PEM contains no certificate; write the private key, then the certificate chain")
    if not blocks.keys:
        raise ValueError("the PEM contains no private key; write the private key, then the certificate chain")
    _check_others(pem)
    leaf = _load_leaf(blocks.chain)
    _check_key(blocks.keys[0], leaf)
    return Certificate(
        pem=Secret(pem),
        fingerprint=hashlib.sha256(pem.encode()).hexdigest()[:16],
        names=_names(leaf),
        not_before=int(leaf.not_valid_before_utc.timestamp()),
        not_after=int(leaf.not_valid_after_utc.timestamp()),
        sha1=leaf.fingerprint(SHA1()).hex().upper(),
        pairs=len(blocks.keys),
    )


def split_pem(text: str) -> PemBlocks:
    """Return the blocks of a PEM that are keys and certificates, each without any change."""
    blocks = [(match["kind"], match.group()) for match in _BLOCK.finditer(normalise_pem(text))]
    return PemBlocks(
        keys=tuple(block for kind, block in blocks if kind.endswith("PRIVATE KEY")),
        chain=tuple(block for kind, block in blocks if kind.endswith("CERTIFICATE")),
    )


def belongs_to(key: str, certificate: str) -> bool:
    """Say whether a private key is that of a certificate. A block that cannot be read belongs to nothing."""
    try:
        _check_key(key, _load_leaf([certificate]))
    except ValueError:
        return False
    return True


def covers(pattern: str, host: str) -> bool:
    """Say whether a certificate's name is for a host. A wildcard stands for exactly one label (RFC 6125)."""
    head, _, rest = host.partition(".")
    return pattern == host or (bool(head and rest) and pattern == f"*.{rest}")


def normalise_pem(text: str) -> str:
    r"""Return a PEM with real newlines. One-line settings write a newline as the two characters `\n`."""
    lines = text.replace("\\r", "").replace("\\n", "\n").replace("\r", "").split("\n")
    return "\n".join(line.strip() for line in lines if line.strip()) + "\n"


def _load_leaf(chain: Sequence[str]) -> x509.Certificate:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the user may use old but working certificates (serial 0, odd encodings)
            certificates = [x509.load_pem_x509_certificate(block.encode()) for block in chain]
    except ValueError:
        raise ValueError("a certificate of the PEM cannot be read; is it complete?") from None
    for certificate in certificates:
        _check_size(certificate)
    return certificates[0]


def _check_size(certificate: x509.Certificate) -> None:
    """Raise ValueError if OpenSSL's usual security level 2 refuses a key. HAProxy would not start at all with it."""
    try:
        key = certificate.public_key()
    except (ValueError, UnsupportedAlgorithm):
        return  # only OpenSSL can judge what the library does not know
    smallest = SMALLEST_RSA_BITS if isinstance(key, RSAPublicKey) else SMALLEST_EC_BITS
    if isinstance(key, RSAPublicKey | EllipticCurvePublicKey) and key.key_size < smallest:
        raise ValueError(f"the key of a certificate has {key.key_size} bits, and HAProxy refuses fewer than {smallest}")


def _check_others(pem: str) -> None:
    """Raise ValueError if what is neither a key nor a certificate (DH parameters) is no PEM. HAProxy 3.4 would refuse it."""
    for match in _BLOCK.finditer(pem):
        if not match["kind"].endswith(("PRIVATE KEY", "CERTIFICATE")):
            try:
                base64.b64decode("".join(match.group().split("\n")[1:-1]), validate=True)
            except ValueError:
                raise ValueError("a part of the PEM that is neither key nor certificate cannot be read; remove it") from None


def _check_key(block: str, leaf: x509.Certificate) -> None:
    if "ENCRYPTED" in block:
        raise ValueError("the private key is encrypted with a password; remove it (openssl pkey -in key.pem)")
    try:
        key = load_pem_private_key(block.encode(), password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise ValueError("the private key of the PEM cannot be read; is it complete?") from None
    spki = (Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    try:
        is_same = key.public_key().public_bytes(*spki) == leaf.public_key().public_bytes(*spki)
    except (ValueError, UnsupportedAlgorithm):
        is_same = False
    if not is_same:
        raise ValueError("the private key does not belong to the first certificate of the PEM")


def _names(leaf: x509.Certificate) -> tuple[str, ...]:
    names = {str(attribute.value).lower() for attribute in leaf.subject.get_attributes_for_oid(NameOID.COMMON_NAME)}
    try:
        alternative = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        names |= {name.lower() for name in alternative.get_values_for_type(x509.DNSName)}
    except (x509.ExtensionNotFound, ValueError):
        pass
    return tuple(sorted(names))
