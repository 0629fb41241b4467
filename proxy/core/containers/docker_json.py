"""Docker's JSON (Engine API, https://docs.docker.com/reference/api/engine/) as values. `podman_json` knows its keys, too.

In: documents of `GET /containers/json`, `GET /containers/{id}/json` and `GET /events`. Out: `Container`, `ProxyContainer`,
`EngineEvent`. Engines differ in what they leave out or send as null, so every key may be missing.

Only labels that start with `aliyun.`, or could be meant so, are kept, and `DEACTIVATE`. A one-off container (`docker compose
run`) carries the labels of its service, but is not part of it: here it has no labels, and its own name as its service. A
container parsed from the list equals the same container parsed from its inspection. Only two things are not in the list: the
environment, and some ports: of a container that uses the network of another (`has_foreign_network`), and in networks where
the engine forwards no ports.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from proxy.core.containers.containers import Attachment, Container, Health, ProxyContainer, State
from proxy.core.containers.docker_ports import parse_inspected_ports, parse_listed_ports
from proxy.core.containers.link_table import Link, ServiceKey
from proxy.core.containers.swarm_json import SERVICE_ID
from proxy.grammar.spelling import is_kept, may_be_ours

COMPOSE_PROJECT = "com.docker.compose.project"
COMPOSE_SERVICE = "com.docker.compose.service"
COMPOSE_ONE_OFF = "com.docker.compose.oneoff"
STACK_NAMESPACE = "com.docker.stack.namespace"
SWARM_SERVICE = "com.docker.swarm.service.name"

_STATES = {"running": State.RUNNING, "paused": State.PAUSED}
_PODMAN_ACTIONS = {"died": "die", "remove": "destroy"}
_HEALTH_IN_STATUS = re.compile(r"\((?:health: )?(starting|healthy|unhealthy)\)$")


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineEvent:
    """One event about one container. `detail` is the text after the action's colon ("health_status: healthy").

    `time` is in seconds since the epoch, by the engine's clock. `signal` is the signal that a `kill` has sent, as a number
    or a name. `network` is the one that was connected or disconnected. `has_labels_of_ours` is false when the event shows
    that the container has none of the labels that routes are made of, and no service of a Swarm that may have them.
    `project` and `service` are those of the container, as far as the event shows them.
    """

    action: str
    detail: str = ""
    container_id: str
    name: str
    time: int = 0
    signal: str = ""
    network: str = ""
    has_labels_of_ours: bool = True
    project: str = ""
    service: str = ""

    def __str__(self) -> str:
        return f"container {self.name}: {self.action}" + (f" {self.detail}" if self.detail else "")


@dataclass(frozen=True, slots=True, kw_only=True)
class StopRule:
    """The signal (number or name) that stops a container, and how many seconds the engine then waits by default."""

    signal: str
    seconds: int


def parse_container(document: Mapping[str, Any]) -> Container:
    """Return the container that an entry of the list, or an inspection, describes; without its environment."""
    if isinstance(document.get("State"), Mapping):
        return replace(parse_inspected(document), environment={})
    return parse_listed(document)


def parse_listed(entry: Mapping[str, Any]) -> Container:
    """Return the container that one entry of `GET /containers/json` describes."""
    names = [name.removeprefix("/") for name in entry.get("Names") or ()]
    # A container that others link to is also listed under each link's name, "/other/alias".
    name = next((name for name in names if "/" not in name), entry["Id"][:12])
    state = _parse_state(entry.get("State"))
    return _add_common(
        entry,
        Container(
            id=entry["Id"],
            name=name,
            created=int(entry.get("Created") or 0),
            labels=entry.get("Labels") or {},
            ports=parse_listed_ports(entry),
            state=state,
            health=_parse_listed_health(entry) if state is State.RUNNING else Health.NONE,
        ),
    )


def parse_inspected(document: Mapping[str, Any]) -> Container:
    """Return the container that `GET /containers/{id}/json` describes, including its environment."""
    config = document.get("Config") or {}
    state = _parse_state((document.get("State") or {}).get("Status"))
    health = ((document.get("State") or {}).get("Health") or {}).get("Status")
    return _add_common(
        document,
        Container(
            id=document["Id"],
            name=(document.get("Name") or "").removeprefix("/") or document["Id"][:12],
            created=_parse_time(document.get("Created") or ""),
            labels=config.get("Labels") or {},
            environment=parse_environment(config.get("Env") or ()),
            ports=parse_inspected_ports(document, has_own_network=_has_own_network(document)),
            state=state,
            health=_parse_health(health) if state is State.RUNNING else Health.NONE,
        ),
    )


def parse_proxy(document: Mapping[str, Any]) -> ProxyContainer:
    """Return the proxy's own container from its inspection."""
    container = parse_inspected(document)
    return ProxyContainer(
        id=container.id,
        project=container.project,
        service=container.service,
        name=container.name,
        labels=container.labels,
        networks=container.networks,
        network_mode=container.network_mode,
    )


def parse_links(document: Mapping[str, Any]) -> tuple[Link, ...]:
    """Return the links of the inspected container, sorted by target.

    Links of the default bridge read "/webapp:/proxy/webapp"; those of other networks "shop-web-1:web". Compose writes
    several of the second kind for one container (its name, "web-1", "web").
    """
    links = list((document.get("HostConfig") or {}).get("Links") or ())
    for endpoint in _networks_of(document).values():
        links += (endpoint or {}).get("Links") or ()
    names: dict[str, set[str]] = {}
    for link in links:
        target, _, alias = link.partition(":")
        target = target.removeprefix("/")
        names.setdefault(target, set()).add(alias.rpartition("/")[2] or target)
    by_length = {target: sorted(found, key=lambda name: (len(name), name)) for target, found in sorted(names.items())}
    return tuple(Link(target=target, names=tuple(found)) for target, found in by_length.items())


