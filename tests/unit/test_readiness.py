"""A new server waits for its first accepted connection. What already ran when the proxy started does not wait."""

from dataclasses import replace

from proxy.core.containers.containers import Container, State
from proxy.core.labels.labels import parse_container
from proxy.core.labels.specs import ContainerSpec
from proxy.core.model.readiness import Readiness, Target
from tests.builders import make_container

CONTAINER = make_container(virtual_host="web.example", ports=(80, 81))


def spec_of(container: Container) -> ContainerSpec:
    spec, _ = parse_container(container)
    assert spec is not None
    return spec


def target(port: int) -> Target:
    """The target of a port that its node publishes under another number."""
    return Target(
        source="docker",
        container_id=CONTAINER.id,
        name=CONTAINER.name,
        address="127.0.0.1",
        port=port + 30_000,
        container_port=port,
    )


def started() -> Readiness:
    readiness = Readiness()
    readiness.end_start()
    return readiness


def test_container_that_ran_before_the_proxy_is_taken_at_its_word() -> None:
    readiness = Readiness()

    marked = readiness.mark(spec_of(CONTAINER))

    assert frozenset() == marked.waiting_ports


def test_new_container_is_waited_for_on_every_port() -> None:
    marked = started().mark(spec_of(CONTAINER))

    assert {80, 81} == marked.waiting_ports


def test_port_that_is_urgented_is_waited_for_no_more() -> None:
    readiness = started()
    readiness.mark(spec_of(CONTAINER))

    keys = readiness.accept([target(80)])

    assert {("docker", CONTAINER.id)} == keys
    assert {81} == readiness.mark(spec_of(CONTAINER)).waiting_ports


def test_container_that_has_stopped_and_started_again_is_waited_for_anew() -> None:
    readiness = started()
    readiness.accept([target(80), target(81)])

    readiness.mark(spec_of(replace(CONTAINER, state=State.STOPPED)))

    assert {80, 81} == readiness.mark(spec_of(CONTAINER)).waiting_ports


def test_container_that_has_gone_is_forgotten() -> None:
    readiness = started()
    readiness.accept([target(80), target(81)])

    readiness.forget(CONTAINER.id)

    assert {80, 81} == readiness.mark(spec_of(CONTAINER)).waiting_ports
