"""``hbac synth --preview``: pictures instead of a set, and what does not go together."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from hbaclib.cli.main import main
from hbaclib.plots.preview import PICTURES, draw_preview


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    def drawn(folder: Path, **options: object) -> list[Path]:
        return draw_preview(folder, **options, examples=1, many=2)

    monkeypatch.setattr("hbaclib.plots.preview.draw_preview", drawn)


def test_pictures_are_drawn_and_named(tmp_path: Path, small: None) -> None:
    answer = CliRunner().invoke(main, ["synth", "--preview", str(tmp_path / "new" / "out"), "--seed", "3"])
    assert answer.exit_code == 0, answer.output
    assert [Path(line).name for line in answer.output.splitlines()] == list(PICTURES)
    assert all((tmp_path / "new" / "out" / name).is_file() for name in PICTURES)
    again = CliRunner().invoke(main, ["synth", str(tmp_path / "new" / "out")])
    assert again.exit_code == 1 and "something else than a synthetic set" in again.output


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--real", "."], "--real goes with --preview"),
        (["--preview", "--patients", "5"], "--patients is of a set"),
        (["--preview", "--test-rows", "5"], "--test-rows is of a set"),
        (["--preview", "--jobs", "2"], "--jobs is of a set"),
        (["--preview", "--seed", "-1"], "--seed"),
    ],
)
def test_what_does_not_go_together_is_told(arguments: list[str], words: str, tmp_path: Path) -> None:
    answer = CliRunner().invoke(main, ["synth", str(tmp_path / "out"), *arguments])
    assert answer.exit_code == 2 and words in answer.output and "Usage:" in answer.output
    assert not list(tmp_path.iterdir())


def test_a_folder_of_real_recordings_that_is_none_is_one_message(tmp_path: Path) -> None:
    for name, words in (("none", "no such folder"), ("empty", "no train.csv or eeg_labels.csv")):
        (tmp_path / "empty").mkdir(exist_ok=True)
        answer = CliRunner().invoke(main, ["synth", str(tmp_path / "out"), "--preview", "--real", str(tmp_path / name)])
        assert answer.exit_code == 1 and answer.output.startswith("hbac: ") and words in answer.output
    assert not (tmp_path / "out").exists()
