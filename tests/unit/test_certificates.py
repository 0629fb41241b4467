"""Certificates: what is accepted, what is refused and with which message. No message contains any part of the PEM."""

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

from proxy.grammar.certificates import Certificate, normalise_pem, parse_certificate
from tests.builders import make_pem, one_line

PEM, OTHER = make_pem("shop.example", "www.shop.example"), make_pem("other.example")
END_OF_KEY = "-----END PRIVATE KEY-----\n"
KEY, CHAIN = PEM.split(END_OF_KEY)[0] + END_OF_KEY, PEM.split(END_OF_KEY)[1]
OTHER_CHAIN = OTHER.split(END_OF_KEY)[1]


def make_small_pem() -> str:
    """Return a PEM with a key that OpenSSL's usual security level refuses."""
    return make_pem("small.example", key=rsa.generate_private_key(65537, 1024))


SAME = {
    "many-lines": PEM,
    "one-line": one_line(PEM),
    "windows": PEM.replace("\n", "\r\n"),
    "indented": "  " + PEM.replace("\n", "\n  "),
    "quoted-line-breaks-of-windows": PEM.replace("\n", "\\r\\n"),
}
REFUSED = {
    "nothing": ("", "contains no certificate"),
    "parts-without-an-end": ("-----BEGIN A-----" * 3800, "has more than 100 parts"),
    "key-alone": (KEY, "contains no certificate"),
    "certificate-alone": (CHAIN, "contains no private key"),
    "another-s-key": (KEY + OTHER_CHAIN, "does not belong to the first certificate"),
    "cut-off": (KEY + CHAIN.replace("\n", "\nAAAA", 1), "a certificate of the PEM cannot be read"),
    "broken-key": (KEY.replace("\nM", "\nA", 1) + CHAIN, "the private key of the PEM cannot be read"),
    "small-key": (make_small_pem(), "has 1024 bits, and HAProxy refuses fewer than 2048"),
    "half-a-certificate": (KEY + CHAIN + OTHER_CHAIN[:200], "ends in the middle"),
    "broken-parameters": (
        PEM + "-----BEGIN DH PARAMETERS-----\nno base64!\n-----END DH PARAMETERS-----\n",
        "neither key nor certificate cannot be read",
    ),
    "encrypted": (
        "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n" + CHAIN,
        "is encrypted with a password",
    ),
}


@pytest.mark.parametrize("text", SAME.values(), ids=SAME)
def test_pem_may_be_written_in_many_ways(text: str) -> None:
    certificate = parse_certificate(text)

    assert parse_certificate(PEM) == certificate
    assert PEM == certificate.pem.reveal()


def test_names_are_those_of_the_certificate() -> None:
    assert ("shop.example", "www.shop.example") == parse_certificate(PEM).names


def test_certificates_of_a_chain_stay_in_their_order() -> None:
    certificate = parse_certificate(PEM + OTHER_CHAIN)

    assert PEM + OTHER_CHAIN == certificate.pem.reveal()
    assert "other.example" not in certificate.names


def test_another_certificate_has_another_fingerprint() -> None:
    assert parse_certificate(PEM).fingerprint != parse_certificate(OTHER).fingerprint


@pytest.mark.parametrize(("text", "reason"), REFUSED.values(), ids=REFUSED)
def test_what_haproxy_would_refuse_is_refused_without_showing_it(text: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason) as caught:
        parse_certificate(text)

    secrets = [line for line in text.splitlines() if line and not line.startswith("-----")]
    assert not [line for line in secrets if line in str(caught.value)]


def test_certificate_shows_nothing_of_its_key() -> None:
    certificate: Certificate = parse_certificate(PEM)

    assert "PRIVATE" not in repr(certificate) + str(certificate)


def test_blank_lines_are_left_out() -> None:
    assert "a\nb\n" == normalise_pem("\n a\\n\\nb \n\n")


def test_old_form_of_a_key_is_read_with_its_headers() -> None:
    headers = "Proc-Type: 4,ENCRYPTED\nDEK-Info: AES-128-CBC,0123456789ABCDEF\n"

    with pytest.raises(ValueError, match="is encrypted with a password"):
        parse_certificate(f"-----BEGIN RSA PRIVATE KEY-----\n{headers}\nAAAA\n-----END RSA PRIVATE KEY-----\n{CHAIN}")


def test_long_text_without_an_end_is_read_in_a_moment() -> None:
    """Reading it again from every beginning would take hours."""
    with pytest.raises(ValueError, match="more than 100 parts"):
        parse_certificate("-----BEGIN CERTIFICATE-----" * 100_000)
