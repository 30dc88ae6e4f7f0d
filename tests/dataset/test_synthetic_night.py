"""Synthetic nights: what happens is what the truth says, and the file is EDF+ that others read alike."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import edfio
import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner, Result

from hbaclib import open_recording
from hbaclib.cli.main import main
from hbaclib.conventions import EEG_COLUMNS, PATTERNS
from hbaclib.dataset.synthetic import night
from hbaclib.dataset.synthetic.edf import EdfWriter
from hbaclib.dataset.synthetic.night import BEGIN, LABELS, make_night
from hbaclib.dataset.synthetic.night_plan import Event, NightPlan, plan_night
from hbaclib.errors import ArtefactError, ConfigError
from hbaclib.recordings.parts import joined

SECOND = 200


@pytest.fixture(autouse=True)
def small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(night, "_PIECE", 40)
    monkeypatch.setattr(night, "_FADE", 2)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(night, "_PIECE", 100)
        return make_night(tmp_path_factory.mktemp("night") / "n.edf", 0.1, seed=3, n_gaps=2, progress=False)


@pytest.mark.parametrize(("hours", "gaps"), [(0.1, 0), (0.5, 2), (4.0, 3), (24.0, 20)])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_a_plan_holds_what_was_asked_for(hours: float, gaps: int, seed: int) -> None:
    plan = plan_night(hours, gaps, np.random.default_rng(seed))
    assert plan == plan_night(hours, gaps, np.random.default_rng(seed)) and plan.seconds == 3600 * hours
    assert all(0 <= event.onset < event.end <= plan.seconds for event in plan.events)
    assert [event.onset for event in plan.events] == sorted(event.onset for event in plan.events)
    if hours > 0.1:
        assert len(plan.of("gap")) == gaps
    episodes = plan.of(*PATTERNS)
    if hours >= 4:
        assert {event.kind for event in episodes} == set(PATTERNS)
        share = sum(event.duration for event in episodes) / plan.seconds
        assert 0.05 < share < 0.4
    for several in (episodes, plan.of("gap")):
        assert all(one.end < other.onset for one, other in pairwise(several))
    onsets = plan.record_onsets()
    lost = sum(event.duration for event in plan.of("gap"))
    assert plan.seconds - lost - gaps - 1 <= len(onsets) <= plan.seconds - lost
    assert (np.diff(onsets) >= 1).all() and np.isclose(np.diff(onsets).max(initial=1), 1) == (not plan.of("gap"))
    for event in plan.of("gap"):
        assert not ((onsets + 1 > event.onset + 1e-9) & (onsets < event.end - 1e-9)).any()


@pytest.mark.parametrize("kind", ["LPD", "Seizure", "artefact", "mimic", "off T3"])
def test_an_event_is_where_the_truth_says_and_nowhere_else(kind: str) -> None:
    event = Event(31.0, 25.0, kind)  # from one piece into the next
    quiet, told = (np.concatenate(list(night._Pieces(NightPlan(80, events), 5).signals())) for events in ((), (event,)))
    moved = np.abs(told - quiet).max(axis=1).reshape(-1, SECOND).max(axis=1)
    slack = 3 if kind in PATTERNS else 1
    outside = [k for k in range(len(moved)) if k < event.onset - slack or k >= event.end + slack]
    inside = range(int(event.onset) + 6, int(event.end) - 6)
    assert not moved[outside].any()
    assert moved.max() > 3
    if kind != "mimic":  # which comes and goes within its time
        assert (moved[inside] > 0.1).all()
    columns = np.flatnonzero(np.abs(told - quiet).max(axis=0) > 0)
    assert (columns == EEG_COLUMNS.index("T3")).all() == (kind == "off T3")


def test_the_file_is_edf_plus_with_gaps_and_nobodys_name(made: tuple[Path, Path]) -> None:
    path, truth = made
    table = pd.read_csv(truth)
    assert list(table.columns) == ["onset", "duration", "class"]
    gaps = table[table["class"] == "gap"]
    assert len(gaps) == 2
    found = edfio.read_edf(path)
    assert [signal.label for signal in found.signals] == list(LABELS)
    assert {signal.physical_dimension for signal in found.signals} == {"uV"} and not found.is_continuous
    assert path.read_bytes()[8:168].split() == [b"X"] * 4 + [b"Startdate"] + [b"X"] * 4
    with open_recording(path) as recording:
        assert recording.clock == BEGIN and not recording.missing and recording.rate == 200
        parts = joined(recording.segments)
        assert len(parts) == 3
        ends = [stop / SECOND for _, stop in parts[:-1]]
        begins = [start / SECOND for start, _ in parts[1:]]
        np.testing.assert_allclose(ends, gaps["onset"])
        np.testing.assert_allclose(begins, gaps["onset"] + gaps["duration"])
        eeg = recording.read()
    assert np.isnan(eeg[parts[0][1] : parts[1][0]]).all()
    np.testing.assert_allclose(eeg[:1000, 0], found.signals[0].data[:1000], atol=1e-3)


def test_the_same_seed_gives_the_same_bytes(tmp_path: Path) -> None:
    one, again, other = (
        make_night(tmp_path / name, 0.1, seed=seed, n_gaps=0, progress=False)
        for name, seed in (("a.edf", 1), ("b.edf", 1), ("c.edf", 2))
    )
    for first, second, third in zip(one, again, other, strict=True):
        assert first.read_bytes() == second.read_bytes() != third.read_bytes()
    assert edfio.read_edf(one[0]).is_continuous
    assert {path.name for path in tmp_path.iterdir()} == {f"{k}{end}" for k in "abc" for end in (".edf", "-truth.csv")}


def test_pieces_go_over_into_each_other() -> None:
    signals = np.concatenate(list(night._Pieces(NightPlan(120, ()), 4).signals()))
    assert len(signals) == 122 * SECOND
    steps = np.abs(np.diff(signals[:, 0] - signals[:, 1])).reshape(-1)
    seams = [k * 40 * SECOND for k in (1, 2)]
    usual = np.quantile(steps, 0.999)
    assert all(steps[seam - 3 : seam + 3].max() < 4 * usual for seam in seams)


def test_values_beyond_the_range_are_cut_and_steps_are_a_tenth(tmp_path: Path) -> None:
    values = np.array([[0.04, 5000.0], [0.06, -5000.0]])
    with open(tmp_path / "a.edf", "wb") as file:
        writer = EdfWriter(file, ["C3", "C4"], 2, BEGIN, 1, gaps=False)
        writer.write(0.0, values)
    found = edfio.read_edf(tmp_path / "a.edf")
    np.testing.assert_allclose([signal.data for signal in found.signals], [[0, 0.1], [3276.7, -3276.7]], atol=1e-6)


def _synth(*words: object) -> Result:
    return CliRunner().invoke(main, ["synth", *map(str, words)])


def test_the_command_names_what_it_made(tmp_path: Path) -> None:
    answer = _synth(tmp_path / "new", "--edf", "--hours", "0.1", "--gaps", "0")
    assert answer.exit_code == 0, answer.output
    assert answer.stdout.split() == [str(tmp_path / "new" / name) for name in ("night.edf", "night-truth.csv")]
    again = _synth(tmp_path / "new", "--edf", "--hours", "0.1")
    assert again.exit_code == 1 and "night.edf: exists" in again.stderr


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--edf", "--patients", "3"], "--patients is of a set"),
        (["--edf", "--preview"], "--preview is of a set"),
        (["--hours", "2"], "--hours is of a night; give --edf"),
        (["--gaps", "2"], "--gaps is of a night; give --edf"),
        (["--edf", "--hours", "0"], "--hours"),
        (["--edf", "--gaps", "-1"], "--gaps"),
    ],
)
def test_what_does_not_go_together_is_told(words: list[str], told: str, tmp_path: Path) -> None:
    answer = _synth(tmp_path / "n.edf", *words)
    assert answer.exit_code == 2 and told in answer.output
    assert not list(tmp_path.iterdir())


def test_what_cannot_be_made_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for options in ({"hours": 0.01}, {"n_gaps": -1}, {"seed": -1}):
        with pytest.raises(ConfigError, match="expected"):
            make_night(tmp_path / "n.edf", **{"hours": 0.1, **options})
    (tmp_path / "mine-truth.csv").write_text("mine")
    with pytest.raises(ArtefactError, match=r"mine-truth\.csv: exists"):
        make_night(tmp_path / "mine.edf", 0.1)

    def interrupted(*given: object, **options: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(EdfWriter, "write", interrupted)
    with pytest.raises(KeyboardInterrupt):
        make_night(tmp_path / "new" / "n.edf", 0.1, progress=False)
    assert [path.name for path in tmp_path.iterdir()] == ["mine-truth.csv"]
