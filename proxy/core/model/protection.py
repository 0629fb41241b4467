"""What protects a service's visitors: it is taken away only when every container of the service that is ready says so.

In: settings of containers, or of services, that are served together. Out: the settings that are in force. A newcomer under
the name of a service can add protection at once, but it cannot remove the password or the redirect to https.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence

from proxy.core.labels.specs import BackendSettings, ContainerSpec
from proxy.core.model.readiness import is_ready


def keep_protection(settings: BackendSettings, specs: Sequence[ContainerSpec]) -> BackendSettings:
    """Return the settings of a service with all protection that one of its ready containers asks for.

    Where no container is ready, each of them has a say.
    """
    ready = [spec.settings for spec in specs if is_ready(spec)]
    return join_protection(settings, ready or [spec.settings for spec in specs])


def join_protection(settings: BackendSettings, others: Iterable[BackendSettings]) -> BackendSettings:
    """Return `settings` with the protection of all `others`, which include them."""
    every = tuple(others)
    protected = dataclasses.replace(
        settings,
        force_ssl=any(other.force_ssl for other in every),
        exclude_basic_auth=all(other.exclude_basic_auth for other in every),
        hsts_max_age=max(
            (other.hsts_max_age for other in every if other.hsts_max_age is not None), key=_seconds, default=None
        ),
    )
    return settings if protected == settings else protected  # one object for all plain services, to save memory


def _seconds(max_age: object) -> int:
    """Return how long browsers are to use only https: the number in the setting."""
    return int("".join(filter(str.isdigit, str(max_age))) or 0)
