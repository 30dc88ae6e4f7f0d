"""What of the code decides a result, as one digest: a changed way of computing makes stored results out of date.

A stage depends on the modules that its entry module imports, and on those that they import. They are compared as syntax
trees without comments and docstrings, so that words about the code retrain no network, and written down in a form that
is the same on every Python that the library supports (``ast.dump`` is not).
"""

from __future__ import annotations

import ast
import contextlib
import functools
import inspect
import linecache
import sysconfig
import textwrap
import tokenize
import types
from collections.abc import Callable, Iterable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

from hbaclib.artefacts import digest_bytes, digest_json

PACKAGE = Path(__file__).parent
NAME = "hbaclib"
_GROUND = (
    "artefacts", "compat.joblib", "compat.keras_settings", "compat.tensorflow", "digests", "errors", "files", "locks",
    "outputs", "platform", "processes", "secrecy", "source",
)  # fmt: skip
_TRAINING = ("children", "gpus", "pace", "plan", "pool", "progress", "reports")
APPARATUS = frozenset(f"{NAME}.{name}" for name in (*_GROUND, *(f"training.{name}" for name in _TRAINING)))
"""Modules that find, protect, name and show results, and change none."""
_OF_A_CLASS = ("__module__", "__doc__", "__dict__", "__weakref__", "__firstlineno__", "__static_attributes__")
_FOREIGN = tuple(sysconfig.get_paths()[key] for key in ("stdlib", "platstdlib", "purelib", "platlib"))


@cache
def code_digest(*entries: str, apparatus: bool = False) -> str:
    """Digest of modules of the library and of all that they import of it.

    Args:
        entries: names of modules, as ``hbaclib.training.fit``.
        apparatus: count in the APPARATUS, which makes messages and pictures but no stored result.
    """
    names = import_closure(entries, frozenset() if apparatus else APPARATUS)
    return digest_json([(name, _facts_of(name)[1]) for name in names])


def import_closure(entries: Iterable[str], without: frozenset[str] = frozenset()) -> list[str]:
    """Names of the library's modules that some of them import, directly or through others, with themselves, sorted.

    Imports for type checkers alone do not count, those within functions do.

    Args:
        entries: names of modules.
        without: modules that are left out, with what only they import.
    """
    found: set[str] = set()
    waiting = list(entries)
    while waiting:
        name = waiting.pop()
        if name not in found and name not in without:
            found.add(name)
            waiting += _facts_of(name)[0]
    return sorted(found)


def imported_modules(tree: ast.AST) -> list[str]:
    """Names of the library's modules that a syntax tree imports, also through the library's own public names."""
    from hbaclib import _MODULE_OF

    found = []
    for node in _run_nodes(tree):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names if alias.name.startswith(f"{NAME}.")]
        elif isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == NAME:
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                if _path_of(inner):
                    found.append(inner)
                elif node.module != NAME:
                    found.append(str(node.module))
                elif alias.name in _MODULE_OF:
                    found.append(f"{NAME}.{_MODULE_OF[alias.name]}")
    return found


