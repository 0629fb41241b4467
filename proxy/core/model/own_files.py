"""The content of the files that the proxy's own settings name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from proxy.core.model.certificate_set import ProxyCertificates


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnFiles:
    """The content of the files. `templates` is a digest of all templates; it changes when one of them changes.

    `addresses` are those of the host names in the settings.
    """

    certificates: ProxyCertificates = field(default_factory=ProxyCertificates)
    templates: str = ""
    addresses: Mapping[str, str] = field(default_factory=dict)
