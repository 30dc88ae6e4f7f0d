"""Tries wrong changes on a copy of the source, one at a time, and says which of them the tests let pass.

``python -m tests.mutants.run [WORD ...]`` tries those of the table whose file or description holds a word, by default
all, and writes the outcome as a table for the evidence (``--out FILE``). Exit code 1 where one survives.
"""

from __future__ import annotations

import argparse
import ast
import os
import shutil
import subprocess
import sys
import tempfile
import time
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
TABLE = Path(__file__).with_name("table.toml")
MINUTES, MINUTES_OF_ALL = 15, 90
"""A change that makes its tests wait for longer is noticed as well; and how long all of them may take without any."""


@dataclass(frozen=True)
class Mutant:
    """A wrong change: a stretch of a file that stands there once, what takes its place, and who must notice."""

    what: str
    file: str
    old: str
    new: str
    tests: tuple[str, ...]

    @property
    def room(self) -> str:
        """The room of the library that the file lies in, or its name where it lies in none."""
        parts = Path(self.file).parts
        return parts[1] if len(parts) > 2 else Path(self.file).stem

    def applied(self, source: str) -> str:
        """The file's text with the change made.

        Raises:
            ValueError: what is to be replaced does not stand there exactly once, or the result is no Python.
        """
        if (found := source.count(self.old)) != 1:
            raise ValueError(f"{self.file}: {self.old!r} stands there {found} times, expected once ({self.what})")
        changed = source.replace(self.old, self.new)
        ast.parse(changed)
        return changed


def read_table() -> list[Mutant]:
    """All wrong changes, in the table's order."""
    rows = tomllib.loads(TABLE.read_text(encoding="utf-8"))["mutant"]
    return [Mutant(**{**row, "tests": tuple(row["tests"])}) for row in rows]


def copy_tree(place: Path) -> Path:
    """Copy what git knows of this checkout, with links to nothing of it."""
    listed = subprocess.run(["git", "ls-files", "-z", "-co", "--exclude-standard"], cwd=ROOT, capture_output=True)
    for name in listed.stdout.decode().split("\0"):
        if name and (ROOT / name).is_file():
            (place / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, place / name)
    return place


def run_tests(tree: Path, tests: Sequence[str], minutes: float = MINUTES) -> str:
    """What tests say of a tree: ``pass``, ``fail``, ``wait`` (they took too long) or ``break`` (they cannot start)."""
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-n0", "-p", "no:cacheprovider", "--no-header", *tests]
    environment = {**os.environ, "PYTHONPATH": str(tree), "PYTHONDONTWRITEBYTECODE": "1"}
    try:
        ended = subprocess.run(command, cwd=tree, env=environment, capture_output=True, timeout=60 * minutes)
    except subprocess.TimeoutExpired:
        return "wait"
    return {0: "pass", 1: "fail"}.get(ended.returncode, "break")


def main() -> int:
    """Try the changes and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("words", nargs="*")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    chosen = [
        mutant
        for mutant in read_table()
        if not options.words or any(word in f"{mutant.file} {mutant.what}" for word in options.words)
    ]
    rows, survivors = [], 0
    with tempfile.TemporaryDirectory(prefix="mutants-") as folder:
        tree = copy_tree(Path(folder))
        whole = run_tests(tree, sorted({test for mutant in chosen for test in mutant.tests}), MINUTES_OF_ALL)
        if whole != "pass":
            print(f"the tests do not pass without any change ({whole})", file=sys.stderr)
            return 2
        for mutant in chosen:
            path, begin = tree / mutant.file, time.monotonic()
            source = path.read_text(encoding="utf-8")
            path.write_text(mutant.applied(source), encoding="utf-8")
            said = run_tests(tree, mutant.tests)
            path.write_text(source, encoding="utf-8")
            caught = said in ("fail", "wait")
            survivors += not caught
            rows.append(f"| {mutant.room} | {mutant.what} | {'caught' if caught else f'**survives** ({said})'} |")
            print(f"{rows[-1]} {time.monotonic() - begin:.0f} s", flush=True)
    head = f"{len(rows)} wrong changes, {survivors} survive.\n\n| room | change | tests |\n|---|---|---|\n"
    if options.out:
        options.out.write_text(head + "\n".join(rows) + "\n", encoding="utf-8")
    print(f"{len(rows)} wrong changes, {survivors} survive")
    return bool(survivors)


if __name__ == "__main__":
    sys.exit(main())
