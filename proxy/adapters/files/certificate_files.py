"""The proxy's own certificates: from its variables, from CERT_FOLDER, from a file that changes.

In: `TlsSettings`. Out: `ProxyCertificates`; a file that cannot be used is a problem of its own and costs nothing else.
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
"""Files of CERT_FOLDER that serve as the default certificate; without one, the first by name does."""
PEM_SUFFIXES = (".pem", ".crt", ".cer")


class CertificateFiles:
    """Reads the proxy's own certificates; parses a file again only when its text has changed."""

    def __init__(self, settings: TlsSettings) -> None:
        self._settings = settings
        self._parsed: dict[str, Certificate] = {}

    def read(self) -> ProxyCertificates:
        """Return what the variables and the folder hold now. Never raises for a bad certificate."""
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
    """The name under which a file of CERT_FOLDER is served; `a.crt` is another one than `a.pem`."""
    stem, _, ending = file.rpartition(".")
    return f"~{make_file_name(stem, ending, is_taken=ending != 'pem')}"


def _with_key(path: Path) -> str:
    """The file's text, with the key that lies beside it as HAProxy itself would look for it (`crt` in the manual)."""
    text = path.read_text()
    key = path.with_name(path.name + ".key")
    if "PRIVATE KEY" not in text and key.is_file():
        return key.read_text() + text
    return text
