"""Who may know whom: the imports of the program, read from its source."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent.parent / "proxy"
MODULES = {".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts): path for path in sorted(PACKAGE.rglob("*.py"))}
CORE = [name for name in MODULES if name.startswith("proxy.core.")]
ADAPTERS = [name for name in MODULES if name.startswith("proxy.adapters.")]

IMPURE = {"asyncio", "docker", "io", "logging", "os", "random", "signal", "socket", "subprocess", "sys", "tempfile"}
IMPURE |= {"threading", "time", "watchdog"}

BELOW_CORE = {"proxy.errors", "proxy.secret", "proxy.settings"}
"""What core builds on: types without any behaviour that could reach outside."""

PARTS_OF_AN_ADAPTER = {
    "proxy.adapters.docker_source": {"proxy.adapters.docker_engine", "proxy.adapters.docker_view"},
    "proxy.adapters.docker_exec": {"proxy.adapters.docker_engine"},
    "proxy.adapters.probes": {"proxy.adapters.docker_engine", "proxy.adapters.docker_exec"},
    "proxy.adapters.file_source": {"proxy.adapters.file_watcher"},
    "proxy.adapters.runtime_api": {"proxy.adapters.runtime_socket"},
}
"""An adapter in several modules: who uses which part."""

READS_THE_ENVIRONMENT = {"proxy.cli"}

TABLES = {"proxy.core.labels", "proxy.core.simple_routing"}
"""A grammar and its table of labels in one module; most of it is the table."""

MAX_MODULE_LINES = 300
MAX_FUNCTION_LINES = 40
MAX_PARAMETERS = 5


def imports_of(module: str) -> set[str]:
    """The modules that `module` names in its imports, wherever they stand."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(MODULES[module].read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            below = {f"{node.module}.{alias.name}" for alias in node.names} & MODULES.keys()
            found |= below or {node.module}
    return found


def functions_of(module: str) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in ast.walk(ast.parse(MODULES[module].read_text())):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


@pytest.mark.parametrize("module", CORE)
def test_core_is_pure(module: str) -> None:
    roots = {name.partition(".")[0] for name in imports_of(module)}

    assert set() == roots & IMPURE


@pytest.mark.parametrize("module", CORE)
def test_core_knows_only_what_is_below_it(module: str) -> None:
    own = {name for name in imports_of(module) if name.startswith("proxy")}

    assert set() == {name for name in own if not name.startswith("proxy.core")} - BELOW_CORE


@pytest.mark.parametrize("module", ADAPTERS)
def test_adapters_do_not_know_each_other(module: str) -> None:
    others = {name for name in imports_of(module) if name.startswith("proxy.adapters.")}

    assert set() == others - PARTS_OF_AN_ADAPTER.get(module, set())


@pytest.mark.parametrize("module", ADAPTERS)
def test_adapters_know_nothing_of_the_program_above_them(module: str) -> None:
    below = ("proxy.adapters", "proxy.core", *BELOW_CORE)

    assert [] == [name for name in imports_of(module) if name.startswith("proxy") and not name.startswith(below)]


@pytest.mark.parametrize("module", ["proxy.reconciler", "proxy.admission", "proxy.daemon", "proxy.world"])
def test_decisions_do_not_depend_on_adapters(module: str) -> None:
    assert [] == [name for name in imports_of(module) if name.startswith("proxy.adapters")]


def test_imports_have_no_cycle() -> None:
    open_modules = {name: {other for other in imports_of(name) if other in MODULES} - {name} for name in MODULES}

    while free := [name for name, others in open_modules.items() if not others & open_modules.keys()]:
        for name in free:
            del open_modules[name]

    assert {} == open_modules


def test_environment_is_read_by_the_command_line_alone() -> None:
    readers = {
        name
        for name, path in MODULES.items()
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Attribute) and node.attr in ("environ", "getenv") and ast.unparse(node.value) == "os"
    }

    assert READS_THE_ENVIRONMENT == readers


def test_modules_are_small() -> None:
    lengths = {name: len(path.read_text().splitlines()) for name, path in MODULES.items() if name not in TABLES}

    assert {} == {name: length for name, length in lengths.items() if length > MAX_MODULE_LINES}


def test_functions_are_short() -> None:
    lengths = {
        f"{module}.{function.name}": (function.end_lineno or 0) - function.lineno + 1
        for module in MODULES
        for function in functions_of(module)
    }

    assert {} == {name: length for name, length in lengths.items() if length > MAX_FUNCTION_LINES}


def test_functions_have_few_parameters() -> None:
    counts = {
        f"{module}.{function.name}": sum(argument.arg not in ("self", "cls") for argument in function.args.args)
        for module in MODULES
        for function in functions_of(module)
    }

    assert {} == {name: count for name, count in counts.items() if count > MAX_PARAMETERS}


def test_every_module_says_what_it_is_for() -> None:
    trees = {name: ast.parse(path.read_text()) for name, path in MODULES.items()}

    assert [] == [name for name, tree in trees.items() if tree.body and not ast.get_docstring(tree)]
