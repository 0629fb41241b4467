"""The trust of a cluster: one secret, one authority, and certificates that count on all clocks."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ed25519
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from proxy.adapters.cluster.trust import LONGEST_KEY, RENEWAL, is_open_to_all, make_credentials, read_key
from proxy.errors import TrustError
from proxy.secret import Secret

KEY = Secret("a secret of this test only")
NOW = datetime(2030, 1, 1, 12, tzinfo=UTC)


def authority(key: Secret, now: datetime = NOW) -> x509.Certificate:
    return x509.load_pem_x509_certificate(make_credentials(key, now).ca.encode())


def certificate(key: Secret, now: datetime = NOW) -> x509.Certificate:
    return x509.load_pem_x509_certificate(make_credentials(key, now).certificate.reveal().encode())


def test_all_proxies_derive_the_same_authority_from_a_key() -> None:
    assert make_credentials(KEY, NOW).ca == make_credentials(KEY, NOW + timedelta(days=400)).ca


def test_authority_of_a_key_never_changes() -> None:
    """Another one in another version of the program would divide a cluster while it is updated."""
    public = authority(KEY).public_key()

    assert isinstance(public, ed25519.Ed25519PublicKey)
    assert "b9d9f83842645865599826a89ba25a1a45d9b137705ca0f1d03982d07d5f9c09" == public.public_bytes_raw().hex()


@pytest.mark.parametrize("other", ["a secret of this test onlx", "a secret of this test only2"])
def test_another_key_is_another_authority(other: str) -> None:
    with pytest.raises(InvalidSignature):
        certificate(Secret(other)).verify_directly_issued_by(authority(KEY))
    assert authority(KEY).public_key() != authority(Secret(other)).public_key()


def test_certificate_is_signed_by_the_authority_and_has_its_own_key() -> None:
    first, second = certificate(KEY), certificate(KEY)

    first.verify_directly_issued_by(authority(KEY))

    assert first.public_key() != second.public_key()
    assert first.serial_number != second.serial_number
    assert first.subject != second.subject


def test_file_holds_the_key_that_the_certificate_is_for() -> None:
    pem = make_credentials(KEY, NOW).certificate.reveal().encode()

    assert load_pem_private_key(pem, None).public_key() == x509.load_pem_x509_certificate(pem).public_key()


@pytest.mark.parametrize("hours", [-23, -6, 0, 6, 23])
def test_certificate_counts_on_clocks_that_differ_by_hours(hours: int) -> None:
    made = certificate(KEY)

    for asked_at in (NOW, NOW + RENEWAL):
        there = asked_at + timedelta(hours=hours)
        assert made.not_valid_before_utc < there < made.not_valid_after_utc


def test_certificate_ends() -> None:
    assert certificate(KEY).not_valid_after_utc < NOW + timedelta(days=4)


def test_member_cannot_sign_for_others() -> None:
    constraints = certificate(KEY).extensions.get_extension_for_class(x509.BasicConstraints)

    assert constraints.critical
    assert not constraints.value.ca


def test_white_space_around_the_secret_does_not_count(tmp_path: Path) -> None:
    (tmp_path / "key").write_text(f"\n {KEY.reveal()}\r\n")

    assert KEY.reveal() == read_key(tmp_path / "key").reveal()


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "holds 0 characters"),
        (b"x" * 15, "holds 15 characters"),
        (b"  " + b"x" * 15 + b"\n\n", "holds 15 characters"),
        (b"\xff" * 40, "not a text"),
    ],
    ids=["empty", "short", "short with blanks", "not a text"],
)
def test_secret_that_cannot_be_used_is_refused_and_not_shown(tmp_path: Path, content: bytes, reason: str) -> None:
    (tmp_path / "key").write_bytes(content)

    with pytest.raises(TrustError, match=reason) as caught:
        read_key(tmp_path / "key")

    assert "xxx" not in str(caught.value)


def test_file_that_is_missing_or_no_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TrustError, match="No such file"):
        read_key(tmp_path / "key")
    with pytest.raises(TrustError, match="not a file"):
        read_key(tmp_path)
    with pytest.raises(TrustError, match="not a file"):
        read_key(Path("/dev/zero"))


def test_only_the_beginning_of_a_huge_file_is_read(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("x" * LONGEST_KEY + "y")

    assert "x" * LONGEST_KEY == read_key(tmp_path / "key").reveal()


@pytest.mark.parametrize(("mode", "is_open"), [(0o600, False), (0o440, False), (0o444, True), (0o604, True)])
def test_file_that_everybody_may_read_is_open(tmp_path: Path, mode: int, is_open: bool) -> None:
    (tmp_path / "key").touch()
    (tmp_path / "key").chmod(mode)

    assert is_open == is_open_to_all(tmp_path / "key")


def test_secret_of_the_engine_is_not_open_whatever_its_mode(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Docker mounts secrets with mode 0444, in memory, for this container alone."""
    monkeypatch.setattr("proxy.adapters.cluster.trust.SECRETS_FOLDER", tmp_path)
    (tmp_path / "key").touch(mode=0o444)

    assert not is_open_to_all(tmp_path / "key")
