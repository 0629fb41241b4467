"""No secret is shown: markers stand everywhere where a secret may be, and are found only in files for the owner alone."""

from __future__ import annotations

import json
import stat
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.builders import make_pem, one_line
from tests.eventually import eventually
from tests.haproxy.client import HOST, any_tls, ask
from tests.haproxy.product import Product
from tests.haproxy.program import Program

pytestmark = pytest.mark.haproxy

MARK = "5eCr3t"
KEYS = {name: make_pem(name) for name in ("one.example", "two.example", "three.example", HOST)}
COMMANDS = (
    ["check"],
    ["render"],
    ["routes"],
    ["weight"],
    ["weight", "shop:no-such", "5"],
    ["health"],
    ["reload"],
    ["reload", "--help"],
)


def secrets() -> list[str]:
    """Return the marker, and lines of each private key."""
    return [MARK, *(line for pem in KEYS.values() for line in pem.splitlines()[1:4])]


def found_in(text: str) -> list[str]:
    """Return the lines of `text` that show a secret."""
    return [line for line in text.splitlines() if any(secret in line for secret in secrets())]


def command_lines(program: Program) -> str:
    """Return the command lines of the program's processes."""
    lines = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            lines.append(path.read_bytes().replace(b"\0", b" ").decode(errors="replace"))
        except OSError:
            continue
    return "\n".join(line for line in lines if " -m proxy " in line or str(program.folder) in line)


def exposed_secrets(folder: Path) -> Iterable[str]:
    """Yield the files in `folder` with secrets that others than the owner may read, and folders that they may enter."""
    for path in (folder, *folder.rglob("*")):
        mode = path.lstat().st_mode
        allowed = 0o600 if stat.S_ISREG(mode) and found_in(path.read_text(errors="replace")) else 0o700
        if stat.S_IMODE(mode) & ~allowed and (stat.S_ISDIR(mode) or allowed == 0o600):
            yield f"{path.relative_to(folder)} has mode {stat.S_IMODE(mode):o}"


def run_all(program: Program, variables: Mapping[str, str], commands: Iterable[list[str]] = COMMANDS) -> str:
    """Return all that the commands print."""
    with ThreadPoolExecutor(4) as pool:
        ended = [*pool.map(lambda command: program.run(*command, **variables), commands)]
    return "\n".join(f"{one.args[2:]}\n{one.stdout}{one.stderr}" for one in ended)


def put_files(folder: Path) -> dict[str, str]:
    """Write the files that settings name, and return the settings."""
    texts = {
        "global.cfg": f"setenv TOKEN {MARK}-of-a-global-file\n",
        "frontend.cfg": f"http-request set-header X-Api-Key {MARK}-of-a-frontend-file\n",
        "backend.cfg": f"server one 192.0.2.1:80\nhttp-request set-header Authorization {MARK}-of-a-backend-file\n",
        "503.http": f"HTTP/1.0 503 Busy\r\n\r\n{MARK}-of-a-page",
    }
    for name, text in texts.items():
        (folder / name).write_text(text)
    return {
        "EXTRA_GLOBAL_SETTINGS_FILE": str(folder / "global.cfg"),
        "EXTRA_FRONTEND_SETTINGS_FILE_80": str(folder / "frontend.cfg"),
        "ADDITIONAL_BACKEND_FILE_more": str(folder / "backend.cfg"),
    }


def used_settings(folder: Path) -> dict[str, str]:
    """Return settings that are right, each with a secret."""
    return put_files(folder) | {
        "HTTP_BASIC_AUTH": f"alice:{MARK}-of-alice",
        "HTTP_BASIC_AUTH_SECURE": f"bob:$6${MARK}$hash-of-bob",
        "STATS_AUTH": f"ops:{MARK}-of-ops",
        "DEFAULT_SSL_CERT": one_line(KEYS["one.example"]),
        "EXTRA_SSL_CERTS": "MY_CERT",
        "MY_CERT": one_line(KEYS["two.example"]),
        "CA_CERT_FILE": "",
        "OPTION": f"httpchk GET / HTTP/1.1\\r\\nAuthorization:\\ Basic\\ {MARK}-of-option",
        "EXTRA_GLOBAL_SETTINGS": f"presetenv TOKEN {MARK}-of-global",
        "EXTRA_DEFAULT_SETTINGS": f"errorfile 503 {folder}/503.http",
        "EXTRA_FRONTEND_SETTINGS_80": f'http-request set-header Authorization "Bearer {MARK}-of-frontend"',
        "ADDITIONAL_BACKEND_cdn": f"server one 192.0.2.1:80,http-request set-header X-Auth-Token {MARK}-of-backend",
        "DOCKER_HOST": f"tcp://user:{MARK}-of-engine@192.0.2.1:2375",
    }


def used_labels() -> dict[str, str]:
    return {
        "SSL_CERT": one_line(KEYS[HOST]),
        "EXTRA_SETTINGS": f"http-request set-header Authorization {MARK}-of-extra",
        "HEALTH_CHECK": "inter 60s",
        "OPTION": f"httpchk GET / HTTP/1.1\\r\\nAuthorization:\\ {MARK}-of-label-option",
    }


