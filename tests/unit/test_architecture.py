"""Rules of the source that no linter enforces. `.importlinter` says which modules may import which."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

PACKAGE = Path(__file__).parent.parent.parent / "proxy"
MODULES = {".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts): path for path in sorted(PACKAGE.rglob("*.py"))}
READS_THE_ENVIRONMENT = {"proxy.cli"}

TABLES = {"proxy.core.labels.labels", "proxy.core.labels.simple_routing"}
"""The module has a grammar and its table of labels; most of it is the table."""

MAX_MODULE_LINES = 300
MAX_FUNCTION_LINES = 40
MAX_PARAMETERS = 5


def imports_of(module: str) -> set[str]:
    """Return the modules that `module` imports, anywhere in its text."""
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
