"""The table of wrong changes fits the source: every one can be made, and every room has some."""

from __future__ import annotations

import pytest

from tests.mutants.run import ROOT, read_table, run_tests

TABLE = read_table()


@pytest.mark.parametrize("mutant", TABLE, ids=lambda mutant: mutant.what)
def test_the_change_can_be_made_and_somebody_is_to_notice(mutant) -> None:
    source = (ROOT / mutant.file).read_text(encoding="utf-8")
    assert mutant.applied(source) != source
    assert mutant.tests and all((ROOT / test.split("::")[0]).exists() for test in mutant.tests)


def test_there_are_enough_of_them_in_every_room() -> None:
    assert len(TABLE) >= 41 and len({mutant.what for mutant in TABLE}) == len(TABLE)
    rooms = {room.name for room in (ROOT / "hbaclib").iterdir() if (room / "__init__.py").is_file()}
    assert rooms <= {mutant.room for mutant in TABLE}


@pytest.mark.parametrize(
    ("source", "outcome"),
    [("VALUE = 1\n", "pass"), ("VALUE = 2\n", "fail"), ("import nothing_of_that_name\n", "break")],
)
def test_what_survives_is_told_from_what_is_caught_and_what_cannot_start(tmp_path, source: str, outcome: str) -> None:
    (tmp_path / "part.py").write_text(source)
    (tmp_path / "test_part.py").write_text("import part\n\n\ndef test_value():\n    assert part.VALUE == 1\n")
    assert run_tests(tmp_path, ["test_part.py"]) == outcome


def test_a_change_that_fits_nowhere_or_twice_is_refused() -> None:
    for source in ("", f"{TABLE[0].old}\n{TABLE[0].old}\n"):
        with pytest.raises(ValueError, match="expected once"):
            TABLE[0].applied(source)
