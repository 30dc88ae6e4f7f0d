"""Bins of ten seconds: which 50 s each is made of, what is not evaluated and why."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hbaclib import place_short, to_differences
from hbaclib.conventions import CHAINS, CLASSES, VOTE_COLUMNS
from hbaclib.errors import ConfigError, DataFileError
from hbaclib.signal.differences import DIFFERENCES
from hbaclib.timeline.bins import COPIED, NOT_EVALUATED, SHORT_CONTEXT, Bin, Timeline, as_row
from tests.signal.recordings import column, noise
from tests.timeline.made import Answers, MadeRecording, answer

SECOND = 200


@pytest.fixture(scope="module")
def eeg() -> np.ndarray:
    """150.5 s that are another in every second."""
    return noise(0, 30_100) * np.repeat(np.linspace(0.5, 2, 151, dtype=np.float32), SECOND)[:30_100, None]


def line(eeg: np.ndarray, segments: Sequence[tuple[int, int]] | None = None, **options: object) -> Timeline:
    return Timeline(MadeRecording(eeg, segments), **options)


def states(bins: Sequence[Bin]) -> list[str]:
    return [each.reason.split(" (")[0] if each.state == NOT_EVALUATED else "" for each in bins]


def test_a_bin_is_the_middle_of_its_fifty_seconds(eeg: np.ndarray) -> None:
    answers, made = Answers(), line(eeg)
    bins = list(made.bins(answers))
    assert [(each.start, each.stop) for each in bins] == [(10 * k, min(10 * k + 10, 150.5)) for k in range(16)]
    assert states(bins) == ["edge"] * 2 + [""] * 11 + ["edge"] * 3
    assert made.n_bins == 16 and made.n_windows == len(answers.eegs) == 11
    for k, window in enumerate(answers.eegs, 2):
        expected = to_differences(eeg[(10 * k - 20) * SECOND : (10 * k + 30) * SECOND])
        np.testing.assert_array_equal(window, expected)
        np.testing.assert_allclose(bins[k].shares, answer(expected), atol=1e-6)
        assert bins[k].state == CLASSES[int(answer(expected).argmax())]
    for each in bins:
        assert np.isnan(each.shares).all() == (each.state == NOT_EVALUATED)
        assert each.missing == 0 and each.quality == 1


@pytest.mark.parametrize("step", [1, 2, 5])
def test_a_finer_step_gives_the_mean_of_the_windows_that_centre_in_a_bin(eeg: np.ndarray, step: int) -> None:
    bins = list(line(eeg, step=step).bins(Answers()))
    for k, each in enumerate(bins):
        starts = [(10 * k + step * j + step / 2 - 25) * SECOND for j in range(10 // step)]
        inside = [round(start) for start in starts if start >= 0 and start + 10_000 <= len(eeg)]
        if not inside:
            assert each.reason == "edge"
            continue
        expected = np.mean([answer(to_differences(eeg[start : start + 10_000])) for start in inside], axis=0)
        np.testing.assert_allclose(each.shares, expected, atol=1e-6)


@pytest.mark.parametrize(
    ("gap", "parted"), [(1, False), (100, False), (200, False), (201, True), (1000, True), (12_000, True)]
)
def test_no_window_bridges_a_gap_of_more_than_a_second(eeg: np.ndarray, gap: int, parted: bool) -> None:
    whole = np.concatenate([eeg, np.zeros((gap, 20), np.float32), eeg])
    answers = Answers()
    made = line(whole, [(0, len(eeg)), (len(eeg) + gap, len(whole))])
    bins = list(made.bins(answers))
    assert len(made.parts) == 1 + parted
    longest = max(np.isnan(window).all(axis=1).sum() for window in answers.eegs)
    assert longest == (0 if parted else gap)
    assert len(bins) == -(-len(whole) // 2000)
    for each in bins:
        seconds = np.arange(int(each.start * SECOND), int(each.stop * SECOND))
        lost = float(np.isnan(to_differences(made._recording.eeg[seconds])).all(axis=1).mean())
        assert each.missing == pytest.approx(lost)
        assert (each.reason == "gap") == (lost == 1 and parted)


@settings(max_examples=30, deadline=None)
@given(
    lengths=st.lists(st.integers(1, 30_000), min_size=1, max_size=5),
    gaps=st.lists(st.integers(0, 9000), min_size=5, max_size=5),
    step=st.sampled_from([10, 5]),
)
def test_bins_tile_whatever_was_recorded(lengths: list[int], gaps: list[int], step: int) -> None:
    segments, at = [], gaps[0]
    for length, gap in zip(lengths, gaps, strict=False):
        segments.append((at, at + length))
        at += length + gap
    n_samples = segments[-1][1]
    eeg = np.resize(_NOISE, (n_samples, 20))
    try:
        made = line(eeg, segments, step=step)
    except DataFileError as error:
        assert "longest segment" in str(error)
        return
    answers = Answers()
    bins = list(made.bins(answers))
    assert [each.start for each in bins] == [10.0 * k for k in range(len(bins))]
    assert all(each.stop == following.start for each, following in pairwise(bins))
    assert bins[-1].stop == n_samples / SECOND
    for window in answers.eegs:
        lost = np.flatnonzero(np.isnan(window).all(axis=1))
        runs = np.split(lost, np.flatnonzero(np.diff(lost) > 1) + 1)
        assert max(map(len, runs)) <= SECOND
    assert sum(each.state != NOT_EVALUATED for each in bins) <= len(answers.eegs) == made.n_windows
    assert all(each.reason for each in bins if each.state == NOT_EVALUATED)


_NOISE = noise(7, 5000)


def test_what_is_not_evaluated_says_why(eeg: np.ndarray) -> None:
    whole = np.concatenate([eeg, eeg])
    segments = [(0, 20_000), (24_000, 32_000), (36_000, 60_200)]
    bins = list(line(whole, segments).bins(Answers(silent=[1])))
    told = [*["edge"] * 2, "", "signal: too quiet", *[""] * 4, *["edge"] * 2, *["gap"] * 2]
    told += [*["segment too short"] * 4, *["gap"] * 2, *["edge"] * 2, *[""] * 8, *["edge"] * 3]
    assert states(bins) == told
    assert "segment too short (40 s)" in {each.reason for each in bins}


def test_edges_may_have_the_nearest_shares(eeg: np.ndarray) -> None:
    whole = np.concatenate([eeg, eeg])
    segments = [(0, 30_000), (34_000, 60_200)]
    plain = list(line(whole, segments).bins(Answers()))
    bins = list(line(whole, segments, edges="nearest").bins(Answers()))
    assert len(bins) == len(plain)
    evaluated = [k for k, each in enumerate(plain) if each.state != NOT_EVALUATED]
    for k, (before, after) in enumerate(zip(plain, bins, strict=True)):
        if before.reason == "edge":
            nearest = min((other for other in evaluated if plain[other].part == before.part), key=lambda n: abs(n - k))
            np.testing.assert_array_equal(after.shares, plain[nearest].shares)
            assert after.reason == COPIED
        else:
            np.testing.assert_array_equal(after.shares, before.shares)
            assert after.reason == before.reason
    # What is nearest has none: neither has the edge.
    bins = list(line(eeg, edges="nearest").bins(Answers(silent=[0])))
    assert states(bins)[:4] == ["edge", "edge", "signal: too quiet", ""]


@pytest.mark.parametrize("how", ["nan", "reflect"])
def test_short_parts_are_evaluated_if_wished(eeg: np.ndarray, how: str) -> None:
    segments = [(0, 20_000), (24_000, 28_400), (29_000, 30_100)]
    answers = Answers()
    bins = list(line(eeg, segments, short=how).bins(answers))
    assert [k for k, each in enumerate(bins) if each.reason == "short"] == [13]
    assert states(bins)[12:] == ["edge", "", "segment too short", "segment too short"]
    np.testing.assert_array_equal(answers.eegs[-1], place_short(to_differences(eeg[24_000:28_400]), how))
    assert answers.recorded == [10_000] * 6 + [4400]
    alone = list(line(eeg[:4000], short=how).bins(Answers()))
    assert [each.reason for each in alone] == ["edge", "short"]


def test_too_short_is_refused(eeg: np.ndarray) -> None:
    with pytest.raises(DataFileError, match=r"longest segment is 49.9 s; expected at least 50 s .*--short nan"):
        line(eeg, [(0, 9980), (20_000, 24_000)])
    with pytest.raises(DataFileError, match="longest segment is 9 s; expected at least 10 s"):
        line(eeg, [(0, 1800)], short="nan")
    with pytest.raises(DataFileError, match="no signal"):
        line(eeg, [])


@pytest.mark.parametrize("times", [1, 5])
def test_context_is_the_share_of_the_ten_minutes(eeg: np.ndarray, times: int) -> None:
    whole = np.concatenate([eeg] * times)
    segments = [(0, 12_000), (13_000, len(whole))]
    answers = Answers(sees_spectrograms=True)
    bins = list(line(whole, segments).bins(answers))
    centres = [np.arange(-(-(a + 200) // 400) * 400, b - 199, 400) for a, b in segments]
    centres = np.concatenate(centres) / SECOND
    for each in bins:
        middle = each.start + 5
        inside = ((centres > middle - 300) & (centres < middle + 300)).sum()
        assert each.context == pytest.approx(inside / 300)
    evaluated = [each for each in bins if each.state != NOT_EVALUATED]
    for each, rows in zip(evaluated, answers.rows, strict=True):
        assert each.context == pytest.approx((~np.isnan(rows).all(axis=1)).mean())
        assert (SHORT_CONTEXT in each.reason) == (each.context < 0.5)
    assert {SHORT_CONTEXT in each.reason for each in evaluated} == {times == 1}
    assert not any(SHORT_CONTEXT in each.reason for each in line(whole, segments).bins(Answers()))


@pytest.mark.parametrize("filling", ["nothing", "repeat", "mirror"])
def test_the_ten_minutes_are_filled_as_wished(eeg: np.ndarray, filling: str) -> None:
    answers = Answers(sees_spectrograms=True)
    list(line(eeg, filling=filling).bins(answers))
    plain = Answers(sees_spectrograms=True)
    list(line(eeg).bins(plain))
    for rows, there in zip(answers.rows, plain.rows, strict=True):
        known = ~np.isnan(there)
        np.testing.assert_array_equal(rows[known], there[known])
        assert np.isnan(rows).any() == (filling == "nothing")


def test_missing_electrodes_flat_ones_and_artefacts_are_told(eeg: np.ndarray) -> None:
    spoilt = eeg.copy()
    spoilt[:, column("T3")] = np.nan
    spoilt[10_000:12_000, column("C4")] = np.nan
    spoilt[14_000:16_000, column("P4")] += 3000 * np.sin(np.arange(2000)).astype(np.float32)
    spoilt[18_000:20_000, column("F8")] = spoilt[0, column("F8")]
    bins = list(line(spoilt).bins(Answers()))
    assert [each.missing for each in bins[:4]] == [2 / 16] * 4
    assert [bins[k].missing for k in (5, 7, 9)] == [4 / 16] * 3
    assert [bins[k].quality for k in (5, 7, 9)] == [1, pytest.approx(12 / 14), pytest.approx(12 / 14)]
    assert [each.reason for each in bins[2:11]] == [*[""] * 5, "not used: P4 (off)", "", "not used: F8 (flat)", ""]
    recording = MadeRecording(eeg)
    recording.missing = ("T3", "Fz")
    assert [each.missing for each in Timeline(recording).bins(Answers())] == [2 / 16] * 16


@pytest.mark.parametrize("n_regions", [1, 2, 3])
@pytest.mark.parametrize("how", ["missing", "flat"])
def test_regions_of_which_too_much_is_missing_are_neutral(eeg: np.ndarray, how: str, n_regions: int) -> None:
    spoilt = eeg.copy()
    regions = ["LL", "RP", "LP"][:n_regions]
    inner = [name for region in regions for name in CHAINS[region][1:3]]
    spoilt[10_000:12_000, [column(name) for name in inner]] = np.nan if how == "missing" else 7
    for allowed in (False, True):
        answers = Answers()
        bins = list(line(spoilt, allow_missing=allowed).bins(answers))
        assert [k for k in range(2, 13) if bins[k].reason] == [5]
        found = bins[5]
        kept = n_regions == 1 or allowed
        assert (found.state == NOT_EVALUATED) == (not kept) and found.missing == 4 * n_regions / 16
        names = ", ".join(sorted(regions, key=list(CHAINS).index))
        words = f"{4 - n_regions} of 4 regions, without {names}" if kept else f"montage: nothing of use in {names}"
        assert found.reason.startswith(words) and ("F7 (flat)" in found.reason) == (how == "flat")
        if kept:
            window = answers.eegs[3]
            empty = np.isnan(window).all(axis=0)
            assert {pair for pair, lost in zip(DIFFERENCES, empty, strict=True) if lost} == {
                pair for pair in DIFFERENCES if any(set(pair) <= set(CHAINS[region]) for region in regions)
            }


def test_without_any_region_nothing_is_predicted(eeg: np.ndarray) -> None:
    spoilt = eeg.copy()
    spoilt[10_000:12_000] = 3
    spoilt[16_000:18_000, [column(name) for name in ("F7", "T3", "C3", "P3", "F8", "T4", "C4", "P4")]] = 3
    bins = list(line(spoilt, allow_missing=True).bins(Answers()))
    assert bins[5].state == bins[8].state == NOT_EVALUATED
    assert bins[5].reason.startswith("signal: no signal of use (not used: Fp1 (flat), ")
    assert bins[8].reason.startswith("montage: nothing of use in LL, RL, LP, RP (not used: F7 (flat), ")


def test_a_montage_that_gives_too_little_is_refused(eeg: np.ndarray) -> None:
    recording = MadeRecording(eeg)
    recording.montage_fault = "montage: 2 of 4 regions cannot be derived"
    with pytest.raises(DataFileError, match="made: montage: 2 of 4"):
        Timeline(recording)


def test_a_row_of_the_table(eeg: np.ndarray) -> None:
    recording = MadeRecording(eeg, clock=datetime(2026, 1, 1, 23, 59, 50, 250_000))
    made = Timeline(recording)
    rows = [as_row(made, each) for each in made.bins(Answers())]
    assert list(rows[0]) == [
        "start",
        "stop",
        "clock",
        *VOTE_COLUMNS,
        "state",
        "reason",
        "context",
        "missing",
        "quality",
    ]
    assert [row["clock"] for row in rows[:2]] == ["2026-01-01T23:59:50.250000", "2026-01-02T00:00:00.250000"]
    assert rows[0]["state"] == NOT_EVALUATED and rows[2]["state"] in CLASSES
    assert as_row(line(eeg), next(line(eeg).bins(Answers())))["clock"] == ""


@pytest.mark.parametrize("option", [{"step": 3}, {"edges": "copy"}, {"filling": "zero"}, {"short": "pad"}])
def test_unknown_options_are_refused(eeg: np.ndarray, option: dict[str, object]) -> None:
    with pytest.raises(ConfigError, match="expected one of"):
        line(eeg, **option)
