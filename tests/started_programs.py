"""Reads from Python sources which programs they start.

In: the files of some folders. Out: names of programs, each with the place that starts it, and the expressions whose program
cannot be read. Rules: a function that starts what it is given is followed to its callers, also through other modules, so a
new helper needs no entry here.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.shell_words import PROGRAM, STARTS_ANOTHER, programs_of_shell

STARTERS = frozenset(
    {
        *(f"subprocess.{name}" for name in ("run", "Popen", "call", "check_call", "check_output", "getoutput")),
        *(f"asyncio.create_subprocess_{name}" for name in ("exec", "shell")),
        *(f"os.{name}" for name in ("system", "popen", "execv", "execve", "execvp", "execvpe", "execl", "execlp")),
        *("os.posix_spawn", "os.posix_spawnp", "shutil.which"),
    }
)
_SHELLS = frozenset({"sh", "bash", "dash"})
_UNREAD = "?"
"""Stands before an expression that cannot be read."""
_NOTHING = "[]"
"""Stands for a part of a command that may be empty; then the next word names the program."""


@dataclass(frozen=True, slots=True, order=True)
class Start:
    """A place that starts a program; or `unread`, the expression that would have to say which program it is."""

    place: str
    program: str = ""
    unread: str = ""


@dataclass(frozen=True, slots=True)
class _Scope:
    """Where an expression stands: its module, and the functions around it, the innermost first."""

    module: str
    functions: tuple[ast.FunctionDef, ...] = ()


def programs_of_python(sources: Iterable[tuple[str, str]]) -> list[Start]:
    """Return what Python modules start. Each source is the module's dotted name and its text."""
    return _Reader({name: ast.parse(text) for name, text in sources}).starts()


def python_sources(root: Path, *folders: str) -> Iterator[tuple[str, str]]:
    """Yield the modules of these folders: dotted name and text."""
    for path in sorted(path for folder in folders for path in (root / folder).rglob("*.py")):
        yield ".".join(path.relative_to(root).with_suffix("").parts), path.read_text()


