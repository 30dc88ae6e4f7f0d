"""The fenced blocks of the READMEs, and how each of them is executed."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from markdown_it import MarkdownIt

ROOT = Path(__file__).parents[2]
FILES = ("README.md", "kaggle/README.md")
LANGUAGES = ("bash", "python")
"""Languages of the blocks that are executed."""
SHOWN = ("toml", "")
"""Languages of the blocks that are only shown: a part of the suite table, a drawing."""
SKIPPED = "make test"


@dataclass(frozen=True)
class Block:
    """A fenced block.

    Attributes:
        file: relative to the checkout.
        line: of its first line of code, from 1.
        language: as its fence names it.
        code: its text.
    """

    file: str
    line: int
    language: str
    code: str

    @property
    def kind(self) -> str:
        """``install`` (run by ``.ci/run``), ``skipped``, ``shown`` (not a program), else ``run``."""
        if self.language not in LANGUAGES:
            return "shown"
        if any(words in self.code for words in ("pip install", "make demo")):
            return "install"
        commands = [line.partition("#")[0].strip() for line in self.code.strip().splitlines()]
        return "skipped" if commands == [SKIPPED] else "run"

    def __str__(self) -> str:
        return f"{self.file}:{self.line}"


def read_blocks(file: str) -> list[Block]:
    """All fenced blocks of a file, those within lists too, in their order."""
    tokens = MarkdownIt("commonmark").parse((ROOT / file).read_text(encoding="utf-8"))
    return [
        Block(file, token.map[0] + 2, token.info.strip(), token.content)
        for token in tokens
        if token.type == "fence" and token.map
    ]