def _run_nodes(tree: ast.AST) -> Iterator[ast.AST]:
    """All nodes but those that only type checkers look at."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            continue
        yield node
        yield from _run_nodes(node)


def _path_of(name: str) -> Path | None:
    path = PACKAGE.joinpath(*name.split(".")[1:])
    files = path / "__init__.py", path.with_name(f"{path.name}.py")
    return next((file for file in files if file.is_file()), None)


@cache
def _facts_of(name: str) -> tuple[list[str], str]:
    """What a module of the library imports, and its digest; the tree itself is not kept, which takes megabytes."""
    path = _path_of(name)
    if path is None:
        raise ValueError(f"{name}: no such module")
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return imported_modules(tree), source_digest(tree)


def source_digest(source: str | ast.AST) -> str:
    """Digest of Python source, without comments, docstrings and layout; the same on every supported Python."""
    tree = ast.parse(source) if isinstance(source, str) else source
    return digest_bytes(_written(tree).encode())


def _written(node: Any) -> str:
    """A syntax tree as text. Fields that are empty are left out: newer Pythons have more of them."""
    if isinstance(node, list):
        parts = [_written(item) for item in node if not _is_text(item)]
        return f"[{','.join(parts)}]"
    if not isinstance(node, ast.AST):
        return repr(node)
    if isinstance(node, ast.JoinedStr):
        # Adjacent and empty pieces of text are joined by some versions and not by others.
        node = ast.JoinedStr(_joined(node.values))
        return f"JoinedStr([{','.join(map(_written, node.values))}])"
    fields = [
        f"{name}={_written(value)}"
        for name, value in ast.iter_fields(node)
        if name not in ("ctx", "kind", "type_comment") and value is not None and value != []
    ]
    return f"{type(node).__name__}({','.join(fields)})"


def _is_text(node: Any) -> bool:
    """Whether a statement is a text that nothing is done with: a docstring, of whatever it stands below."""
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)


def _joined(values: list[Any]) -> list[Any]:
    joined: list[Any] = []
    for value in values:
        text = str(value.value) if isinstance(value, ast.Constant) else ""
        if text and joined and isinstance(joined[-1], ast.Constant):
            joined[-1] = ast.Constant(str(joined[-1].value) + text)
        elif text or not isinstance(value, ast.Constant):
            joined.append(value)
    return joined


def callable_digest(function: Callable[..., Any]) -> str:
    """Digest of a function and of all that its result depends on, as far as the source tells.

    For the library's own it is the digest of its module (see `code_digest`). Of a user's function count its source, its
    default values, and the functions, classes, constants and modules of the user's own that it names.
    """
    return digest_json(_parts_of(function, set()))


def _parts_of(value: Any, seen: set[int]) -> list[Any]:
    """What tells a value, in an order that is its own; functions and classes once, as they may call each other."""
    if isinstance(value, bool | int | float | complex | str | bytes | type(None)):
        return [repr(value)]
    if isinstance(value, tuple | list):
        return [type(value).__name__, *(_parts_of(each, seen) for each in value)]
    if isinstance(value, set | frozenset):
        return [type(value).__name__, *sorted(digest_json(_parts_of(each, seen)) for each in value)]
    if isinstance(value, dict):
        return [[_parts_of(each, seen) for each in pair] for pair in value.items()]
    if isinstance(value, functools.partial):
        return [_parts_of(each, seen) for each in (value.func, value.args, value.keywords)]
    if isinstance(value, types.MethodType | classmethod | staticmethod):
        return _parts_of(value.__func__, seen)
    if isinstance(value, property):
        return [_parts_of(each, seen) for each in (value.fget, value.fset)]
    if id(value) in seen:
        return []
    seen.add(id(value))  # of what lasts: another value may get the number of one that has gone
    if isinstance(value, types.ModuleType):
        return _parts_of_module(Path(getattr(value, "__file__", None) or ""))
    module = str(getattr(value, "__module__", ""))
    if module.split(".")[0] == NAME and _path_of(module):
        return [getattr(value, "__qualname__", ""), code_digest(module)]
    if isinstance(value, types.FunctionType):
        return _parts_of_function(value, seen) if _is_own(value.__code__.co_filename) else []
    if isinstance(value, type) and any(map(_is_own, _files_of(value))):
        # By what it has: the source of a class that was defined in a notebook is not to be had everywhere.
        attributes = {name: each for name, each in vars(value).items() if name not in _OF_A_CLASS}
        bases = [[base.__name__, _parts_of(base, seen)] for base in value.__bases__]
        return [value.__qualname__, bases, _parts_of(attributes, seen)]
    return []


def _files_of(value: type) -> list[str]:
    """Files in which the functions of a class are written."""
    return [each.__code__.co_filename for each in vars(value).values() if isinstance(each, types.FunctionType)]


def _parts_of_function(function: types.FunctionType, seen: set[int]) -> list[Any]:
    free = []
    for cell in function.__closure__ or ():
        with contextlib.suppress(ValueError):  # not filled yet
            free.append(cell.cell_contents)
    named = {name: function.__globals__[name] for name in _names_in(function.__code__) if name in function.__globals__}
    values = function.__defaults__, function.__kwdefaults__, free, dict(sorted(named.items()))
    return [_source_of(function), *(_parts_of(each, seen) for each in values)]


def _names_in(code: types.CodeType) -> set[str]:
    inner = [_names_in(each) for each in code.co_consts if isinstance(each, types.CodeType)]
    return set(code.co_names).union(*inner)


def _source_of(function: types.FunctionType) -> str:
    code = function.__code__
    try:
        if not code.co_filename.startswith("<") and Path(code.co_filename).suffix != ".py":
            raise OSError("taken from the text of another file, whose lines are not the function's")
        if code.co_name == "<lambda>":
            return digest_json([source_digest(node) for node in _lambdas_of(code)])
        return source_digest(textwrap.dedent(inspect.getsource(function)))
    except (OSError, TypeError, SyntaxError, tokenize.TokenError):
        # Typed into a console, or run from a page's text: its compiled form, which newer Pythons change.
        return repr(_compiled(code))


def _lambdas_of(code: types.CodeType) -> list[ast.Lambda]:
    """The lambda that was compiled to this; others may begin in the same line."""
    inspect.getsource(code)  # raises where there is none, and brings the file's lines up to date
    places = {(line, column) for line, _, column, _ in code.co_positions()}
    tree = ast.parse("".join(linecache.getlines(code.co_filename)))
    every = [node for node in ast.walk(tree) if isinstance(node, ast.Lambda)]
    found = [node for node in every if (node.body.lineno, node.body.col_offset) in places]
    if not found:
        raise OSError("the file was changed since")
    return found


def _compiled(code: types.CodeType) -> list[Any]:
    constants = [
        _compiled(each) if isinstance(each, types.CodeType) else _parts_of(each, set()) for each in code.co_consts
    ]
    return [code.co_code, code.co_names, code.co_varnames, constants]


def _parts_of_module(path: Path) -> list[str]:
    """Digests of a module's source where it is the user's own; of a package, of all its modules."""
    if path.suffix != ".py" or not _is_own(str(path)):
        return []
    files = sorted(path.parent.rglob("*.py")) if path.name == "__init__.py" else [path]
    return [source_digest(file.read_text(encoding="utf-8")) for file in files if file.is_file()]


def _is_own(file: str) -> bool:
    """Whether a file is the user's: neither Python's nor an installed package's."""
    return not file.startswith(_FOREIGN) and not file.startswith("<frozen")
