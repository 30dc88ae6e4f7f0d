"""The rooms of the library and the arrows between them, from the imports in the code.

``python -m tests.rooms`` writes the picture into the README; `tests.test_rooms` compares, and holds the order.
"""

from __future__ import annotations

import ast
import io
import sys
import tokenize
from collections import defaultdict
from pathlib import Path

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "hbaclib"
ORDER: tuple[tuple[str, ...], ...] = (
    ("cli",),
    ("kaggle",),
    ("suite",),
    ("selftest",),
    ("builtin",),
    ("report",),
    ("plots",),
    ("timeline",),
    ("prediction",),
    ("ensemble",),
    ("search",),
    ("training",),
    ("evaluation",),
    ("models",),
    ("inputs",),
    ("stages",),
    ("dataset",),
    ("recordings",),
    ("signal",),
    (
        "source",
        "artefacts",
        "compat",
        "digests",
        "errors",
        "files",
        "locks",
        "outputs",
        "platform",
        "processes",
        "schema",
    ),
    ("conventions", "secrecy"),
)  # fmt: skip
"""From the top: a room may import from rooms further down. Those of the last two lines are files, but for compat."""
BEGIN, END = "<!-- rooms: written by python -m tests.rooms -->\n", "<!-- end of the rooms -->\n"


def rank(room: str) -> int:
    """Height of a room: 0 is the top."""
    return next(number for number, rooms in enumerate(ORDER) if room in rooms)


def room_of(name: str) -> str:
    """``hbaclib.signal.mel`` -> ``signal``."""
    return name.split(".")[1] if "." in name else ""


def modules() -> dict[str, Path]:
    """Name -> file of every module of the library."""
    found = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def imports(path: Path, known: dict[str, Path]) -> set[str]:
    """Names of the library's modules that a file imports, wherever it does, for type checkers too."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            inner = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= (inner & known.keys()) or {node.module}
    return {name for name in found if name in known and name != "hbaclib"}


def arrows() -> dict[tuple[str, str], list[str]]:
    """(from, to) -> the imports behind an arrow between two rooms, as ``a -> b``."""
    known = modules()
    found: dict[tuple[str, str], list[str]] = defaultdict(list)
    for name, path in known.items():
        for other in sorted(imports(path, known)):
            pair = room_of(name), room_of(other)
            if name != "hbaclib" and pair[0] != pair[1]:
                found[pair].append(f"{name} -> {other}")
    return found


def lines_of_code(path: Path) -> int:
    """Lines without blank ones, comments and docstrings."""
    text = path.read_text(encoding="utf-8")
    words = {
        line
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
        for line in range(node.lineno, (node.end_lineno or node.lineno) + 1)
    }
    skipped = (tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT, tokenize.ENDMARKER)
    code = {
        line
        for token in tokenize.generate_tokens(io.StringIO(text).readline)
        if token.type not in skipped
        for line in range(token.start[0], token.end[0] + 1)
    }
    return len(code - words)


def picture() -> str:
    """One line a room, from the top: what it imports from, which always stands further down."""
    below: dict[str, set[str]] = defaultdict(set)
    for start, end in arrows():
        below[start].add(end)
    lines = defaultdict(int)
    for name, path in modules().items():
        lines[room_of(name)] += lines_of_code(path)
    ground = {room for rooms in ORDER[-2:] for room in rooms}
    rows = []
    for rooms in ORDER[:-2]:
        for room in rooms:
            targets = sorted(below[room] - ground, key=rank)
            rows.append(f"{room:<11}{lines[room]:>6}  {'-> ' + ' '.join(targets) if targets else ''}".rstrip())
    rest = sum(lines[room] for room in ground)
    rows.append(
        f"{'ground':<11}{rest:>6}  {' '.join(room for rooms in ORDER[-2:] for room in rooms)}: imported from everywhere"
    )
    return "\n".join(["```", "room        lines  imports from", *rows, "```", ""])


def main() -> None:
    """Write the picture into the README."""
    readme = ROOT / "README.md"
    before, _, rest = readme.read_text(encoding="utf-8").partition(BEGIN)
    _, _, after = rest.partition(END)
    readme.write_text(before + BEGIN + picture() + END + after, encoding="utf-8")
    sys.stdout.write(picture())


if __name__ == "__main__":
    main()
