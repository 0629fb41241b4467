"""Certificates that visitors' browsers refuse, or soon will: expired, not valid yet, two in one PEM.

In: the certificates that are served, and the time in seconds since the epoch. Out: problems, and until when they hold.
"""

from __future__ import annotations

import datetime
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from proxy.core.model.certificate_set import Origin
from proxy.core.model.model import StoredCertificate
from proxy.errors import THE_PROXY, Problem
from proxy.grammar.certificates import Certificate, covers

DAY_SECONDS = 86_400
FIRST_CREDIBLE_TIME = 1_700_000_000
"""A clock that is earlier was never set, as on a machine without a battery. It says nothing about certificates."""
WARNING_DAYS = 30
"""A certificate that expires in fewer days than this is a problem."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DatedProblems:
    """The problems of certificates between two times, if the certificates stay the same."""

    problems: tuple[Problem, ...] = ()
    since: float = -math.inf
    until: float = math.inf


def find_dated_problems(
    certificates: Sequence[StoredCertificate], origins: Mapping[str, Origin], now: float
) -> DatedProblems:
    """Return the problems of `certificates`, of which the default comes first. `origins` are by fingerprints."""
    if now < FIRST_CREDIBLE_TIME:
        return DatedProblems(since=now, until=FIRST_CREDIBLE_TIME)
    problems: list[Problem] = []
    until = math.inf
    seen: set[str] = set()
    for stored in certificates:
        certificate = stored.certificate
        if certificate.fingerprint in seen:
            continue
        seen.add(certificate.fingerprint)
        turns = (certificate.not_before, _warning_from(certificate), certificate.not_after)
        until = min([until, *(turn for turn in turns if turn > now)])
        reasons = [*_reasons(certificate, now)]
        if certificate.not_after <= now:
            reasons += _hidden(certificate, certificates, now)
        problems += [_problem(stored, origins, reason) for reason in reasons]
    return DatedProblems(problems=tuple(problems), since=now, until=until)


def _warning_from(certificate: Certificate) -> float:
    return certificate.not_after - (WARNING_DAYS - 1) * DAY_SECONDS


def _reasons(certificate: Certificate, now: float) -> Iterator[str]:
    what = f"the certificate for {_names(certificate)}"
    if certificate.not_after <= now:
        yield f"{what} expired on {_day(certificate.not_after)}; renew it"
    elif now < certificate.not_before:
        yield f"{what} is valid only from {_day(certificate.not_before)}; until then, visitors get a warning"
    elif now >= _warning_from(certificate):
        yield f"{what} expires on {_day(certificate.not_after)}; renew it before"
    if certificate.pairs > 1:
        yield f"{what} is one of {certificate.pairs} in one PEM, and the others are not used; give each a PEM of its own"


def _hidden(expired: Certificate, certificates: Sequence[StoredCertificate], now: float) -> Iterator[str]:
    """Tell of a name for which there is also a valid certificate.

    HAProxy shows one with exactly the name before one with a wildcard. Of two with the same name, it shows the one that was
    loaded first.
    """
    what = f"the certificate for {_names(expired)}"
    for name in expired.names:
        for stored in certificates:
            valid = stored.certificate
            if valid.not_before <= now < valid.not_after and any(covers(pattern, name) for pattern in valid.names):
                better = f"although that for {_names(valid)} is valid"
                yield f"{what} is expired, and visitors of {name} get it {better}; remove it"
                return


def _names(certificate: Certificate) -> str:
    names = certificate.names
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "") if names else "no host"


def _day(seconds: float) -> str:
    return datetime.datetime.fromtimestamp(seconds, datetime.UTC).strftime("%Y-%m-%d %H:%M UTC")


def _problem(stored: StoredCertificate, origins: Mapping[str, Origin], reason: str) -> Problem:
    if stored.services:
        return Problem(service=", ".join(stored.services), setting="SSL_CERT", reason=reason)
    origin = origins.get(stored.certificate.fingerprint, Origin())
    where = f"file {origin.file}: " if origin.file else ""
    return Problem(service=THE_PROXY, setting=origin.setting, value=origin.value, reason=f"{where}{reason}")
