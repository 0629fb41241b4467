"""What the READMEs promise exists: labels, variables, commands, files. Both languages say the same."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from proxy.cli import COMMANDS
from proxy.core.labels.labels import LABELS, PREFIX
from proxy.core.labels.simple_routing import PORT_PREFIX, ROUTING_LABELS
from proxy.settings.variables.all import VARIABLES

ROOT = Path(__file__).parent.parent.parent
ENGLISH, CHINESE = ROOT / "README.md", ROOT / "README.zh-CN.md"
READMES = pytest.mark.parametrize("readme", [ENGLISH, CHINESE], ids=["english", "chinese"])
OTHER_PAGES = (ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md", ROOT / "SECURITY.md", *sorted((ROOT / "docs").glob("*.md")))
PAGES = pytest.mark.parametrize("page", [ENGLISH, CHINESE, *OTHER_PAGES], ids=lambda page: page.name)

BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
SPAN = re.compile(r"`([^`\n]+)`")
LINK = re.compile(r"\]\(([^)#\s]+)(?:#[^)\s]*)?\)")
COMMAND = re.compile(r"\bproxy ([a-z]+)\b")
LABEL = re.compile(r"aliyun\.(?:proxy|routing|probe)\.\w+")
VARIABLE = re.compile(r"\b[A-Z]+(?:_[A-Z0-9<>]+)+(?![\w.])")
OF_DOCKER = {"DOCKER_HOST", "DOCKER_TLS_VERIFY", "DOCKER_CERT_PATH"}
NO_COMMENT = re.compile(r"#.*")
KNOWN_LABELS = {f"{PREFIX}{row.name}" for row in LABELS} | {row.name for row in ROUTING_LABELS}


def code_of(page: Path) -> Iterator[str]:
    """Yield the code on a page, from blocks and from within lines, without the comments of blocks."""
    text = page.read_text()
    yield from (NO_COMMENT.sub("", block[2]) for block in BLOCK.finditer(text))
    yield from (span[1] for span in SPAN.finditer(BLOCK.sub("", text)))


def compose_files_of(page: Path) -> list[Mapping[str, Any]]:
    return [yaml.safe_load(block[2]) for block in BLOCK.finditer(page.read_text()) if block[1] == "yaml"]


def headings_of(page: Path) -> list[str]:
    """Return the levels of a page's headings, in order."""
    return re.findall(r"^(#+) ", BLOCK.sub("", page.read_text()), re.MULTILINE)


def is_known_label(name: str) -> bool:
    return name in KNOWN_LABELS or re.fullmatch(re.escape(PORT_PREFIX) + r"(\d+|)", name) is not None


@READMES
def test_files_of_compose_and_swarm_have_a_proxy_and_a_routed_service(readme: Path) -> None:
    compose_file, stack_file = compose_files_of(readme)

    for services in (compose_file["services"], stack_file["services"]):
        assert "proxy" in [service["image"] for service in services.values()]
        assert any(f"{PREFIX}VIRTUAL_HOST" in service.get("labels", {}) for service in services.values())


@READMES
def test_every_variable_that_is_named_exists(readme: Path) -> None:
    named = {name for code in code_of(readme) for name in VARIABLE.findall(code)}
    settings = {row.name for row in LABELS}

    unknown = {
        name
        for name in named - settings - OF_DOCKER
        if not any(name == variable.name or variable.matches(name) for variable in VARIABLES)
    }

    assert set() == unknown


@PAGES
def test_every_label_that_is_named_exists(page: Path) -> None:
    named = set(LABEL.findall(page.read_text()))

    assert set() == {name for name in named if not is_known_label(name)}


@READMES
def test_every_command_that_is_named_exists(readme: Path) -> None:
    named = {name for code in code_of(readme) for name in COMMAND.findall(code)}

    assert {name for name, _, _ in COMMANDS} == named


def test_both_languages_have_the_same_headings() -> None:
    assert headings_of(ENGLISH) == headings_of(CHINESE)


def test_both_languages_have_the_same_code_blocks() -> None:
    english, chinese = ([block[0] for block in BLOCK.finditer(page.read_text())] for page in (ENGLISH, CHINESE))

    assert english == chinese


def test_both_languages_have_the_same_links() -> None:
    english, chinese = (LINK.findall(page.read_text()) for page in (ENGLISH, CHINESE))

    assert [CHINESE.name, *english[1:]] == english
    assert [ENGLISH.name, *english[1:]] == chinese


@PAGES
def test_every_link_leads_to_a_file(page: Path) -> None:
    links = [link for link in LINK.findall(page.read_text()) if "://" not in link]

    assert [] == [link for link in links if not (page.parent / link).exists()]
