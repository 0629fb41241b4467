"""What the files hold that the proxy's own settings name."""

from __future__ import annotations

from dataclasses import dataclass, field

from proxy.core.model.certificate_set import ProxyCertificates


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnFiles:
    """What the files hold. `templates` is a digest of all templates, which tells whether one has changed."""

    certificates: ProxyCertificates = field(default_factory=ProxyCertificates)
    templates: str = ""
