"""Who is left out on purpose, and labels without effect: told for containers in scope, one note for those outside."""

from __future__ import annotations

from dataclasses import replace

from proxy.controller.desired_model import DesiredModel
from proxy.controller.observation import Observation
from proxy.controller.pending import Pending
from proxy.controller.service_checks import ServiceChecks
from proxy.core.containers.containers import Container, ProxyContainer, Snapshot
from proxy.core.labels.specs import PLAIN_SETTINGS
from proxy.errors import Problem
from proxy.grammar.spelling import DEACTIVATE
from tests.builders import make_container, make_settings, with_labels
from tests.fakes import FakeProber, FakeSource

PROXY = ProxyContainer(id="0" * 64, project="shop", name="lb-1", labels={"aliyun.proxy.VIRTUAL_HOST": "a.com"})
MISSPELT = with_labels(VIRTUAL_HOTS="a.com")


class SourceInProject(FakeSource):
    """The proxy is a container of project `shop`."""

    def read_changes(self) -> Snapshot:
        return replace(super().read_changes(), proxy=PROXY)


def look(*containers: Container, **variables: str) -> DesiredModel:
    """Return the model of these containers."""
    source, settings, pending = SourceInProject(), make_settings(**variables), Pending()
    source.set(containers)
    checks = ServiceChecks([PLAIN_SETTINGS])
    observation = Observation([source])
    model = DesiredModel(observation=observation, checks=checks, prober=FakeProber(), settings=settings, clock=lambda: 0.0)
    model.observe(pending, is_resync=True)
    model.update(pending)
    return model


def places(problems: tuple[Problem, ...]) -> list[tuple[str, str]]:
    return [(problem.container, problem.setting) for problem in problems]


def test_container_outside_the_scope_is_one_note_whatever_its_labels_are() -> None:
    good = make_container("good-1", virtual_host="a.com", project="other")
    bad = make_container("bad-1", labels=with_labels(VIRTUAL_HOST="ftp://a.com"), project="other")
    misspelt = make_container("misspelt-1", labels=MISSPELT, project="other")

    model = look(good, bad, misspelt)

    outside = [note for note in model.notes() if "is outside the scope of project 'shop'" in note.reason]
    assert () == model.problems()
    assert ["bad-1", "good-1", "misspelt-1"] == sorted(note.container for note in outside)


def test_misspelt_label_is_a_problem_beside_what_is_served() -> None:
    model = look(make_container("web-1", labels=with_labels(VIRTUAL_HOST="a.com", BALENCE="source")))

    assert [("web-1", "aliyun.proxy.BALENCE")] == places(model.problems())
    assert 1 == model.count_services()


def test_container_that_is_left_out_on_purpose_is_a_note() -> None:
    labels = {**with_labels(VIRTUAL_HOST="a.com"), DEACTIVATE: "true"}

    model = look(make_container("blue-1", labels=labels), make_container("green-1", virtual_host="a.com"))

    assert () == model.problems()
    assert ("blue-1", DEACTIVATE) in places(model.notes())
    assert 1 == model.count_services()


def test_labels_on_the_proxy_itself_are_a_note() -> None:
    assert [("lb-1", "aliyun.proxy.VIRTUAL_HOST")] == places(look().notes())


def test_labels_of_the_other_mode_are_told_only_while_nothing_is_routed() -> None:
    simple = make_container("simple-1", labels={"aliyun.routing.port_80": "a"})

    alone, beside = look(simple), look(simple, make_container(virtual_host="a.com"))

    assert [True, False] == [("simple-1", "aliyun.routing.port_80") in places(each.notes()) for each in (alone, beside)]
