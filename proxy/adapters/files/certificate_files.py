"""The proxy's own certificates, from its variables or from CERT_FOLDER.

In: `TlsSettings`. Out: `ProxyCertificates`. A file that cannot be used becomes a problem, and the certificate that was read
from it before stays in force. A file that has gone stays in force for a moment, because programs that renew certificates
remove and write files. All other files are still used.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from proxy.adapters.files.folder_texts import FolderTexts, read_folder
from proxy.core.model.certificate_pairs import PEM_SUFFIXES, pair_files
from proxy.core.model.certificate_set import DEFAULT_NAME, Origin, ProxyCertificates
from proxy.errors import THE_PROXY, Problem
from proxy.grammar.certificates import Certificate, parse_certificate
from proxy.grammar.syntax import make_file_name
from proxy.settings import TlsSettings

DEFAULT_NAMES = ("cert0.pem", "default.pem")
"""File names in CERT_FOLDER that make a file the default certificate. Without one, it is the first file by name."""
GONE_SECONDS = 10.0
"""How long the certificate of a file that has gone stays in force."""
KEPT = "; the certificate that was read before stays in force"


@dataclass(slots=True, kw_only=True)
class _Known:
    """A certificate that was read; `gone_at` is the time at which its file was missed first."""

    certificate: Certificate
    gone_at: float | None = None


class CertificateFiles:
    """Reads the proxy's own certificates. It parses a file again only when its text has changed.

    `previous` are the certificates of an earlier run, by the names under which HAProxy has them. They take the place of a
    file or a variable that cannot be used at the start. `clock` is monotonic, in seconds.
    """

    def __init__(
        self,
        settings: TlsSettings,
        previous: Mapping[str, str] = MappingProxyType({}),
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._settings = settings
        self._previous = previous
        self._clock = clock
        self._parsed: dict[str, Certificate] = {}
        self._known: dict[str, _Known] = {}
        self._texts: FolderTexts = FolderTexts()

    def read(self) -> ProxyCertificates:
        """Return the certificates that the variables or the folder hold now. A bad certificate becomes a problem."""
        folder = self._settings.certificate_folder
        found = self._read_folder(folder) if folder else self._read_variables()
        return dataclasses.replace(found, previous=self._previous)

    def _read_variables(self) -> ProxyCertificates:
        problems: list[Problem] = []

        def parse(pem: str, setting: str, name: str) -> Certificate | None:
            try:
                certificate: Certificate | None = self._parse(pem)
            except ValueError as error:
                certificate = self._parse_previous(name)
                reason = f"{error}{KEPT}" if certificate else str(error)
                problems.append(Problem(service=THE_PROXY, setting=setting, reason=reason))
            if certificate:
                origins[certificate.fingerprint] = Origin(setting=setting)
            return certificate

        default = self._settings.default_certificate
        origins: dict[str, Origin] = {}
        others = []
        for variable, pem in self._settings.extra_certificates:
            name = f"~{make_file_name(variable, 'variable')}"
            if certificate := parse(pem.reveal(), variable, f"{name}.pem"):
                others.append((name, certificate))
        return ProxyCertificates(
            default=parse(default.reveal(), "DEFAULT_SSL_CERT", DEFAULT_NAME) if default else None,
            others=tuple(others),
            problems=tuple(problems),
            origins=origins,
        )

    def _read_folder(self, folder: Path) -> ProxyCertificates:
        faults: dict[str, str] = {}
        try:
            self._texts = read_folder(folder, self._texts)
        except OSError as error:
            self._known = self._known or self._known_before()
            reason = f"cannot be listed: {error.strerror}{KEPT if self._known else ''}"
            return self._serve(folder, {"": reason})
        pairs = pair_files(self._texts.texts)
        faults |= {name: f"file {name} {reason}" for name, reason in self._texts.unreadable.items()}
        faults |= {name: f"file {name} {reason}" for name, reason in pairs.passed_over.items()}
        present = self._texts.texts.keys() | self._texts.unreadable.keys()
        found: dict[str, Certificate] = {}
        for name, pem in pairs.pems.items():
            try:
                found[name] = self._parse(pem)
            except ValueError as error:
                faults[name] = f"file {name}: {error}"
        self._parsed = {text: value for text, value in self._parsed.items() if text in {*pairs.pems.values()}}
        candidates = sorted({*pairs.pems, *(name for name in faults if name.endswith(PEM_SUFFIXES))}, key=_default_first)
        for name in faults.keys() - found.keys() - self._known.keys():
            stored = [f"{_name_of(name)}.pem", *([DEFAULT_NAME] if name in candidates[:1] else [])]
            before = next(filter(None, map(self._parse_previous, stored)), None)
            if before:
                self._known[name] = _Known(certificate=before)
        self._follow(found, present)
        for name in faults.keys() & self._known.keys():
            faults[name] += KEPT
        return self._serve(folder, faults)

    def _known_before(self) -> dict[str, _Known]:
        """Return the certificates of the earlier run that were the proxy's own."""
        names = {DEFAULT_NAMES[0]: DEFAULT_NAME} | {name[1:]: name for name in self._previous if name.startswith("~")}
        found = {name: self._parse_previous(stored) for name, stored in names.items()}
        return {name: _Known(certificate=certificate) for name, certificate in found.items() if certificate}

    def _follow(self, found: Mapping[str, Certificate], present: set[str]) -> None:
        """Take in what was found. What has gone is forgotten after a while, unless nothing else is left."""
        now = self._clock()
        for name, certificate in found.items():
            self._known[name] = _Known(certificate=certificate)
        for name in self._known.keys() - found.keys():
            known = self._known[name]
            known.gone_at = None if name in present else now if known.gone_at is None else known.gone_at
        expired = {name for name, known in self._known.items() if _is_over(known, now)}
        if expired != self._known.keys():
            self._known = {name: known for name, known in self._known.items() if name not in expired}

    def _serve(self, folder: Path, faults: Mapping[str, str]) -> ProxyCertificates:
        now = self._clock()
        waits = [known.gone_at + GONE_SECONDS - now for known in self._known.values() if known.gone_at is not None]
        reasons = [*faults.values()]
        if self._known and all(_is_over(known, now) for known in self._known.values()):
            reasons.append(f"contains no certificate any more{KEPT}, and so does TLS, until the proxy is restarted")
        names = sorted(self._known, key=_default_first)
        return ProxyCertificates(
            default=self._known[names[0]].certificate if names else None,
            others=tuple((_name_of(name), self._known[name].certificate) for name in names[1:]),
            origins={
                known.certificate.fingerprint: Origin(setting="CERT_FOLDER", value=str(folder), file=name)
                for name, known in self._known.items()
            },
            exclusive=True,
            problems=tuple(
                Problem(service=THE_PROXY, setting="CERT_FOLDER", value=str(folder), reason=reason) for reason in reasons
            ),
            look_again_in=min((wait for wait in waits if wait > 0), default=None),
        )

    def _parse(self, text: str) -> Certificate:
        if text not in self._parsed:
            self._parsed[text] = parse_certificate(text)
        return self._parsed[text]

    def _parse_previous(self, name: str) -> Certificate | None:
        try:
            return parse_certificate(self._previous[name])
        except (KeyError, ValueError):
            return None


def _is_over(known: _Known, now: float) -> bool:
    return known.gone_at is not None and now >= known.gone_at + GONE_SECONDS


def _default_first(name: str) -> tuple[int, str]:
    return DEFAULT_NAMES.index(name) if name in DEFAULT_NAMES else len(DEFAULT_NAMES), name


def _name_of(file: str) -> str:
    """Return the name under which a file of CERT_FOLDER is served. `a.crt` and `a.pem` get different names."""
    stem, _, ending = file.rpartition(".") if "." in file else (file, "", "")
    return f"~{make_file_name(stem, ending, is_taken=ending != 'pem')}"
