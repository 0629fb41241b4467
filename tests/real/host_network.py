"""What a private engine needs from the host's network, and what it leaves there: subnet, bridges, firewall rules.

An engine that ends by SIGTERM does not remove its bridges and rules; one that was killed does not remove its mounts either.
They are recognised by the engine's own address range, bridge name and folder, so that nothing of another engine is touched.
"""

from __future__ import annotations

import json
import re
from dataclasses import asdict, dataclass
from ipaddress import IPv4Network
from pathlib import Path
from typing import Any

from tests.real.steps import StepError, answer, run

# Inside 172.16.0.0/12, where engines usually have their networks. 10.0.0.0/8 is left to Swarm's overlay networks.
_CANDIDATES = [IPv4Network(f"172.{second}.0.0/16") for second in range(30, 19, -1)]
_IP_FORWARD = Path("/proc/sys/net/ipv4/ip_forward")


@dataclass(frozen=True)
class Range:
    """The addresses of one engine. The lower half is for its default bridge, the upper half for networks made later."""

    network: IPv4Network

    @property
    def gateway(self) -> str:
        return f"{next(self.network.hosts())}/24"

    @property
    def pool(self) -> str:
        return str(list(self.network.subnets(1))[1])


@dataclass(frozen=True)
class Before:
    """The state of the host before the engine started, as far as the engine changes it permanently."""

    ip_forward: str
    forward_policy: str
    had_docker_chains: bool

    @classmethod
    def read(cls) -> Before:
        rules = answer("iptables-save") or ""
        policy = re.search(r"^:FORWARD (\w+)", rules[rules.find("*filter") :], re.MULTILINE)
        return cls(_IP_FORWARD.read_text().strip(), policy[1] if policy else "ACCEPT", ":DOCKER" in rules)

    @classmethod
    def load(cls, file: Path) -> Before:
        return cls(**json.loads(file.read_text()))

    def save(self, file: Path) -> None:
        file.write_text(json.dumps(asdict(self)))


def free_range() -> Range:
    """Return the first address range that does not overlap with a route or an address of the host."""
    routes = [route.get("dst", "") for route in _ip_json("route", "show", "table", "all")]
    taken = [network for network in map(_parse_network, routes) if network is not None]
    for candidate in _CANDIDATES:
        if not any(candidate.overlaps(network) for network in taken):
            return Range(candidate)
    raise StepError(f"no free address range; tried {', '.join(map(str, _CANDIDATES))}")


def uplink_mtu() -> int:
    """Return the packet size of the link with the default route. Larger packets of containers would get lost there."""
    routes = _ip_json("route", "show", "default")
    links = _ip_json("link", "show", "dev", routes[0]["dev"]) if routes else []
    return int(links[0]["mtu"]) if links else 1500


def make_bridge(name: str, addresses: Range, mtu: int) -> None:
    run("ip", "link", "add", name, "mtu", str(mtu), "type", "bridge")
    run("ip", "address", "add", addresses.gateway, "dev", name)
    run("ip", "link", "set", name, "up")


def remove_bridges(addresses: Range) -> list[str]:
    """Remove every bridge with an address in the range: the engine's own, and those of networks that it made."""
    names = []
    for link in _ip_json("-details", "address", "show", "type", "bridge"):
        networks = [_parse_network(entry["local"]) for entry in link.get("addr_info", [])]
        if any(network is not None and addresses.network.overlaps(network) for network in networks):
            run("ip", "link", "delete", link["ifname"])
            names.append(link["ifname"])
    return names


def remove_rules(addresses: Range, bridges: list[str], before: Before) -> None:
    """Remove the engine's firewall rules. Also remove Docker's chains and defaults, unless they were there before."""
    mine = [rf"{re.escape(bridge)}\b" for bridge in bridges]
    mine.append(rf"\b{re.escape(str(addresses.network).removesuffix('.0.0/16'))}\.")
    if not before.had_docker_chains:
        mine.append(r"\bDOCKER")
    rules = run("iptables-save").splitlines()
    kept = [line for line in rules if not re.search("|".join(mine), line)]
    if not before.had_docker_chains:
        kept = [re.sub(r"^:FORWARD DROP", f":FORWARD {before.forward_policy}", line) for line in kept]
        _IP_FORWARD.write_text(before.ip_forward)
    if kept != rules:
        run("iptables-restore", stdin=("\n".join(kept) + "\n").encode())


def remove_mounts(*folders: Path) -> None:
    """Unmount everything below the folders, the innermost first."""
    lines = Path("/proc/mounts").read_text().splitlines()
    for line in reversed(lines):
        target = line.split()[1].encode().decode("unicode_escape")  # the kernel writes a space as an octal escape
        if any(Path(target).is_relative_to(folder) for folder in folders):
            run("umount", "--lazy", target)


def _ip_json(*arguments: str) -> list[dict[str, Any]]:
    entries: list[dict[str, Any]] = json.loads(run("ip", "-json", "-4", *arguments) or "[]")
    return entries


def _parse_network(text: str) -> IPv4Network | None:
    try:
        return IPv4Network(text, strict=False)
    except ValueError:
        return None  # "default", or a route of another family