def parse_event(document: Mapping[str, Any]) -> EngineEvent | None:
    """Return the event that one document of `GET /events` describes; None if it changes nothing about a container.

    Podman has other names for some events. Its network events name the container as their actor, and not the network.
    """
    actor = document.get("Actor") or {}
    attributes = actor.get("Attributes") or {}
    action, _, detail = str(document.get("Action") or "").partition(":")
    seen = int(document.get("time") or 0)
    action = _PODMAN_ACTIONS.get(action, action)
    if action == "create":  # only a service's matters, since a container that does not run yet has no address
        return None
    if document.get("Type") == "container" and actor.get("ID"):
        name = attributes.get("name") or actor["ID"][:12]
        project, service = _parse_service(attributes)
        return EngineEvent(
            action=action,
            detail=detail.strip(),
            container_id=actor["ID"],
            name=name,
            time=seen,
            signal=attributes.get("signal") or "",
            has_labels_of_ours=SERVICE_ID in attributes or any(map(may_be_ours, attributes)),
            project=project,
            service=service or name,
        )
    if document.get("Type") == "network" and (container_id := attributes.get("container") or _podman_member(document)):
        network = attributes.get("network") or (attributes.get("name") if "container" in attributes else "") or ""
        return EngineEvent(
            action=action,
            detail=f"network {network}".strip(),
            container_id=container_id,
            name=container_id[:12],
            time=seen,
            network=network,
        )
    return None


def _podman_member(document: Mapping[str, Any]) -> str:
    """Return the container of one of Podman's network events, or nothing if no container was connected or disconnected."""
    is_about_member = document.get("Action") in ("connect", "disconnect")
    return (document.get("Actor") or {}).get("ID") or "" if is_about_member else ""


def parse_stop(document: Mapping[str, Any]) -> StopRule:
    """Return how the inspected container is stopped."""
    config = document.get("Config") or {}
    timeout = config.get("StopTimeout")
    return StopRule(signal=str(config.get("StopSignal") or "SIGTERM"), seconds=10 if timeout is None else int(timeout))


def has_foreign_network(container: Container) -> bool:
    """Say whether the container uses the network of the host or of another container. The list then has no ports for it."""
    return container.network_mode == "host" or network_owner(container.network_mode) is not None


def network_owner(network_mode: str) -> str | None:
    """Return the id or name in a network mode "container:<id or name>", or None for other modes."""
    return network_mode.removeprefix("container:") if network_mode.startswith("container:") else None


def _add_common(document: Mapping[str, Any], container: Container) -> Container:
    """Return `container` with the keys that both documents write in the same way, and with what its labels say."""
    labels = container.labels
    project, service = _parse_service(labels)
    return replace(
        container,
        labels={} if _is_one_off(labels) else {key: value for key, value in labels.items() if is_kept(key)},
        project=project,
        service=service or container.name,
        swarm_service=labels.get(SERVICE_ID, ""),
        networks=_parse_networks(document),
        network_mode=(document.get("HostConfig") or {}).get("NetworkMode") or "",
    )


def _parse_service(labels: Mapping[str, str]) -> ServiceKey:
    """Return project and service of a container of Compose or of a stack; an empty text for what it does not have."""
    project, service = labels.get(COMPOSE_PROJECT, ""), labels.get(COMPOSE_SERVICE, "")
    if service:
        return project, "" if _is_one_off(labels) else service
    project = labels.get(STACK_NAMESPACE, "")
    return project, labels.get(SWARM_SERVICE, "").removeprefix(f"{project}_" if project else "")


def _is_one_off(labels: Mapping[str, str]) -> bool:
    return labels.get(COMPOSE_ONE_OFF, "").lower() == "true"


def _parse_state(word: str | None) -> State:
    return _STATES.get(word or "", State.STOPPED)


def _parse_health(word: str | None) -> Health:
    return Health(word) if word in set(Health) else Health.NONE


def _parse_listed_health(entry: Mapping[str, Any]) -> Health:
    if health := entry.get("Health"):  # since API 1.52
        return _parse_health(health.get("Status"))
    match = _HEALTH_IN_STATUS.search(entry.get("Status") or "")
    return Health(match[1]) if match else Health.NONE


def _networks_of(document: Mapping[str, Any]) -> Mapping[str, Any]:
    return (document.get("NetworkSettings") or {}).get("Networks") or {}


def _parse_networks(document: Mapping[str, Any]) -> tuple[Attachment, ...]:
    return tuple(_parse_attachment(name, endpoint or {}) for name, endpoint in sorted(_networks_of(document).items()))


def _parse_attachment(network: str, endpoint: Mapping[str, Any]) -> Attachment:
    address, gateway = endpoint.get("IPAddress") or "", endpoint.get("Gateway") or ""
    if not address and (address := endpoint.get("GlobalIPv6Address") or ""):
        gateway = endpoint.get("IPv6Gateway") or ""
    network_id = endpoint.get("NetworkID") or ""
    return Attachment(network=network, address=address, gateway=gateway if address else "", network_id=network_id)


def _has_own_network(document: Mapping[str, Any]) -> bool:
    mode = (document.get("HostConfig") or {}).get("NetworkMode") or ""
    return mode != "host" and network_owner(mode) is None


def parse_environment(variables: Iterable[str]) -> Mapping[str, str]:
    return {name: value for name, sign, value in (variable.partition("=") for variable in variables) if name and sign}


def _parse_time(text: str) -> int:
    """Return whole seconds since the epoch, as the list gives them; 0 if the engine gave no time."""
    return int(datetime.fromisoformat(text).replace(microsecond=0).timestamp()) if text else 0