def test_no_secret_is_shown_while_it_is_used(program: Program, product: Product) -> None:
    variables = used_settings(program.folder) | {"DEBUG": "true"}
    asked = {"VIRTUAL_HOST": "db.example", "HTTP_CHECK": f"GET /?token={MARK}-of-check"}
    program.write_services(
        web=(product.backend(), {"VIRTUAL_HOST": f"https://{HOST}", **used_labels()}), db=(product.backend("db-1"), asked)
    )

    with program.running(**variables):
        eventually(lambda: ask(443 + program.offset, tls=any_tls()).status == 401)
        told = run_all(program, variables)
        processes = command_lines(program)
        state = program.folder / "state"
        status = json.dumps(json.loads((state / "status.json").read_text()))
        kept = (state / "current" / "haproxy.cfg").read_text()
        exposed = [*exposed_secrets(state)]

    assert [] == found_in(told + program.log.read_text() + status + processes)
    assert [] == exposed
    assert "master.sock" in processes
    assert len(found_in(kept)) > 8, "the settings have arrived"


REFUSED_LABELS: Mapping[str, str] = {
    "SSL_CERT": one_line(KEYS["three.example"])[:300],
    "DEFAULT_SSL_CERT": f"{MARK}-instead-of-a-certificate",
    "EXTRA_SETTINGS": f"http-request set-headr Authorization {MARK}-refused-by-haproxy",
    "EXTRA_ROUTE_SETTINGS": f"cookei {MARK}-no-such-word",
    "HEALTH_CHECK": f"agent-check agent-send {MARK}-agent",
    "HTTP_CHECK": f"{MARK} {MARK} {MARK}",
    "OPTION": f"httpcheck GET / HTTP/1.1\\r\\nAuthorization:\\ {MARK}-misspelt",
    "VIRTUAL_HOST": f"http://alice:{MARK}-of-a-url@shop.example/",
    "TCP_PORTS": one_line(KEYS["three.example"]),
    "BALANCE": one_line(KEYS["three.example"]),
    "COOKIE": one_line(KEYS["three.example"]),
    "EXTRA_SETTING": f"{MARK}-under-a-misspelt-name",
    f"SSL_CERT={MARK}": f"{MARK}-in-quotes-of-a-list",
}
"""Labels that are not used, each on a service of its own."""


def test_no_secret_of_a_label_that_is_refused_is_shown(program: Program, product: Product) -> None:
    backend = product.backend()
    valid = {"VIRTUAL_HOST": HOST}
    bad = {
        f"bad{number}": (backend, {"VIRTUAL_HOST": f"bad{number}.example", name: value})
        for number, (name, value) in enumerate(REFUSED_LABELS.items())
    }
    program.write_services(web=(backend, valid), **bad)

    with program.running(DEBUG="true"):
        eventually(lambda: ask(80 + program.offset).server)
        told = run_all(program, {})
        log = program.log.read_text()

    assert [] == [name for name in bad if name not in told]
    assert [] == found_in(told + log)


REFUSED_VARIABLES: Mapping[str, str] = {
    "HTTP_BASIC_AUTH": f"{MARK}-without-a-name",
    "HTTP_BASIC_AUTH_SECURE": f"bob:{MARK}-no-hash",
    "STATS_AUTH": f"{MARK}-without-a-name",
    "EXTRA_SSL_CERTS": one_line(KEYS["one.example"]),
    "SSL_BIND_CIPHERS": one_line(KEYS["one.example"]),
    "MONITOR_URI": f"http://alice:{MARK}@shop.example/ping",
    "RSYSLOG_DESTINATION": f"syslog://alice:{MARK}@logs:514",
    "PROXY_TRUSTED_PROXIES": f"http://alice:{MARK}@10.0.0.1/",
    "TIMEOUT": f"http://alice:{MARK}@10.0.0.1/",
    "EXTRA_BIND_SETTINGS": f"setenv TOKEN {MARK}\x07",
    "EXTRA_GLOBAL_SETTINGS": f"setenv TOKEN {MARK}\x07",
    "EXTRA_FRONTEND_SETTINGS_80": f"http-request set-header Authorization {MARK}\x07",
    "ADDITIONAL_BACKEND_cdn": f"http-request set-header Authorization {MARK}\x07",
}


def test_no_secret_of_a_variable_that_is_refused_is_shown(program: Program) -> None:
    program.write_services()
    refused_by_haproxy = {
        "EXTRA_DEFAULT_SETTINGS": f"stats auht ops:{MARK}",
        "EXTRA_FRONTEND_SETTINGS_80": f"http-request set-header Authorization Bearer {MARK}",
        "ADDITIONAL_BACKEND_cdn": f"server one 192.0.2.1:80 pasword {MARK}",
    }

    with ThreadPoolExecutor(4) as pool:
        sets = [REFUSED_VARIABLES, *({name: value} for name, value in refused_by_haproxy.items())]
        ended = [*pool.map(lambda variables: program.run("check", **variables), sets)]

    told = "\n".join(one.stdout + one.stderr for one in ended)
    assert [2] * len(sets) == [one.returncode for one in ended]
    assert [] == [name for name in REFUSED_VARIABLES if name not in told]
    assert [] == found_in(told)


def test_no_secret_of_simple_routing_is_shown(program: Program, product: Product) -> None:
    backend = product.backend()
    labels = {
        f"aliyun.routing.port_{backend.port}": HOST,
        "aliyun.probe.cmd": f"curl -u alice:{MARK} http://localhost/",
        "aliyun.probe.url": f"http://alice:{MARK}@container/ping",
    }
    program.write_services(web=(backend, labels), second=(backend, labels | {"aliyun.probe.url": ""}))

    with program.running(PROXY_MODE="acsrouting", DEBUG="true"):
        told = run_all(program, {"PROXY_MODE": "acsrouting"})
        eventually(lambda: "aliyun.probe" in program.log.read_text())

    assert [] == found_in(told + program.log.read_text())
