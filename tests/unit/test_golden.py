"""The result of labels as readable text, one file per case. `pytest --update-golden` rewrites the expected half."""

from __future__ import annotations

import re

import pytest

from proxy.grammar.syntax import is_own_section
from tests.golden_cases import RULE, STATE, Case, read_cases

CASES = read_cases()


@pytest.mark.parametrize("case", CASES, ids=[case.path.stem for case in CASES])
def test_case_comes_to_what_its_file_says(case: Case, request: pytest.FixtureRequest) -> None:
    shown = case.shown()
    if request.config.getoption("--update-golden"):
        case.path.write_text(f"{case.given}{RULE}\n{shown}")
        return

    assert case.expected == shown


@pytest.mark.parametrize("case", CASES, ids=[case.path.stem for case in CASES])
def test_no_service_can_have_the_name_of_a_section_of_the_proxy(case: Case) -> None:
    settings = case.settings()
    model = case.model(settings)
    config = case.renderer(settings, STATE).render_config(model, show_secrets=False)
    of_services = {backend.name for backend in model.backends} | settings.routing.additional_backends.keys()

    own = {*re.findall(r"^[a-z]\S* (\S+)", config, re.MULTILINE)} - of_services

    assert [] == [name for name in sorted(own) if not is_own_section(name)]
    assert own


def test_there_are_cases() -> None:
    assert len(CASES) > 5
