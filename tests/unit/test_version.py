"""The version has one place, `proxy/__init__.py`. Every other file that names it says the same."""

from __future__ import annotations

import re
from configparser import ConfigParser
from pathlib import Path

import pytest

import proxy
from proxy.cli import main

ROOT = Path(__file__).parent.parent.parent


def test_command_line_tells_the_version(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--version"])

    assert (0, f"proxy {proxy.__version__}\n") == (ended.value.code, capsys.readouterr().out)


def test_package_takes_its_version_from_the_module() -> None:
    metadata = ConfigParser()
    metadata.read(ROOT / "setup.cfg")

    assert "attr: proxy.__version__" == metadata["metadata"]["version"]


def test_image_carries_the_version() -> None:
    """The classic builder cannot read a file into a label, so the Dockerfile repeats it."""
    labels = re.findall(
        r'^LABEL org\.opencontainers\.image\.version="(.*)"$', (ROOT / "Dockerfile").read_text(), re.MULTILINE
    )

    assert [proxy.__version__] == labels


def test_newest_release_in_the_changelog_is_this_version() -> None:
    newest = re.findall(r"^## (\d\S*)", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)[0]

    assert proxy.__version__ == newest
