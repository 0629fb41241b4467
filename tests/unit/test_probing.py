"""Probes of simple routing: which labels are valid, and which health follows from good and bad answers."""

from __future__ import annotations

import pytest

from proxy.core.containers.containers import Health
from proxy.core.labels.probing import Probe, ProbeRecord, Target, combine, parse_delay, parse_target, parse_timeout


def healths_after(start: Health, answers: str) -> str:
    """Return the first letters of the health after each answer, good (`+`) or bad (`-`)."""
    record = ProbeRecord(health=start)
    return "".join(record.add(is_good=sign == "+")[0] for sign in answers)


@pytest.mark.parametrize(
    ("start", "answers", "expected"),
    [
        pytest.param(Health.STARTING, "--+", "ssh", id="new container waits for its first good answer"),
        pytest.param(Health.NONE, "+", "h", id="running container with a good answer"),
        pytest.param(Health.NONE, "-", "u", id="running container with a bad answer"),
        pytest.param(Health.HEALTHY, "-+-+", "hhhh", id="single bad answers cost nothing"),
        pytest.param(Health.HEALTHY, "--", "hu", id="two bad answers"),
        pytest.param(Health.UNHEALTHY, "+-+-", "uuuu", id="single good answers are no proof"),
        pytest.param(Health.UNHEALTHY, "++", "uh", id="two good answers"),
    ],
)
def test_two_answers_in_a_row_change_the_health(start: Health, answers: str, expected: str) -> None:
    assert expected == healths_after(start, answers)


@pytest.mark.parametrize(
    ("engine", "probe", "expected"),
    [
        (Health.NONE, Health.HEALTHY, Health.HEALTHY),
        (Health.HEALTHY, Health.NONE, Health.HEALTHY),
        (Health.STARTING, Health.HEALTHY, Health.STARTING),
        (Health.HEALTHY, Health.UNHEALTHY, Health.UNHEALTHY),
        (Health.UNHEALTHY, Health.STARTING, Health.UNHEALTHY),
    ],
)
def test_healthcheck_and_probe_both_count(engine: Health, probe: Health, expected: Health) -> None:
    assert expected == combine(engine, probe)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("http://container/", Target(port=80, path="/")),
        ("HTTP://Container:8080/ping?x=1", Target(port=8080, path="/ping?x=1")),
        ("http://container?x=1", Target(port=80, path="/?x=1")),
        ("tcp://container:3306/", Target(port=3306)),
    ],
)
def test_url_is_understood(text: str, expected: Target) -> None:
    assert expected == parse_target(text)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        pytest.param("container/ping", "is not http://container", id="no scheme"),
        pytest.param("https://container/", "has the scheme 'https'; write http or tcp", id="https"),
        pytest.param("http://www.example.com/", "has the host 'www.example.com'; write the word `container`", id="host"),
        pytest.param("tcp://container", "is not tcp://container:port", id="tcp without port"),
        pytest.param("tcp://container:80/ping", "is not tcp://container:port", id="tcp with path"),
        pytest.param("http://container:http/", "port 'http' is not a number", id="port"),
        pytest.param("http://container:/", "port '' is not a number", id="empty port"),
        pytest.param("http://container/a b", "contains blanks", id="blank"),
        pytest.param("http://container/a\nb", "is not http://container", id="line break"),
        pytest.param("http://container/#top", "contains blanks, #", id="fragment"),
    ],
)
def test_url_outside_the_grammar_is_refused(text: str, reason: str) -> None:
    with pytest.raises(ValueError, match=r"^(is|has|names|port)") as caught:
        parse_target(text)

    assert reason in str(caught.value)


@pytest.mark.parametrize("text", ["", "-1", "ten", "1e3", "100000", "1,5"])
def test_times_are_seconds(text: str) -> None:
    with pytest.raises(ValueError, match="is not a number of seconds"):
        parse_delay(text)


def test_timeout_of_no_time_is_refused() -> None:
    with pytest.raises(ValueError, match="is not a time"):
        parse_timeout("0")


def test_path_cannot_leave_its_place_in_the_configuration() -> None:
    probe = Probe(target=parse_target("http://container/'%20a%20'\"$HOME"))

    expected = "http-check send meth GET uri '/'\\''%20a%20'\\''\"$HOME' ver HTTP/1.1 hdr Host container"
    assert expected in probe.backend_lines()


def test_command_is_no_business_of_haproxy() -> None:
    probe = Probe(command="/check.sh")

    assert ("", ()) == (probe.server_options(), probe.backend_lines())
