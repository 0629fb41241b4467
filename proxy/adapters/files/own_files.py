"""The files that the proxy's own settings name: certificates, the CA of client certificates, templates.

In: their paths. Out: `OwnFiles` with their present content. A file that cannot be used becomes a problem. For the CA, the
content that was read last stays in force.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Callable, Iterator
from pathlib import Path

from cryptography import x509

from proxy.core.model.certificate_set import ProxyCertificates
from proxy.core.model.own_files import OwnFiles
from proxy.errors import THE_PROXY, Problem, SettingsError
from proxy.grammar.certificates import normalise_pem
from proxy.secret import Secret
from proxy.settings import TlsSettings

COPIED = "mounted-certificates"
"""The folder, below the state folder, that holds copies of certificates which only root may read. See `privileges`."""


class OwnFileReader:
    """Reads the files again at each call. Any thread may call it, but only one at a time."""

    def __init__(
        self,
        read_certificates: Callable[[], ProxyCertificates],
        tls: TlsSettings,
        templates: Path,
        previous_ca: str = "",
    ) -> None:
        """`previous_ca` is the CA of an earlier run. It is used if the file cannot be used at the start."""
        self._read_certificates = read_certificates
        self._tls = tls
        self._templates = templates
        self._client_ca = tls.ca_certificate
        if tls.ca_file and previous_ca:
            self._client_ca = Secret(previous_ca)

    def read(self) -> OwnFiles:
        """Return the present content of the files. A file that cannot be used becomes a problem.

        Raises SettingsError if the CA has never been read, because every visitor would be let in without it.
        """
        certificates = self._read_certificates()
        problems = [*certificates.problems, *_stale_copies(self._tls)]
        if path := self._tls.ca_file:
            try:
                self._client_ca = _read_ca(path)
            except (OSError, ValueError) as error:
                why = getattr(error, "strerror", None) or str(error)
                if self._client_ca is None:
                    raise SettingsError([f"CA_CERT_FILE={path}: {why}"]) from error
                reason = f"{why}; HAProxy keeps the CA that it has"
                problems.append(Problem(service=THE_PROXY, setting="CA_CERT_FILE", value=str(path), reason=reason))
        return OwnFiles(
            certificates=dataclasses.replace(certificates, client_ca=self._client_ca, problems=tuple(problems)),
            templates=_digest(self._templates),
        )


def _stale_copies(tls: TlsSettings) -> Iterator[Problem]:
    """Yield a problem for each setting whose files are copies: renewals of the originals are not seen."""
    for setting, path in (("CERT_FOLDER", tls.certificate_folder), ("CA_CERT_FILE", tls.ca_file)):
        if path and COPIED in path.parts:
            reason = (
                "a renewed certificate is used only after a restart, because only root may read all of the files and the "
                "proxy copies them at its start; run chmod o+r on them"
            )
            yield Problem(service=THE_PROXY, setting=setting, reason=reason)


def _read_ca(path: Path) -> Secret:
    """Return the certificates of a CA as PEM. Raises ValueError if HAProxy would refuse them."""
    text = normalise_pem(path.read_text())
    if text.count("-----BEGIN ") != text.count("-----END "):
        raise ValueError("ends in the middle; is it complete?")
    try:
        x509.load_pem_x509_certificates(text.encode())
    except ValueError as error:
        raise ValueError("contains no certificate that can be read; write the CA's certificate as PEM") from error
    return Secret(text)


def _digest(folder: Path) -> str:
    """Return a digest that changes whenever a template does. Templates that cannot be read are left out."""
    digest = hashlib.sha256()
    for path in sorted(folder.glob("*.j2")):
        try:
            digest.update(path.name.encode() + b"\0" + path.read_bytes())
        except OSError:
            continue
    return digest.hexdigest()
