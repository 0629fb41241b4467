"""Links lead to containers under any of their names, and to every container of a linked Compose service."""

from __future__ import annotations

import pytest

from proxy.core.containers.containers import Container
from proxy.core.containers.link_table import Link, LinkTable, follow_links
from tests.builders import make_container

WEB = Link(target="shop-web-1", names=("web", "web-1", "shop-web-1"))
LONE = Link(target="lone", names=("app",))


def aliases(table: LinkTable, *containers: Container) -> list[str]:
    return [table.alias_of(container) for container in containers]


def make_lone(name: str = "lone") -> Container:
    """Return a container outside of Compose, with the same id under any name."""
    return make_container(name, id="1" * 64, project="", service=name)


def test_all_containers_of_a_linked_service_have_its_alias() -> None:
    first, later, other = (make_container(name) for name in ("shop-web-1", "shop-web-2", "shop-db-1"))

    table = follow_links([WEB], "shop", [first, other], LinkTable())

    assert ["web", "web", ""] == aliases(table, first, later, other)


@pytest.mark.parametrize(
    "link",
    [
        pytest.param(WEB, id="compose 2"),
        pytest.param(Link(target="shop_web_1", names=("web", "shop_web_1")), id="compose 1"),
        pytest.param(Link(target="named", names=("web", "web-1", "shop-web-1")), id="container_name"),
    ],
)
def test_service_without_a_running_container_is_linked(link: Link) -> None:
    table = follow_links([link], "shop", [], LinkTable())

    assert ["web", ""] == aliases(
        table, make_container("any", service="web"), make_container("any", project="blog", service="web")
    )


def test_label_of_a_running_target_counts_more_than_its_name() -> None:
    target = make_container("shop-web-1", service="front")

    table = follow_links([WEB], "shop", [target], LinkTable())

    assert {("shop", "front"): "web"} == table.services


def test_service_of_another_project_is_followed_while_its_first_container_is_replaced() -> None:
    link = Link(target="blog-web-1", names=("web",))
    first, second = (make_container(name, project="blog", service="web") for name in ("blog-web-1", "blog-web-2"))
    before = follow_links([link], "shop", [first], LinkTable())

    table = follow_links([link], "shop", [second], before)

    assert ["web"] == aliases(table, second)


@pytest.mark.parametrize("listed", [True, False], ids=["runs", "has ended"])
def test_renamed_container_stays_linked_until_it_ends(*, listed: bool) -> None:
    before = follow_links([LONE], "", [make_lone()], LinkTable())
    renamed = make_lone("old")

    table = follow_links([LONE], "", [renamed] if listed else [], before)

    assert ["app" if listed else ""] == aliases(table, renamed)


def test_container_that_takes_the_name_of_a_link_is_linked() -> None:
    before = follow_links([LONE], "", [make_lone()], LinkTable())

    assert ["app"] == aliases(before, make_container("lone", project="", service="lone"))


def test_link_that_has_gone_leads_nowhere() -> None:
    lone, web = make_lone(), make_container("shop-web-1")
    before = follow_links([WEB, LONE], "shop", [lone, web], LinkTable())

    table = follow_links([], "shop", [lone, web], before)

    assert ["", ""] == aliases(table, lone, web)


def test_container_outside_of_compose_is_linked_alone() -> None:
    """Its service is its own name, and no other container is part of it."""
    table = follow_links([LONE], "", [make_lone()], LinkTable())

    assert {} == table.services
