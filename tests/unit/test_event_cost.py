"""The cost of an event follows what it changed, not the number of services. It is counted in calls, so it is exact."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from types import FrameType

import pytest

from proxy.core.containers.containers import Container
from tests.builders import make_container, with_labels
from tests.controller import Controller

FEW, MANY = 20, 400


def service(number: int, *, generation: int = 1, **labels: str) -> Container:
    own = {"VIRTUAL_HOST": f"s{number}.example, s{number}.example/path/*", **labels}
    return make_container(f"s{number}-{generation}", created=generation, service=f"s{number}", labels=with_labels(**own))


def calls_of_a_pass(controller: Controller) -> int:
    """Return how many calls of functions of this program happen until the pass has ended."""
    count = 0

    def note(frame: FrameType, event: str, _argument: object) -> None:
        nonlocal count
        count += event == "call" and "/proxy/" in frame.f_code.co_filename

    sys.setprofile(note)
    try:
        controller.look()
    finally:
        sys.setprofile(None)
    return count


def calls_by_event(folder: Path, services: int) -> dict[str, int]:
    """Return how many calls it takes to start, scale, relabel and stop one of `services` services."""
    folder.mkdir()
    controller = Controller(folder, ROUTE_LINGER="0")
    loaded = service(services, BALANCE="leastconn")
    controller.run(*map(service, range(services)), loaded)
    new, second = service(services + 1), service(services + 1, generation=2, BALANCE="leastconn")
    tell = controller.fake_source.tell
    events: dict[str, Callable[[], None]] = {
        "start": lambda: tell(changed=(new,)),
        "relabel": lambda: tell(changed=(second,)),
        "scale down": lambda: tell(gone=(new.id,)),
        "stop": lambda: tell(gone=(second.id,)),
    }
    calls = {}
    for name, happen in events.items():
        happen()
        calls[name] = calls_of_a_pass(controller)
    assert controller.haproxy.reloads == 0
    return calls


@pytest.mark.parametrize("event", ["start", "relabel", "scale down", "stop"])
def test_event_costs_the_same_among_many_services_as_among_few(tmp_path: Path, event: str) -> None:
    few, many = calls_by_event(tmp_path / "few", FEW)[event], calls_by_event(tmp_path / "many", MANY)[event]

    assert many <= 1.1 * few
