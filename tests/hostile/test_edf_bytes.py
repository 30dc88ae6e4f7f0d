"""Headers of EDF and BDF with changed bytes: an error of ours, or what the changed fields say, read in another way."""

from __future__ import annotations

import json
import re
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from hbaclib import open_recording
from hbaclib.errors import HbacError
from hbaclib.recordings.edf import EdfSource
from hbaclib.recordings.facts import facts_of, lines_of
from hbaclib.timeline.bins import Timeline
from hbaclib.timeline.checked import judged_rows
from tests.recordings.edf_files import FIELDS, LABELS, noise, write_edf
from tests.timeline.made import Answers

NAMES = [*LABELS[:19:2], "T3-T5", "EKG", "SpO2"]
OF_NUMBERS = ("pmin", "pmax", "dmin", "dmax", "samples")


@dataclass(frozen=True)
class Said:
    """What the bytes of a header say: numbers as numbers, NaN where the text is none."""

    seconds: float
    begin: datetime | None
    labels: list[str]
    of_signals: dict[str, list[float]]


def number(cell: bytes) -> float:
    text = cell.strip(b"\0 \t\r\n").decode("latin-1")
    if not re.fullmatch(r"[-+0-9.,eE]+", text):
        return np.nan
    try:
        return float(text.replace(",", "."))
    except ValueError:
        return np.nan


def said_by(data: bytes) -> Said:
    n = int(number(data[252:256]))
    cells, at = {}, 256
    for name, width in FIELDS.items():
        cells[name] = [data[at + k * width : at + (k + 1) * width] for k in range(n)]
        at += n * width
    pairs, between = [data[at : at + 2] for at in (168, 171, 174, 176, 179, 182)], (170, 173, 178, 181)
    try:
        assert all(map(bytes.isdigit, pairs)) and not any(data[at : at + 1].isdigit() for at in between)
        day, month, year, *time = map(int, pairs)
        begin = datetime(year + (1900 if year >= 85 else 2000), month, day, *time)
    except (ValueError, AssertionError):
        begin = None
    labels = [cell.decode("latin-1").replace("\0", " ").strip() for cell in cells["label"]]
    return Said(number(data[244:252]), begin, labels, {name: list(map(number, cells[name])) for name in OF_NUMBERS})


def changed(sound: bytes, size: int, seed: int, count: int) -> Iterator[bytes]:
    """A byte, or some, of the header, changed to anything."""
    rng = np.random.default_rng(seed)
    for _ in range(count):
        data = bytearray(sound)
        for _ in range(rng.integers(1, 4)):
            # The first part decides most; the digits more than other bytes.
            at = int(rng.integers(256 if rng.integers(2) else size))
            data[at] = int(rng.choice(list(b"0123456789-+.,eE \0")) if rng.integers(2) else rng.integers(256))
        yield bytes(data)


def compare(source: EdfSource, said: Said, values: list[np.ndarray], onsets: list[float]) -> bool:
    """Hold an opened file to what its header says; give whether its records are of the sound file's sizes."""
    assert [channel.label for channel in source.channels if channel.label.isascii()] == [
        label for label in said.labels if label.isascii()
    ]
    for k, channel in enumerate(source.channels):
        (low, high, least, most, samples) = (said.of_signals[name][k] for name in OF_NUMBERS)
        assert channel.rate == pytest.approx(samples / said.seconds, rel=2e-5), k
        if channel.fault == "annotations":
            continue
        spans = np.array([low, high, least, most])
        if channel.refusal:
            assert not np.isfinite(spans).all() or (least, most) != (round(least), round(most)) or (
                np.abs(spans[:2]).max() > 1e9), channel.refusal  # fmt: skip
        elif channel.fault:
            assert low == high or least == most or not samples
        else:
            gain = (high - low) / (most - least)
            assert channel.gain == pytest.approx(gain, rel=1e-12), k
            assert channel.zero == pytest.approx(low - gain * least, rel=1e-9, abs=1e-9 * abs(low)), k
    stretches, timed = source.stretches, any(channel.fault == "annotations" for channel in source.channels)
    same = said.of_signals["samples"] == [float(len(one) / len(onsets)) for one in values]
    if not same:
        return False
    for k, stored in enumerate(values):
        np.testing.assert_array_equal(source.digital(k), stored, err_msg=str(k))
    assert sum(each.n_records for each in stretches) == len(onsets)
    whole = timed and said.labels[-1].endswith(" Annotations")
    assert [each.onset for each in stretches] == ([onsets[each.first] for each in stretches] if whole else [0.0])
    if whole and said.seconds == 1:
        assert [each.first for each in stretches] == [0, *np.flatnonzero(np.diff(onsets) > 1) + 1]
    assert source.clock == said.begin
    return True


@pytest.mark.parametrize("bits", [16, 24])
def test_changed_bytes_of_a_header_are_an_error_of_ours_or_the_right_answer(tmp_path: Path, bits: int) -> None:
    onsets = [float(k + (3 if k > 4 else 0)) for k in range(8)]
    first = write_edf(tmp_path / "a.edf", noise(1600, len(NAMES)), NAMES, bits=bits, onsets=onsets)
    source = EdfSource(first)
    values = [source.digital(k) for k in range(len(NAMES) + 1)]
    source.close()
    answers = refusals = alike = 0
    path = tmp_path / "b.edf"
    for data in changed(first.read_bytes(), 256 * (len(NAMES) + 2), bits, 250):
        path.write_bytes(data)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            try:
                with open_recording(path) as recording:
                    alike += compare(recording.source, said_by(data), values, onsets)
                    length = min(recording.n_samples, 4000)
                    assert recording.read(0, length).shape == (length, 20)
                    assert recording.read_differences(0, length).shape == (length, 24)
                    facts = facts_of(recording, judged_rows(recording))
                    assert json.dumps(facts, allow_nan=False) and all(map(str.isprintable, lines_of(facts)))
                answers += 1
            except HbacError as error:
                assert str(error)
                refusals += 1
    assert answers > 50 and refusals > 25 and alike > 0.7 * answers


@pytest.mark.parametrize("bits", [16, 24])
def test_so_is_the_timeline_of_such_a_file(tmp_path: Path, bits: int) -> None:
    onsets = [float(k) for k in range(62)]
    first = write_edf(tmp_path / "a.edf", noise(62 * 200), bits=bits, onsets=onsets)

    def shares_of(path: Path) -> np.ndarray:
        with open_recording(path) as recording:
            bins = list(Timeline(recording).bins(Answers()))
            assert bins[0].start == 0 and bins[-1].stop == recording.seconds
            assert all(one.stop == other.start for one, other in pairwise(bins))
        return np.stack([each.shares for each in bins])

    expected, sound = shares_of(first), said_by(first.read_bytes())
    assert np.isfinite(expected).all(axis=1).sum() == 2
    path, compared = tmp_path / "b.edf", 0
    for data in changed(first.read_bytes(), 256 * 22, 100 + bits, 16):
        path.write_bytes(data)
        try:
            found = shares_of(path)
        except HbacError:
            continue
        said = said_by(data)
        if (said.seconds, said.labels, said.of_signals) == (sound.seconds, sound.labels, sound.of_signals):
            np.testing.assert_array_equal(found, expected)
            compared += 1
    assert compared > 3
