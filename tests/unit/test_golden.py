"""The result of labels as readable text, one file per case. `pytest --update-golden` rewrites the expected half."""

from __future__ import annotations

import pytest

from tests.golden_cases import RULE, Case, read_cases

CASES = read_cases()


@pytest.mark.parametrize("case", CASES, ids=[case.path.stem for case in CASES])
def test_case_comes_to_what_its_file_says(case: Case, request: pytest.FixtureRequest) -> None:
    shown = case.shown()
    if request.config.getoption("--update-golden"):
        case.path.write_text(f"{case.given}{RULE}\n{shown}")
        return

    assert case.expected == shown


def test_there_are_cases() -> None:
    assert len(CASES) > 5