class _Reader:
    """All modules at once. A function that starts one of its parameters becomes a starter itself."""

    def __init__(self, modules: dict[str, ast.Module]) -> None:
        self._modules = modules
        self._calls = [(scope, node) for name, tree in modules.items() for scope, node in _calls(_Scope(name), tree)]
        self._names = {name: _imported_names(tree) for name, tree in modules.items()}
        self._makers = _keyword_values(modules)
        self._starters: dict[str, str] = dict.fromkeys(STARTERS, "")
        """The parameter that names the program, by function; empty: the first one."""
        self._resolving: set[ast.AST] = set()

    def starts(self) -> list[Start]:
        """Return every start, sorted. Runs until no further function turns out to be a starter."""
        known = -1
        found: set[Start] = set()
        while known != len(self._starters):
            known = len(self._starters)
            found = {start for scope, call in self._calls for start in self._read_call(scope, call)}
        return sorted(found)

    def _read_call(self, scope: _Scope, call: ast.Call) -> Iterator[Start]:
        function = self._qualified(scope, call.func)
        if function not in self._starters:
            return
        command = _argument(call, self._starters[function], self._definition(function))
        if command is None:
            return
        place = f"{scope.module}:{call.lineno}"
        for word in {*self._words(scope, command)} - {_NOTHING}:
            yield Start(place, unread=word[1:]) if word.startswith(_UNREAD) else Start(place, word)

    def _words(self, scope: _Scope, node: ast.expr) -> list[str]:
        """Return the programs that a command can name, and expressions that cannot be read, with `_UNREAD` before them."""
        if node in self._resolving:
            return []
        self._resolving.add(node)
        try:
            return self._resolve(scope, node)
        finally:
            self._resolving.discard(node)

    def _resolve(self, scope: _Scope, node: ast.expr) -> list[str]:
        match node:
            case ast.Constant(value=str(text)):
                return programs_of_shell(text)
            case ast.List(elts=words) | ast.Tuple(elts=words):
                return self._resolve_list(scope, words)
            case ast.Starred(value=value) | ast.BinOp(left=value, op=ast.Add()):
                return self._words(scope, value)
            case ast.ListComp(elt=ast.Call(func=ast.Name(id="str")), generators=[ast.comprehension(iter=value)]):
                return self._words(scope, value)
            case ast.BinOp(op=ast.Div()):
                return []  # a path, to a file that the test has made or that is read as well
            case ast.BoolOp(values=values):
                return [word for value in values for word in self._words(scope, value)]
            case ast.IfExp(body=body, orelse=other):
                return [*self._words(scope, body), *self._words(scope, other)]
            case ast.Attribute(value=ast.Name(id="sys"), attr="executable"):
                return ["python3"]
            case ast.Attribute(value=ast.Name(id="self")):
                found = _assigned(self._modules[scope.module], ast.unparse(node))
                return [word for value in found for word in self._words(scope, value)] or [f"{_UNREAD}{ast.unparse(node)}"]
            case ast.Name(id=name):
                return self._resolve_name(scope, name)
            case ast.Call(func=ast.Name(id="str"), args=[value]):
                return self._words(scope, value)
            case ast.Call():
                return self._resolve_call(scope, node)
        return [f"{_UNREAD}{ast.unparse(node)}"]

    def _resolve_list(self, scope: _Scope, elements: list[ast.expr]) -> list[str]:
        if not elements:
            return [_NOTHING]
        first, rest = elements[0], elements[1:]
        words = self._words(scope, first)
        if _NOTHING in words:
            words = [*(word for word in words if word != _NOTHING), *self._resolve_list(scope, rest)]
        if set(words) & STARTS_ANOTHER:
            words += self._started_by_another(scope, rest)
        if set(words) & _SHELLS:
            texts = [word.value for word in rest if isinstance(word, ast.Constant) and isinstance(word.value, str)]
            words += [word for text in texts if not text.startswith("-") for word in programs_of_shell(text)]
        return words

    def _started_by_another(self, scope: _Scope, arguments: list[ast.expr]) -> list[str]:
        """Return the program among the arguments of one such as `taskset`: the first word that can be a program's name."""
        for argument in arguments:
            match argument:
                case ast.Constant(value=str(text)) if PROGRAM.match(text):
                    return [text]
                case ast.Starred(value=ast.Name() | ast.Call() | ast.List()) | ast.Attribute(value=ast.Name(id="sys")):
                    return self._words(scope, argument)
        return []

    def _resolve_name(self, scope: _Scope, name: str) -> list[str]:
        for function in scope.functions:
            if name in _parameters(function):
                self._starters.setdefault(f"{scope.module}.{function.name}", name)
                return []
            if found := _assigned(function, name):
                return [word for value in found for word in self._words(scope, value)]
        if found := _assigned(self._modules[scope.module], name):
            return [word for value in found for word in self._words(_Scope(scope.module), value)]
        module, _, imported = self._names[scope.module].get(name, "").rpartition(".")
        if module in self._modules:
            return self._resolve_name(_Scope(module), imported)
        return [f"{_UNREAD}{name}"]

    def _resolve_call(self, scope: _Scope, call: ast.Call) -> list[str]:
        """Follow a function that makes the command: by its name, or by the name of the field that holds it."""
        function = self._qualified(scope, call.func)
        if function in self._starters:  # `machine.program("x")` names the program, and is read as a start itself
            return []
        definition = self._definition(function)
        if definition is not None:
            return self._returned(function.rpartition(".")[0], definition)
        if isinstance(call.func, ast.Attribute):
            nodes = ast.walk(self._modules[scope.module])
            methods = [node for node in nodes if isinstance(node, ast.FunctionDef) and node.name == call.func.attr]
            if methods:
                return [word for method in methods for word in self._returned(scope.module, method)]
            makers = self._makers.get(call.func.attr, [])
            found = [(maker, self._definition(maker)) for maker in makers]
            words = [self._returned(maker.rpartition(".")[0], made) for maker, made in found if made]
            if words:
                return [word for made in words for word in made]
        return [f"{_UNREAD}{ast.unparse(call.func)}"]

    def _returned(self, module: str, function: ast.FunctionDef) -> list[str]:
        scope = _Scope(module, (function,))
        returned = [node.value for node in ast.walk(function) if isinstance(node, ast.Return) and node.value]
        return [word for value in returned for word in self._words(scope, value)]

    def _qualified(self, scope: _Scope, function: ast.expr) -> str:
        match function:
            case ast.Name(id=name):
                return self._names[scope.module].get(name, f"{scope.module}.{name}")
            case ast.Attribute(value=ast.Name(id=owner), attr=name):
                return f"{self._names[scope.module].get(owner, owner)}.{name}"
        return ""

    def _definition(self, function: str) -> ast.FunctionDef | None:
        module, _, name = function.rpartition(".")
        body = self._modules[module].body if module in self._modules else []
        return next((node for node in body if isinstance(node, ast.FunctionDef) and node.name == name), None)


