"""What a command says: in one form, in characters that the terminal has, and a sentence for what the system refuses."""

from __future__ import annotations

import contextlib
import io
import logging
import os
import sys
import warnings
from collections.abc import Iterator
from concurrent.futures import BrokenExecutor
from typing import Any

import click

from hbaclib.errors import HbacError, printable

_OUT_OF_DEVICE = "ResourceExhaustedError"
"""TensorFlow's error where the memory of a device is full; known by name, as TensorFlow may not be there."""


def tell(message: object) -> None:
    """Print a message to the error stream."""
    click.echo(f"hbac: {printable(message)}", err=True)


def sentence(error: Exception) -> str | None:
    """What is to be told of an error that can come from anywhere: our own, or one of the system; None of any other.

    Args:
        error: whatever a command raised.
    """
    text = " ".join(str(error).split())
    if isinstance(error, HbacError):
        return str(error)
    if isinstance(error, MemoryError) or type(error).__name__ == _OUT_OF_DEVICE:
        return f"memory does not suffice ({text[:200] or 'no amount told'}); end other programs, or ask for less"
    if isinstance(error, BrokenExecutor):
        return f"a process of this command has died, mostly for lack of memory ({text[:200]}); try fewer: --jobs"
    if isinstance(error, OSError):
        return _of_the_system(error)
    if isinstance(error, UnicodeError):
        return _of_an_encoding(error)
    # Python raises these as errors of a program, though a path is to blame.
    if isinstance(error, ValueError) and text.startswith("embedded null"):
        return "a path holds a NUL byte, which no name of a file can"
    if isinstance(error, RuntimeError) and text.startswith("Symlink loop"):
        return f"{text[len('Symlink loop from ') :].strip(chr(39))}: a link that leads back to itself"
    if isinstance(error, RuntimeError) and text.startswith("Could not determine home"):
        return "a path begins with ~ and the name of a user who has no home here; write the whole path"
    return None


def _of_the_system(error: OSError) -> str:
    if error.args and isinstance(error.args[0], list):  # of shutil: what failed of many files
        told = [f"{row[0]}: {row[-1]}" for row in error.args[0] if isinstance(row, tuple) and row]
        return told[0] if told else type(error).__name__
    names = [os.fsdecode(name) for name in (error.filename, error.filename2) if isinstance(name, str | bytes) and name]
    reason = error.strerror or " ".join(str(error).split())[:300] or type(error).__name__
    return ": ".join([" -> ".join(names), reason] if names else [reason])


def _of_an_encoding(error: UnicodeError) -> str:
    if not isinstance(error, UnicodeEncodeError | UnicodeDecodeError):
        return f"a text cannot be written or read ({' '.join(str(error).split())[:200]})"
    what: Any = error.object[max(error.start - 40, 0) : error.end + 40]
    if isinstance(error, UnicodeDecodeError):
        return f"a text is not {error.encoding}: byte {error.object[error.start]:#04x} in {bytes(what)!r}"
    return f"a name or a text cannot be written as {error.encoding}: {printable(what, one_line=True)}"


def give_up_output(*, unless_whole: bool = False) -> None:
    """Let Python write nothing more to the standard output, at its end neither.

    Args:
        unless_whole: only where what was printed cannot be written.
    """
    with contextlib.suppress(OSError, ValueError, AttributeError):
        if unless_whole:
            try:
                sys.stdout.flush()
            except OSError:
                pass
            else:
                return
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


class _Telling(logging.Handler):
    """Prints what the library logs as messages of the command."""

    def emit(self, record: logging.LogRecord) -> None:
        tell(record.getMessage())


@contextlib.contextmanager
def plain_streams() -> Iterator[None]:
    """Within the block nothing fails for want of a character, and warnings and the log are messages of the command.

    Terminals and pipes have encodings (cp932, ASCII, Latin-1) that lack some characters: those are escaped.
    """
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(AttributeError, ValueError, OSError):  # none, or one of another kind
            if isinstance(stream, io.TextIOWrapper) and stream.errors in ("strict", "surrogateescape"):
                stream.reconfigure(errors="backslashreplace")
    form, log, handler = warnings.formatwarning, logging.getLogger("hbaclib"), _Telling(logging.WARNING)
    # Their form alone: who records warnings still gets them.
    warnings.formatwarning = lambda message, *rest, **named: f"hbac: {printable(message)}\n"
    log.addHandler(handler)
    try:
        yield
    finally:
        log.removeHandler(handler)
        warnings.formatwarning = form
