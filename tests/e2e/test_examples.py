"""Each example does what its first lines promise."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.e2e.conftest import EXAMPLES, RunExample, RunFile
from tests.e2e.engine import run
from tests.e2e.redis_client import ask_redis
from tests.e2e.visitor import Answer, basic_auth, fetch, fetch_tls, is_nginx
from tests.eventually import eventually

pytestmark = pytest.mark.docker

HOST = "appone.example.com"
OWN_503 = "如果您是应用的维护者"


def test_basic(run_example: RunExample) -> None:
    stack = run_example("basic")

    eventually(lambda: is_nginx(fetch(stack.port, host=HOST)))
    assert fetch(stack.port, host="other.example.com").status == 503


def test_sticky_session_keeps_a_visitor_on_one_container(run_example: RunExample) -> None:
    stack = run_example("sticky-session")
    stack.scale("appone", 3)
    for container in stack.containers("appone"):
        container.call("sh", "-c", "hostname > /usr/share/nginx/html/hostname.txt")

    def visit(headers: dict[str, str] | None = None) -> Answer:
        answer = fetch(stack.port, "/hostname.txt", host=HOST, headers=headers)
        assert answer.status == 200
        return answer

    eventually(lambda: len({visit().body for _ in range(12)}) == 3)
    first = visit()
    cookie = first.headers["set-cookie"].partition(";")[0]
    again = [visit({"Cookie": cookie}) for _ in range(12)]

    assert cookie.startswith("CONTAINERID=")
    assert {answer.body for answer in again} == {first.body}
    assert not [answer for answer in again if "set-cookie" in answer.headers]


def test_custom_503_shows_own_page(run_example: RunExample) -> None:
    stack = run_example("custom-503")

    eventually(lambda: is_nginx(fetch(stack.port, host=HOST)))
    answer = fetch(stack.port)
    assert (answer.status, answer.headers["content-type"]) == (503, "text/html;charset=UTF-8")
    assert OWN_503 in answer.body


def test_wildcard_domain_takes_every_name_below(run_example: RunExample) -> None:
    stack = run_example("wildcard-domain")

    eventually(lambda: is_nginx(fetch(stack.port, host="www.example.com")))
    assert is_nginx(fetch(stack.port, host=HOST))
    assert [fetch(stack.port, host=name).status for name in ("example.com", "www.example.org")] == [503, 503]


def test_default_backend_answers_a_bare_address(run_example: RunExample) -> None:
    stack = run_example("default-backend")

    eventually(lambda: is_nginx(fetch(stack.port)))
    assert is_nginx(fetch(stack.port, host="any.example.net"))


def test_url_parameter_chooses_the_service(run_example: RunExample) -> None:
    stack = run_example("url-parameter")

    eventually(lambda: is_nginx(fetch(stack.port, "/?backend=appone")))
    eventually(lambda: "Server name: " in fetch(stack.port, "/?backend=apptwo", host="www.example.com").body)
    assert fetch(stack.port, "/?backend=none").status == 503


def test_access_log_reaches_the_syslog_container(run_example: RunExample) -> None:
    stack = run_example("access-log")
    eventually(lambda: is_nginx(fetch(stack.port, host=HOST)))

    fetch(stack.port, "/a-path-to-find-in-the-log", host=HOST)

    lines = eventually(
        lambda: [
            line
            for line in stack.container("rsyslog").logs().splitlines()
            if '"GET /a-path-to-find-in-the-log HTTP/1.1"' in line
        ]
    )
    assert " 404 " in lines[0]


def test_client_in_the_cluster_uses_the_public_name(run_example: RunExample) -> None:
    stack = run_example("client-in-cluster")

    eventually(lambda: is_nginx(fetch(stack.port, host=HOST)))
    code = stack.call("restclient", "curl", "-s", "-o", "/dev/null", "-w", "%{http_code} %{remote_ip}", f"http://{HOST}/")
    proxy_address = stack.container("lb").inspect("{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}")
    assert code == f"200 {proxy_address}"
    eventually(lambda: "200 OK" in stack.container("restclient").logs())


def test_stats_page_is_on_its_own_port_and_needs_the_password(run_example: RunExample) -> None:
    stack = run_example("stats-page")
    port = stack.ports["STATS_PAGE_PORT"]

    eventually(lambda: is_nginx(fetch(stack.port, host=HOST)))
    answer = fetch(port, headers=basic_auth("admin", "admin"))
    assert answer.status == 200
    assert "Statistics Report" in answer.body
    assert "appone" in answer.body
    assert fetch(port).status == 401
    assert fetch(port, headers=basic_auth("stats", "stats")).status == 401


def test_redis_tcp_reaches_master_and_replica(run_example: RunExample) -> None:
    stack = run_example("redis-tcp")
    port = stack.ports["REDIS_PORT"]

    eventually(lambda: ask_redis(port, "SET", "greeting", "hello") == "OK")
    eventually(lambda: [ask_redis(port, "GET", "greeting") for _ in range(6)] == ["hello"] * 6)
    roles = {ask_redis(port, "INFO", "replication").splitlines()[1] for _ in range(6)}
    assert roles == {"role:master", "role:slave"}
    assert stack.call("redis-client", "redis-cli", "-h", "www.example.com", "get", "greeting") == "hello"


def test_https_serves_each_name_its_certificate(run_file: RunFile, tmp_path: Path) -> None:
    """It runs in a copy, because the script writes private keys beside the file."""
    folder = shutil.copytree(EXAMPLES / "https", tmp_path / "https")
    made = run(str(folder / "make-certificates.sh"))
    assert made.code == 0, made.errors
    stack = run_file(folder / "compose.yml")
    port = stack.ports["HTTPS_PORT"]

    eventually(lambda: is_nginx(fetch_tls(port, host=HOST)))
    eventually(lambda: "Server name: " in fetch_tls(port, host="apptwo.example.com").body)
    names = [HOST, "apptwo.example.com"]
    assert [fetch_tls(port, host=name).certificate for name in names] == names
    assert fetch(stack.port, host=HOST).status == 503