def _calls(scope: _Scope, node: ast.AST) -> Iterator[tuple[_Scope, ast.Call]]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Call):
            yield scope, child
        inner = _Scope(scope.module, (child, *scope.functions)) if isinstance(child, ast.FunctionDef) else scope
        yield from _calls(inner, child)


def _argument(call: ast.Call, parameter: str, definition: ast.FunctionDef | None) -> ast.expr | None:
    """Return what a call gives for the parameter that names the program."""
    named = next((word.value for word in call.keywords if word.arg in (parameter or "args",)), None)
    if named is not None or definition is None:
        return named or (call.args[0] if call.args else None)
    if definition.args.vararg and definition.args.vararg.arg == parameter:
        rest = call.args[len(definition.args.args) :]
        return ast.Tuple(elts=rest, lineno=call.lineno) if rest else None
    position = [argument.arg for argument in definition.args.args].index(parameter)
    return call.args[position] if position < len(call.args) else None


def _parameters(function: ast.FunctionDef) -> set[str]:
    given = function.args
    named = (*given.posonlyargs, *given.args, *given.kwonlyargs, *([given.vararg] if given.vararg else ()))
    return {argument.arg for argument in named}


def _assigned(scope: ast.AST, name: str) -> list[ast.expr]:
    """Return every value that a name gets here."""
    found: list[ast.expr] = []
    for node in ast.walk(scope):
        match node:
            case ast.Assign(targets=[target], value=value) if ast.unparse(target) == name:
                found.append(value)
            case ast.Assign(targets=[ast.Tuple(elts=targets)], value=ast.Tuple(elts=values)):
                pairs = zip(targets, values, strict=False)
                found += [value for target, value in pairs if ast.unparse(target) == name]
            case ast.AnnAssign(target=target, value=ast.expr() as value) if ast.unparse(target) == name:
                found.append(value)
            case ast.For(target=ast.Name(id=target), iter=ast.List(elts=values) | ast.Tuple(elts=values)) if target == name:
                found += values
    return found


def _keyword_values(modules: Mapping[str, ast.Module]) -> Mapping[str, list[str]]:
    """Return the names that are given for keywords anywhere, by keyword: they may be functions that make a command."""
    found: dict[str, list[str]] = {}
    for module, tree in modules.items():
        for node in ast.walk(tree):
            if isinstance(node, ast.keyword) and node.arg and isinstance(node.value, ast.Name):
                found.setdefault(node.arg, []).append(f"{module}.{node.value.id}")
    return found


def _imported_names(tree: ast.Module) -> dict[str, str]:
    names: dict[str, str] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module:
            names |= {alias.asname or alias.name: f"{node.module}.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.Import):
            names |= {alias.asname or alias.name: alias.name for alias in node.names}
    return names
