"""`proxy weight`: which weights it lists and accepts, and when it says that one is in force. This process acts as the
controller, which is told by a signal."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from types import FrameType

import pytest

from proxy.adapters.files.status_file import Status
from proxy.adapters.files.weight_file import WEIGHT_FILE, read_weights
from proxy.commands.weight import _Services
from tests.builders import with_labels
from tests.command_line import CommandLine

Signals = Callable[[Callable[[], None]], None]


@pytest.fixture
def on_look() -> Iterator[Signals]:
    """Set what the controller does when it is told to look."""
    before = signal.getsignal(signal.SIGUSR2)

    def set_action(act: Callable[[], None]) -> None:
        def handle(_number: int, _frame: FrameType | None) -> None:
            act()

        signal.signal(signal.SIGUSR2, handle)

    yield set_action
    signal.signal(signal.SIGUSR2, before)


def status(*, began: float, is_success: bool = True, sentence: str = "2 commands") -> Status:
    return Status(pid=os.getpid(), passes=1, forced=0, sentence=sentence, is_success=is_success, began=began)


@pytest.fixture
def shop(command_line: CommandLine) -> CommandLine:
    command_line.write_services(
        blue=with_labels(VIRTUAL_HOST="www.example.com"), green=with_labels(VIRTUAL_HOST="www.example.com", WEIGHT="30")
    )
    return command_line


def test_weights_are_listed_with_who_set_them(shop: CommandLine, capsys: pytest.CaptureFixture[str]) -> None:
    (shop.state / WEIGHT_FILE).write_text('{"shop:blue": 5}')

    code = shop.run("weight")

    rows = [line.split(maxsplit=2) for line in capsys.readouterr().out.splitlines()[1:]]
    assert (0, [["shop:blue", "5", "proxy weight"], ["shop:green", "30", "label"]]) == (code, rows)


def test_service_without_any_weight_has_the_default(shop: CommandLine, capsys: pytest.CaptureFixture[str]) -> None:
    shop.run("weight")

    assert ["shop:blue", "100", "default"] in [line.split() for line in capsys.readouterr().out.splitlines()]


@pytest.mark.parametrize(("is_success", "code"), [(True, 0), (False, 1)], ids=["applied", "failed"])
def test_weight_is_kept_and_waited_for(shop: CommandLine, on_look: Signals, is_success: bool, code: int) -> None:
    shop.write_status(status(began=0.0))
    on_look(lambda: shop.write_status(status(began=time.time(), is_success=is_success)))

    ended = shop.run("weight", "shop:green", "70")

    assert (code, {"shop:green": 70}) == (ended, read_weights(shop.state / WEIGHT_FILE))


def test_end_of_a_pass_that_began_before_is_not_taken_for_the_answer(
    shop: CommandLine, on_look: Signals, capsys: pytest.CaptureFixture[str]
) -> None:
    """That pass may not have seen the new weight."""
    shop.write_status(status(began=0.0))

    def end_one_pass_and_run_another() -> None:
        shop.write_status(status(began=1.0, sentence="the pass before"))
        answer = status(began=time.time(), sentence="the next pass")
        threading.Timer(0.1, shop.write_status, (answer,)).start()

    on_look(end_one_pass_and_run_another)
    shop.run("weight", "shop:green", "70")

    assert "shop:green: weight 70 (the next pass)\n" == capsys.readouterr().out


def test_default_undoes_what_was_set(shop: CommandLine, on_look: Signals) -> None:
    (shop.state / WEIGHT_FILE).write_text('{"shop:blue": 5, "shop:green": 6}')
    shop.write_status(status(began=0.0))
    on_look(lambda: shop.write_status(status(began=time.time())))

    shop.run("weight", "shop:blue", "default")

    assert {"shop:green": 6} == read_weights(shop.state / WEIGHT_FILE)


def test_without_a_controller_the_weight_is_kept_for_the_next(shop: CommandLine, capsys: pytest.CaptureFixture[str]) -> None:
    code = shop.run("weight", "shop:blue", "0")

    assert (3, {"shop:blue": 0}) == (code, read_weights(shop.state / WEIGHT_FILE))
    assert "no controller runs here" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        pytest.param(("shop:blue",), 2, "the weight is missing; write `proxy weight shop:blue N`", id="no weight"),
        pytest.param(("blue",), 2, "the weight is missing; write `proxy weight shop:blue N`", id="short and no weight"),
        pytest.param(("shop:blue", "half"), 2, "or the word 'default'", id="no number"),
        pytest.param(("shop:blu", "1"), 1, "there is no service 'shop:blu'; there is shop:blue", id="misspelt"),
    ],
)
def test_what_is_not_understood_changes_nothing(
    shop: CommandLine, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], code: int, told: str
) -> None:
    ended = shop.run("weight", *arguments)

    assert (code, True) == (ended, told in capsys.readouterr().err)
    assert not (shop.state / WEIGHT_FILE).exists()


def test_service_may_be_named_without_its_project(shop: CommandLine, on_look: Signals) -> None:
    shop.write_status(status(began=0))
    on_look(lambda: shop.write_status(status(began=time.time() + 1)))

    code = shop.run("weight", "blue", "20")

    assert (0, {"shop:blue": 20}) == (code, dict(read_weights(shop.state / WEIGHT_FILE)))


def test_short_name_of_several_services_is_told() -> None:
    services = _Services(weights={}, names={}, short_names={"web": frozenset(["shop:web", "blog:web"])})

    with pytest.raises(ValueError, match="'web' is the name of several services; write blog:web or shop:web"):
        services.find("web")
