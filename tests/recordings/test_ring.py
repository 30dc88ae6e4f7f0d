"""What a recording gives block by block is what it gives as a whole, in the memory of minutes."""

from __future__ import annotations

import numpy as np
import pytest

from hbaclib import kaggle_spectrogram, to_differences
from hbaclib.recordings.ring import BLOCK, MARGIN, Ring, first_row, place_rows
from hbaclib.timeline.bins import Bin, Timeline
from tests.signal.recordings import noise
from tests.timeline.made import Answers, MadeRecording

SECOND = 200


def long_noise(minutes: int) -> np.ndarray:
    """Noise of minutes, of pieces that differ in loudness."""
    piece = noise(0, 12_000)
    sizes = np.exp(np.random.default_rng(1).normal(0, 0.5, minutes)).astype(np.float32)
    return np.concatenate([piece * size for size in sizes])


@pytest.fixture(scope="module")
def eeg() -> np.ndarray:
    return long_noise(14)


@pytest.fixture(scope="module")
def whole(eeg: np.ndarray) -> np.ndarray:
    """Rows at the seconds 2, 4, 6, ... of the whole recording."""
    return kaggle_spectrogram(eeg, first_centre=2.0)


def expected_rows(whole: np.ndarray, start: int, seconds: int) -> np.ndarray:
    """The ten minutes around the 50 s from a sample on, whose rows lie on even seconds at least one second inside."""
    begin = start // SECOND - 275
    rows = np.full((300, 400), np.nan, np.float32)
    for k in range(300):
        centre = begin + 2 * k + 1
        if 1 <= centre <= seconds - 1:
            rows[k] = whole[centre // 2 - 1]
    return rows


@pytest.mark.parametrize("block", [100, 600, 3600])
def test_rows_and_samples_are_those_of_the_whole(eeg: np.ndarray, whole: np.ndarray, block: int) -> None:
    recording = MadeRecording(eeg)
    ring = Ring(recording, recording.segments, block=block * SECOND)
    for start in range(0, len(eeg) - 10_000, 250 * SECOND):
        ring.forget(start - 10_000)
        rows, expected = ring.ten_minutes(start), expected_rows(whole, start, 840)
        np.testing.assert_array_equal(np.isnan(rows), np.isnan(expected))
        np.testing.assert_allclose(np.log(rows), np.log(expected), atol=1e-4)
        np.testing.assert_array_equal(
            ring.differences(start, start + 10_000), to_differences(eeg[start : start + 10_000])
        )


def test_nothing_is_read_twice_and_little_is_kept(eeg: np.ndarray) -> None:
    recording, block = MadeRecording(np.tile(eeg, (2, 1))), 200 * SECOND
    ring = Ring(recording, recording.segments, block=block)
    kept = 0
    for start in range(0, recording.n_samples - 10_000, 30 * SECOND):
        ring.forget(start - 10_000)
        ring.ten_minutes(start)
        ring.differences(start, start + 10_000)
        kept = max(kept, len(ring._signals))
    assert recording.asked[0][0] == 0 and recording.asked[-1][1] == recording.n_samples
    assert all(end == begin for (_, end), (begin, _) in zip(recording.asked, recording.asked[1:], strict=False))
    assert kept < 325 * SECOND + 2.1 * block and len(ring._rows) < 420


@pytest.mark.parametrize(
    ("begin", "end"),
    [(600, 605), (599.5, 604.5), (600.5, 606), (595, 600), (594.5, 599.5), (590, 600.5), (600, 660), (480, 600)],
)
def test_a_gap_at_a_blocks_edge_parts_what_lies_around_it(begin: float, end: float) -> None:
    """Windows and rows are those of either side alone, at their true time: nothing bridges the gap, nothing is lost."""
    eeg = np.concatenate([np.zeros((400 * SECOND, 20), np.float32), long_noise(6)])
    sides = (400 * SECOND, round(begin * SECOND)), (round(end * SECOND), len(eeg))

    def told(*parts: tuple[int, int]) -> tuple[list[Bin], Answers]:
        answers = Answers(sees_spectrograms=True)
        return list(Timeline(MadeRecording(eeg, parts)).bins(answers)), answers

    (bins, both), (before, first), (after, second) = told(*sides), told(sides[0]), told(sides[1])
    assert BLOCK == 600 * SECOND and len(bins) == len(before) == len(after) == 76
    evaluated = [k for k, each in enumerate(bins) if np.isfinite(each.shares).all()]
    windows, rows = iter(first.eegs + second.eegs), dict[int, np.ndarray]()
    for answers, own in ((first, before), (second, after)):
        there = [k for k, each in enumerate(own) if np.isfinite(each.shares).all()]
        rows.update(zip(there, answers.rows, strict=True))
    assert evaluated == sorted(rows) and len(evaluated) > 15
    for k, window, found in zip(evaluated, both.eegs, both.rows, strict=True):
        np.testing.assert_array_equal(window, next(windows))
        alone = before[k] if bins[k].stop <= begin else after[k]
        np.testing.assert_array_equal(bins[k].shares, alone.shares)
        # Of the ten minutes the other side has rows as well; those of the own side do not know it.
        known = ~np.isnan(rows[k])
        np.testing.assert_allclose(np.log(found[known]), np.log(rows[k][known]), atol=1e-5)
        centres = 2.0 * (first_row(round(bins[k].start * SECOND) - 4000) + np.arange(300))
        inside = [(centres >= start / SECOND + 1) & (centres <= stop / SECOND - 1) for start, stop in sides]
        np.testing.assert_array_equal(~np.isnan(found).all(axis=1), inside[0] | inside[1])


def test_parts_are_filtered_for_themselves_and_a_long_gap_is_not_kept() -> None:
    first, second = noise(2, 40_000), noise(3, 30_001)
    gap = 3600 * SECOND + 57
    eeg = np.concatenate([first, np.full((gap, 20), np.nan, np.float32), second])
    begin = len(first) + gap
    recording = MadeRecording(eeg, [(0, len(first)), (begin, len(eeg))])
    ring = Ring(recording, recording.segments)
    ring.ten_minutes(0)
    start = begin + 1000
    ring.forget(start - 10_000)
    rows = ring.ten_minutes(start)
    assert len(ring._signals) < 3 * BLOCK
    centre = -(-(begin + SECOND) // 400) * 400
    alone = kaggle_spectrogram(second, first_centre=(centre - begin) / SECOND)
    place = centre // 400 - first_row(start)
    n_rows = (len(eeg) - SECOND - centre) // 400 + 1
    np.testing.assert_allclose(np.log(rows[place : place + n_rows]), np.log(alone[:n_rows]), atol=1e-4)
    assert np.isnan(rows[:place]).all() and np.isnan(rows[place + n_rows :]).all()


def test_the_margins_serve(eeg: np.ndarray, whole: np.ndarray) -> None:
    recording = MadeRecording(eeg)
    ring = Ring(recording, recording.segments, block=120 * SECOND)
    rows = ring.ten_minutes(400 * SECOND)
    found, expected = np.log(rows), np.log(expected_rows(whole, 400 * SECOND, 840))
    assert MARGIN == 20 * SECOND and np.nanmax(np.abs(found - expected)) < 1e-4


@pytest.mark.parametrize(
    ("how", "expected"),
    [
        ("nothing", [None, None, None, 3, 4, None, 6, None, None, None]),
        ("repeat", [3, 3, 3, 3, 4, None, 6, 6, 6, 6]),
        ("mirror", [6, None, 4, 3, 4, None, 6, None, 4, 3]),
    ],
)
def test_what_lies_beyond_the_ends_is_placed(how: str, expected: list[int | None]) -> None:
    rows = np.full((10, 400), np.nan, np.float32)
    for k in (3, 4, 6):
        rows[k] = k
    found = place_rows(rows, how)
    assert [None if np.isnan(row[0]) else int(row[0]) for row in found] == expected
    np.testing.assert_array_equal(place_rows(rows * np.nan, how), rows * np.nan)
