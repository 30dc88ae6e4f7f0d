"""Electrodes that are flat, clipped or off within ten seconds: which are told, in which montage, and which are not."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from hbaclib import open_recording, to_differences
from hbaclib.recordings.base import BaseRecording
from hbaclib.recordings.ring import Ring
from hbaclib.recordings.stuck import stuck_rows
from hbaclib.recordings.usable import Usable, off_differences
from hbaclib.signal.differences import DIFFERENCES
from tests.recordings.edf_files import write_edf
from tests.signal.recordings import column, noise
from tests.timeline.made import MadeRecording
from tests.timeline.same_recording import channels
from tests.timeline.same_recording import write_edf as write_channels

BIN = 2000
TIME = np.arange(BIN) / 200
SPOILS = {
    "flat": lambda row: np.full_like(row, row[0]),
    "clipped": lambda row: np.clip(row, *np.quantile(row, [0.03, 0.97])),
    "off": lambda row: row + 400 * np.sin(2 * np.pi * 50 * TIME),
    "off, 60 Hz": lambda row: row + 400 * np.sin(2 * np.pi * 60 * TIME),
    "off, swings": lambda row: row + 4000 * np.sin(2 * np.pi * 1.3 * TIME),
}


@pytest.fixture(scope="module")
def eeg() -> np.ndarray:
    return noise(1, 3 * BIN)


def judged(recording: BaseRecording) -> list[Usable]:
    ring = Ring(recording, recording.segments)
    return [ring.usable(number) for number in range(-(-recording.n_samples // BIN))]


@pytest.mark.parametrize("name", ["Fp1", "T3", "O2", "C4"])
@pytest.mark.parametrize("how", SPOILS)
def test_a_bad_electrode_is_named_and_no_other(eeg: np.ndarray, how: str, name: str) -> None:
    spoilt = eeg + 50 * noise(2, 3 * BIN)[:, :1]  # a noisy reference, which all share
    spoilt[BIN : 2 * BIN, column(name)] = SPOILS[how](spoilt[BIN : 2 * BIN, column(name)])
    before, found, after = judged(MadeRecording(spoilt))
    assert found.faults == (f"{name} ({how.split(',')[0]})",) and not before.faults and not after.faults
    assert [k for k in range(24) if found.lost[k]] == [k for k, pair in enumerate(DIFFERENCES) if name in pair]
    n_pairs = sum(name in pair for pair in DIFFERENCES[:16])
    assert found.missing == n_pairs / 16 and found.quality == pytest.approx(1 - n_pairs / 16)
    assert not found.neutral


@pytest.mark.parametrize("montage", ["REF", "linked ears", "Cz", "other names", "double banana"])
@pytest.mark.parametrize("how", ["flat", "clipped"])
def test_so_is_a_channel_of_a_file_at_any_rate(tmp_path: Path, eeg: np.ndarray, montage: str, how: str) -> None:
    parts = channels(np.round(eeg * 10).astype(np.int64), montage)
    wanted = {"double banana": "F7-T3"}.get(montage, "T3")
    number = next(k for k, (label, _) in enumerate(parts) if wanted.upper() in label.upper() or "t7" in label)
    label, row = parts[number]
    row = row.copy()
    row[BIN : 2 * BIN] = np.round(SPOILS[how](row[BIN : 2 * BIN]))
    parts[number] = label, row
    with open_recording(write_channels(tmp_path / "spoilt.edf", parts)) as recording:
        found = judged(recording)
    assert [each.faults for each in found] == [(), (f"{wanted} ({how})",), ()]
    assert not found[1].neutral and found[1].missing == (1 if "-" in wanted else 2) / 16


def test_stuck_channels_are_told_at_their_own_rate(tmp_path: Path) -> None:
    values = noise(3, 30 * 512)
    values[10 * 512 : 20 * 512, 2] = np.clip(values[10 * 512 : 20 * 512, 2], -10, 10)
    with open_recording(write_edf(tmp_path / "fast.edf", (values * 10).astype(np.int32), rate=512)) as recording:
        assert sum(bool(each.faults) for each in judged(recording)) == 1


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        (np.r_[np.arange(300.0), np.full(401, 300.0), np.arange(300.0)], "flat"),
        (np.r_[np.arange(300.0), np.full(399, 90.0), np.arange(300.0)], ""),
        (np.tile([0.0, 1.0, 2.0, 1.0], 300), ""),  # of few steps: its extremes tell nothing
        (np.clip(np.sin(np.arange(2000.0)), -0.8, 0.8), "clipped"),
        (np.sin(np.arange(2000.0)), ""),
        (np.full(300, 2.0), ""),
        (np.full(2000, np.nan), ""),
        (np.zeros(0), ""),
    ],
)
def test_what_is_flat_and_what_is_clipped(row: np.ndarray, expected: str) -> None:
    for scale in (1, -3e-6):
        assert stuck_rows(np.stack([row * scale, row]), 200) == [expected] * 2


def test_mains_that_all_electrodes_have_are_no_fault(eeg: np.ndarray) -> None:
    phases = np.random.default_rng(0).uniform(1, 3, 20).astype(np.float32)
    mains = 900 * np.sin(2 * np.pi * 60 * np.arange(len(eeg))[:, None] / 200) * phases
    assert not off_differences(to_differences(eeg + mains.astype(np.float32))).any()


def test_two_neighbours_or_four_electrodes_make_regions_neutral(eeg: np.ndarray) -> None:
    for names, neutral in (
        (["T3", "T5"], ("LL",)),
        (["T3", "C4", "F8"], ()),
        (["Fp1", "F7"], ("LL",)),
        (["T3", "C3", "T4", "C4"], ("LL", "RL", "LP", "RP")),
    ):
        spoilt = eeg.copy()
        spoilt[:, [column(name) for name in names]] = 5
        found = judged(MadeRecording(spoilt))[0]
        assert found.neutral == neutral and len(found.faults) == len(names)


def test_blocks_of_any_size_judge_alike(eeg: np.ndarray) -> None:
    spoilt = np.tile(eeg, (5, 1))
    spoilt[3000:9000, column("T3")] = 1
    spoilt[20_000:26_000, column("P4")] *= 300
    found = []
    for block in (6000, 10_000, 120_000):
        recording = MadeRecording(spoilt)
        ring = Ring(recording, recording.segments, block=block)
        found.append(ring.differences(0, len(spoilt)).copy())
    assert np.isnan(found[0]).any()
    for other in found[1:]:
        np.testing.assert_array_equal(found[0], other)
