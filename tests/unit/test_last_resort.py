"""A service without a server that is known to answer uses those that are expected to, for a while."""

from dataclasses import replace

from proxy.core.containers.containers import Health, State
from proxy.core.labels.labels import parse_container
from proxy.core.labels.specs import ContainerSpec
from proxy.core.model.last_resort import LastResort
from tests.builders import make_container

LABEL = "shop:web"


def spec_of(name: str, *, is_ready: bool, state: State = State.RUNNING, health: Health = Health.NONE) -> ContainerSpec:
    spec, _ = parse_container(replace(make_container(name, virtual_host="web.example"), state=state, health=health))
    assert spec is not None
    return replace(spec, waiting_ports=frozenset(() if is_ready else (80,)))


OLD, NEW = spec_of("web-1", is_ready=True), spec_of("web-2", is_ready=False)
STOPPING = spec_of("web-1", is_ready=True, state=State.STOPPING)


def used(last_resort: LastResort, *specs: ContainerSpec, now: float) -> list[str]:
    return [spec.container.name for spec in last_resort.mark(LABEL, specs, now) if spec.is_last_resort]


def test_server_that_waits_is_used_when_the_last_one_that_answers_stops() -> None:
    last_resort = LastResort(10.0)

    before = used(last_resort, OLD, NEW, now=0.0)
    after = used(last_resort, STOPPING, NEW, now=1.0)

    assert ([], ["web-2"]) == (before, after)


def test_service_that_has_never_answered_is_not_tried() -> None:
    assert [] == used(LastResort(10.0), NEW, now=0.0)


def test_it_ends_when_the_time_is_over() -> None:
    last_resort = LastResort(10.0)
    used(last_resort, OLD, now=0.0)
    used(last_resort, NEW, now=1.0)

    assert 11.0 == last_resort.next_expiry()
    assert {LABEL} == last_resort.expire(11.0)
    assert [] == used(last_resort, NEW, now=11.0)
    assert last_resort.next_expiry() is None


def test_it_ends_when_a_server_answers_and_can_begin_again() -> None:
    last_resort = LastResort(10.0)
    used(last_resort, OLD, now=0.0)
    used(last_resort, STOPPING, NEW, now=1.0)

    answered = used(last_resort, replace(NEW, waiting_ports=frozenset()), now=2.0)
    expiry = last_resort.next_expiry()
    later = used(last_resort, STOPPING, spec_of("web-3", is_ready=False), now=20.0)

    assert ([], None, ["web-3"]) == (answered, expiry, later)


def test_container_whose_health_check_has_not_passed_is_no_server_that_answers() -> None:
    last_resort = LastResort(10.0)
    used(last_resort, OLD, now=0.0)

    unhealthy = spec_of("web-1", is_ready=True, health=Health.UNHEALTHY)

    assert ["web-2"] == used(last_resort, unhealthy, NEW, now=1.0)
