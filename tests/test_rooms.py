"""The order of the rooms: no arrow runs back up, every file is small, and the README's picture is the code's."""

from __future__ import annotations

import pytest

from tests.rooms import BEGIN, END, ORDER, ROOT, arrows, imports, modules, picture, rank, room_of

LONGEST = 400
"""Lines of a file, with blanks, comments and docstrings: one idea each."""


def test_every_room_has_its_place() -> None:
    assert {room_of(name) for name in modules() if name != "hbaclib"} == {room for rooms in ORDER for room in rooms}


def test_no_arrow_runs_back_up() -> None:
    # The single files of the ground may lean on each other, in no circle, as Python itself sees to at import.
    ground = set(ORDER[-2])
    wrong = [
        line for (a, b), lines in arrows().items() for line in lines if rank(a) >= rank(b) and not {a, b} <= ground
    ]
    assert wrong == []


def test_an_arrow_that_runs_up_is_seen(tmp_path) -> None:
    file = tmp_path / "window.py"
    file.write_text(
        "def f():\n    from hbaclib.training import recipe\n    from hbaclib.signal.mel import eeg_spectrogram\n"
    )
    assert imports(file, modules()) == {"hbaclib.training.recipe", "hbaclib.signal.mel"}
    assert rank("stages") > rank("training") and rank("stages") < rank("signal")


@pytest.mark.parametrize("path", sorted(modules().values()), ids=lambda path: path.relative_to(ROOT).as_posix())
def test_no_file_is_large(path) -> None:
    assert len(path.read_text().splitlines()) <= LONGEST


def test_the_readme_shows_the_rooms_as_the_code_has_them() -> None:
    shown = (ROOT / "README.md").read_text(encoding="utf-8").partition(BEGIN)[2].partition(END)[0]
    assert shown == picture(), "write it anew: python -m tests.rooms"
