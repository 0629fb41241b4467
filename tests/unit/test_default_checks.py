"""How often HAProxy asks servers for which nobody has set a health check, and that this changes nothing else."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from proxy.core.containers.containers import Container
from proxy.core.haproxy.default_checks import ORDINARY_CHECK, added_check, loaded_check
from proxy.core.haproxy.file_names import CONFIG_FILE
from proxy.core.haproxy.loaded import load_sections
from proxy.core.haproxy.plans import RuntimeUpdate
from proxy.core.haproxy.runtime_commands import Command
from proxy.core.haproxy.runtime_plan import make_step
from proxy.core.labels.labels import parse_container
from proxy.core.model.certificate_set import ProxyCertificates
from proxy.core.model.model_index import ModelIndex
from proxy.core.model.service_table import label_specs
from proxy.settings.variables.routing import ROUTING_VARIABLES
from tests.builders import make_container, make_model, make_renderer, make_settings, with_labels

LIMIT = 500
FIRST_STEP = 800
"""Up to so many servers the default is what the table of variables says."""
HAND_WRITTEN = "check inter 3s"


def seconds(check: str, word: str) -> float:
    match = re.search(rf"\b{word} (\d+)", check)
    assert match, check
    return int(match[1]) / 1000


def site(services: int, **labels: str) -> list[Container]:
    return [make_container(f"s{i}-1", labels=with_labels(VIRTUAL_HOST=f"s{i}.com", **labels)) for i in range(services)]


def config_of(*containers: Container, **variables: str) -> str:
    settings = make_settings(**variables)
    return make_renderer(settings, Path("/state")).render(make_model(*containers, settings=settings)).files["haproxy.cfg"]


@pytest.mark.parametrize(
    ("servers", "check"),
    [
        (0, "check inter 2000 rise 2 fall 3"),
        (800, "check inter 2000 rise 2 fall 3"),
        (801, "check inter 4000 downinter 2000 rise 1 fall 2"),
        (1600, "check inter 4000 downinter 2000 rise 1 fall 2"),
        (10_000, "check inter 32000 downinter 8000 rise 1 fall 2"),
    ],
    ids=["none", "800", "801", "1,600", "10,000"],
)
def test_interval_of_loaded_servers_grows_in_steps(servers: int, check: str) -> None:
    assert check == loaded_check(servers)


@pytest.mark.parametrize(
    ("servers", "check"),
    [
        (1, "check inter 2000 rise 2 fall 3"),
        (200, "check inter 2000 rise 2 fall 3"),
        (201, "check inter 4000 fastinter 2000 downinter 2000 rise 1 fall 2"),
        (10_000, "check inter 128000 fastinter 2000 downinter 32000 rise 1 fall 2"),
    ],
    ids=["1", "200", "201", "10,000"],
)
def test_server_that_is_added_at_runtime_is_asked_as_if_there_were_four_times_as_many(servers: int, check: str) -> None:
    assert check == added_check(servers)


def test_few_servers_are_asked_as_the_table_of_variables_says() -> None:
    told = next(variable.default for variable in ROUTING_VARIABLES if variable.name == "HEALTH_CHECK")

    assert told == ORDINARY_CHECK


def test_loaded_servers_that_are_up_stay_below_the_limit() -> None:
    assert max(n / seconds(loaded_check(n), "inter") for n in range(1, 100_000, 50)) <= 400


def test_loaded_servers_that_are_all_down_are_asked_four_times_as_often_at_most() -> None:
    down = [n / seconds(loaded_check(n), "downinter") for n in range(FIRST_STEP + 1, 100_000, 50)]

    assert max(down) <= 4 * 400


@pytest.mark.parametrize("loaded", [1, 10, 200, 500, 800, 801, 1000, 2_500, 10_000, 12_800], ids=str)
def test_checks_stay_below_the_limit_until_there_are_four_times_as_many_servers(loaded: int) -> None:
    rate = loaded / seconds(loaded_check(loaded), "inter")

    rate += sum(1 / seconds(added_check(n), "inter") for n in range(loaded + 1, 4 * loaded + 1))

    assert rate <= LIMIT


def test_checks_stay_below_the_limit_when_all_servers_come_at_runtime() -> None:
    assert sum(1 / seconds(added_check(n), "inter") for n in range(1, 51_201)) <= LIMIT


def test_check_that_somebody_has_set_is_left_as_it_is() -> None:
    by_label = config_of(*site(1, HEALTH_CHECK=HAND_WRITTEN), *site(FIRST_STEP + 2)[1:])

    assert 1 == by_label.count(f" {HAND_WRITTEN}\n")
    assert FIRST_STEP + 1 == by_label.count(f" {loaded_check(FIRST_STEP + 1)}\n")
    assert FIRST_STEP + 1 == config_of(*site(FIRST_STEP + 1), HEALTH_CHECK=ORDINARY_CHECK).count(f" {ORDINARY_CHECK}\n")


def test_text_that_is_kept_follows_the_number_of_servers() -> None:
    """The renderer keeps the text of backends that have not changed; the interval is not theirs."""
    settings = make_settings()
    renderer = make_renderer(settings, Path("/state"))
    few, many = make_model(*site(3)), make_model(*site(FIRST_STEP + 1))

    texts = [renderer.render(model).files[CONFIG_FILE] for model in (few, many, few)]

    assert [config_of(*site(3)), config_of(*site(FIRST_STEP + 1)), config_of(*site(3))] == texts


def test_listeners_of_tcp_ports_follow_the_number_of_servers() -> None:
    database = make_container("db-1", ports=(9000,), labels=with_labels(TCP_PORTS="9000"))

    config = config_of(database, *site(FIRST_STEP))

    assert f"127.0.0.1:9000 {loaded_check(FIRST_STEP + 1)}\n" in config


def test_one_server_more_touches_no_other_server() -> None:
    """No step may change what makes a server the same: it would take a reload."""
    index = ModelIndex(make_settings(), None, ProxyCertificates())
    index.update(label_specs(spec for spec, _ in map(parse_container, site(FIRST_STEP)) if spec))
    config = make_renderer(make_settings(), Path("/state")).render(index.model()).files[CONFIG_FILE]
    loaded = load_sections(config, has_runtime_backends=True)
    last = site(FIRST_STEP + 1)[-1:]

    change = index.update(label_specs(spec for spec, _ in map(parse_container, last) if spec))
    plan = make_step(change, loaded, leaving=frozenset(), leaving_backends={}).plan

    assert isinstance(plan, RuntimeUpdate)
    assert (f"new backend shop:s{FIRST_STEP}",) == plan.changes
    added = [
        command.text for command in plan.stages[0] if isinstance(command, Command) and command.text.startswith("add server")
    ]
    assert [True] == [text.endswith(f" {added_check(FIRST_STEP + 1)}") for text in added]
