"""What `pip install` brings is the whole program: it is built, installed where nothing of the checkout is, and run."""

from __future__ import annotations

import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

from proxy import __version__
from tests.eventually import eventually
from tests.haproxy.client import HOST, ask
from tests.haproxy.product import Product
from tests.haproxy.program import ROOT, Program

pytestmark = pytest.mark.haproxy

PIP = (sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet")


def build_wheel(folder: Path) -> Path:
    """Build the wheel from a copy, so that nothing of an earlier build gets into it."""
    source = folder / "source"
    source.mkdir()
    for name in ("setup.cfg", "pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    shutil.copytree(ROOT / "proxy", source / "proxy", ignore=shutil.ignore_patterns("__pycache__"))
    subprocess.run([*PIP, "wheel", "--no-deps", "--wheel-dir", str(folder), str(source)], check=True)
    return next(folder.glob("proxy-*.whl"))


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Install the wheel into a virtual environment that has only the libraries of this one. Return its programs' folder."""
    folder = tmp_path_factory.mktemp("wheel")
    environment = folder / "venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(environment)], check=True)
    wheel, python = build_wheel(folder), environment / "bin" / "python"
    subprocess.run([*PIP, "--python", str(python), "install", "--no-deps", str(wheel)], check=True)
    site = next(environment.glob("lib/python*/site-packages"))
    (site / "libraries.pth").write_text(sysconfig.get_path("purelib"))
    return environment / "bin"


def run(program: Program, installed: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [str(installed / "proxy"), *arguments]
    return subprocess.run(
        command, env=program.environment, cwd=program.folder, capture_output=True, text=True, timeout=60, check=False
    )


def test_installed_program_is_not_the_checkout_and_knows_its_version(program: Program, installed: Path) -> None:
    command = [str(installed / "python"), "-c", "import proxy; print(proxy.__file__, proxy.__version__)"]

    file, version = subprocess.run(command, cwd=program.folder, capture_output=True, text=True, check=True).stdout.split()

    assert Path(file).is_relative_to(installed.parent)
    assert __version__ == version


@pytest.mark.parametrize("mode", ["custom", "acsrouting"])
def test_installed_program_checks_and_prints_its_configuration(program: Program, installed: Path, mode: str) -> None:
    program.write_services()

    checked, rendered = (run(program, installed, command, "--mode", mode) for command in ("check", "render"))

    assert (0, 0) == (checked.returncode, rendered.returncode), checked.stderr + rendered.stderr
    assert "frontend port_80" in rendered.stdout


def test_installed_program_serves(program: Program, product: Product, installed: Path) -> None:
    program.write_services(web=(product.backend("web"), {"VIRTUAL_HOST": HOST}))
    command, log = [str(installed / "proxy"), "run"], program.log.open("w")

    with log, subprocess.Popen(command, env=program.environment, cwd=program.folder, stdout=log, stderr=log) as process:
        try:
            assert "web" == eventually(lambda: ask(80 + program.offset).server), program.log.read_text()
        finally:
            process.terminate()

    assert 0 == process.returncode
