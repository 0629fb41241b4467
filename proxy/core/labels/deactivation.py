"""The label with which dockercloud/haproxy left a service out, for example while another version is tested (blue/green).

In: the labels of a container. Out: whether it is left out, and what to tell. As there, only a word that means yes leaves it
out.
"""

from __future__ import annotations

from collections.abc import Mapping

from proxy.grammar.spelling import DEACTIVATE
from proxy.grammar.values import is_yes_or_no, parse_boolean


def is_deactivated(labels: Mapping[str, str]) -> bool:
    """Return whether the container gets no routes, whatever its other labels say."""
    text = labels.get(DEACTIVATE, "").strip()
    return is_yes_or_no(text) and parse_boolean(text)


def deactivation_reason(labels: Mapping[str, str]) -> str:
    """Return what to tell of the label; nothing if it is not there or says clearly that the container is routed."""
    if is_deactivated(labels):
        return "leaves the container out on purpose; remove the label to route it"
    text = labels.get(DEACTIVATE, "").strip()
    return "is neither yes nor no, and counts as no; write true or false" if text and not is_yes_or_no(text) else ""
