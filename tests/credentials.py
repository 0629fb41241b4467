"""Credentials of a cluster, for tests that stand for one of its members."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from proxy.adapters.cluster.peer import CredentialFiles
from proxy.adapters.cluster.trust import make_credentials
from proxy.secret import Secret


def write_credentials(folder: Path) -> CredentialFiles:
    """Write a CA and a certificate that it has signed, as a proxy of a cluster has them."""
    credentials = make_credentials(Secret("a secret that only the tests know"), datetime.now(UTC))
    files = CredentialFiles(certificate=folder / "node.pem", ca=folder / "ca.pem")
    files.certificate.write_text(credentials.certificate.reveal())
    files.ca.write_text(credentials.ca)
    return files
