"""The state that the HAProxy in a proxy's container reports, and the state that a fresh start would give it.

Both are sets of lines, grouped by what they are about, so that a difference is easy to read.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from tests.e2e.engine import Container

State = Mapping[str, frozenset[str]]

SEND = """
import socket, sys
for command in sys.argv[1:]:
    connection = socket.socket(socket.AF_UNIX)
    connection.connect("/var/lib/proxy/haproxy.sock")
    connection.sendall(command.encode() + b"\\n")
    print(b"".join(iter(lambda: connection.recv(65536), b"")).decode() + "\\0")
"""
BACKENDS_OF_ITS_OWN = {"stats"}


def running_state(proxy: Container) -> State:
    """Return what HAProxy reports: backends, servers with their addresses, map rows, certificates that are listed."""

    def ask(*commands: str) -> list[str]:
        return proxy.call("python3", "-c", SEND, *commands).split("\0")

    shown_backends, shown_servers, shown_maps, shown_lists = ask(
        "show backend", "show servers state", "show map", "show ssl crt-list"
    )[:4]
    servers = _servers(shown_servers)
    maps = sorted(set(re.findall(r"\((maps/\S+)\)", shown_maps)))
    lists = re.findall(r"^\S+\.list$", shown_lists, re.MULTILINE)
    replies = ask(*(f"show map {name}" for name in maps), *(f"show ssl crt-list {name}" for name in lists))
    state = {"backends": frozenset(shown_backends.split()[2:]) - BACKENDS_OF_ITS_OWN, "servers": frozenset(servers)}
    for name, reply in zip([*maps, *lists], replies, strict=False):
        lines = [line for line in reply.strip().splitlines() if line and not line.startswith("#")]
        state[name] = frozenset(line.partition(" ")[2] if name in maps else line for line in lines)
    return state


def desired_state(proxy: Container) -> State:
    """Return the same from `proxy render`, which reads the engine again."""
    state: dict[str, set[str]] = {"backends": set(), "servers": set()}
    section, file = "", ""
    for line in proxy.call("proxy", "render").splitlines():
        words = line.split()
        if match := re.fullmatch(r"# (maps/\S+|\S+\.list)", line):
            file, section = match[1], ""
            state[file] = set()
        elif file and words and not line.startswith("#"):
            state[file].add(line)
        elif words and not line.startswith((" ", "#")):
            section = words[1] if words[0] in ("backend", "listen") else ""
            state["backends"] |= {section} - {""} - BACKENDS_OF_ITS_OWN
        elif section and words[:1] == ["server"]:
            state["servers"].add(f"{section}/{words[1]} {words[2]}")
    return {name: frozenset(lines) for name, lines in state.items()}


def differences(proxy: Container) -> list[str]:
    """Return the differences of the running state from the desired one: `-` is missing in it, `+` is too much."""
    running, desired = running_state(proxy), desired_state(proxy)
    found = []
    for name in sorted({*running, *desired}):
        has, wants = running.get(name, frozenset()), desired.get(name, frozenset())
        found += [f"{name}: - {line}" for line in sorted(wants - has)] + [
            f"{name}: + {line}" for line in sorted(has - wants)
        ]
    return found


def certificate_fingerprint(proxy: Container, name: str) -> str:
    """Return the SHA-1 fingerprint, in hexadecimal, of the certificate that HAProxy has under a file name."""
    match = re.search(r"SHA1 FingerPrint: ([0-9A-F]+)", proxy.call("python3", "-c", SEND, f"show ssl cert {name}"))
    assert match, name
    return match[1]


def server_states(proxy: Container) -> Mapping[str, int]:
    """Return the state set by command (`srv_admin_state`) by backend, server and address."""
    return _servers(proxy.call("python3", "-c", SEND, "show servers state"))


def _servers(reply: str) -> Mapping[str, int]:
    header, *rows = [line.split() for line in reply.splitlines()[1:] if len(line.split()) > 2]
    servers = [dict(zip(header[1:], row, strict=False)) for row in rows]
    return {
        f"{row['be_name']}/{row['srv_name']} {row['srv_addr']}:{row['srv_port']}": int(row["srv_admin_state"])
        for row in servers
    }
