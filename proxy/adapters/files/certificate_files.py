"""The proxy's own certificates, from its variables or from CERT_FOLDER.

In: `TlsSettings`. Out: `ProxyCertificates`. A file that cannot be used becomes a problem; all others are still used.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from proxy.core.model.certificate_set import ProxyCertificates
from proxy.errors import THE_PROXY, Problem
from proxy.grammar.certificates import Certificate, parse_certificate
from proxy.grammar.syntax import make_file_name
from proxy.settings import TlsSettings

DEFAULT_NAMES = ("cert0.pem", "default.pem")
"""File names in CERT_FOLDER that make a file the default certificate. Without one, it is the first file by name."""
PEM_SUFFIXES = (".pem", ".crt", ".cer")


class CertificateFiles:
    """Reads the proxy's own certificates. It parses a file again only when its text has changed."""

    def __init__(self, settings: TlsSettings) -> None:
        self._settings = settings
        self._parsed: dict[str, Certificate] = {}

    def read(self) -> ProxyCertificates:
        """Return the certificates that the variables or the folder hold now. A bad certificate becomes a problem."""
        problems: list[Problem] = []

        def parse(text: str, setting: str, folder: str = "", file: str = "") -> Certificate | None:
            try:
                if text not in self._parsed:
                    self._parsed[text] = parse_certificate(text)
                return self._parsed[text]
            except ValueError as error:
                reason = f"file {file}: {error}" if file else str(error)
                problems.append(Problem(service=THE_PROXY, setting=setting, value=folder, reason=reason))
                return None

        if self._settings.certificate_folder:
            return self._read_folder(self._settings.certificate_folder, parse, problems)
        default = self._settings.default_certificate
        others = []
        for name, pem in self._settings.extra_certificates:
            certificate = parse(pem.reveal(), name)
            if certificate:
                others.append((f"~{make_file_name(name, 'variable')}", certificate))
        return ProxyCertificates(
            default=parse(default.reveal(), "DEFAULT_SSL_CERT") if default else None,
            others=tuple(others),
            problems=tuple(problems),
        )

    def _read_folder(
        self, folder: Path, parse: Callable[[str, str, str, str], Certificate | None], problems: list[Problem]
    ) -> ProxyCertificates:
        found: dict[str, Certificate] = {}
        texts: set[str] = set()
        try:
            files = sorted(path for path in folder.iterdir() if path.suffix.lower() in PEM_SUFFIXES and path.is_file())
        except OSError as error:
            files = []
            reason = f"cannot be listed: {error.strerror}"
            problems.append(Problem(service=THE_PROXY, setting="CERT_FOLDER", value=str(folder), reason=reason))
        for path in files:
            try:
                text = _with_key(path)
            except (OSError, UnicodeDecodeError) as error:
                reason = f"file {path.name} cannot be read: {getattr(error, 'strerror', None) or 'not text'}"
                problems.append(Problem(service=THE_PROXY, setting="CERT_FOLDER", value=str(folder), reason=reason))
                continue
            texts.add(text)
            certificate = parse(text, "CERT_FOLDER", str(folder), path.name)
            if certificate:
                found[path.name] = certificate
        self._parsed = {text: value for text, value in self._parsed.items() if text in texts}
        first = next((name for name in (*DEFAULT_NAMES, *sorted(found)) if name in found), None)
        return ProxyCertificates(
            default=found.pop(first) if first else None,
            others=tuple((_name_of(name), certificate) for name, certificate in found.items()),
            exclusive=True,
            problems=tuple(problems),
        )


def _name_of(file: str) -> str:
    """Return the name under which a file of CERT_FOLDER is served. `a.crt` and `a.pem` get different names."""
    stem, _, ending = file.rpartition(".")
    return f"~{make_file_name(stem, ending, is_taken=ending != 'pem')}"


def _with_key(path: Path) -> str:
    """Return the file's text. The key in a file `<name>.key` is added, as HAProxy itself does (manual, `crt`)."""
    text = path.read_text()
    key = path.with_name(path.name + ".key")
    if "PRIVATE KEY" not in text and key.is_file():
        return key.read_text() + text
    return text
