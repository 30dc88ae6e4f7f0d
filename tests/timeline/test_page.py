"""The page of a recording: its data, what it may load, its size, its words; and what of the signals it holds."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from datetime import datetime
from pathlib import Path

import numpy as np
import pytest

from hbaclib.conventions import CLASSES
from hbaclib.timeline.bins import Bin
from hbaclib.timeline.page import Facts, clock_of, is_page, render_page
from hbaclib.timeline.page_data import (
    CHANNELS,
    DETAIL_STEP,
    ENVELOPE_KNEE,
    ENVELOPE_NOTHING,
    ENVELOPE_TOP,
    NOTHING,
    encoded,
    read_signals,
    stretches,
)
from hbaclib.timeline.segments import Segment, find_segments
from tests.signal.recordings import column, noise
from tests.timeline.made import MadeRecording
from tests.timeline.test_segments import NOTHING as UNKNOWN
from tests.timeline.test_segments import bins_of, row

SECOND = 200


@pytest.fixture(scope="module")
def eeg() -> np.ndarray:
    """Two minutes with a gap from 50 to 60 s; T3 swings by 200 µV once a second from second 80 on."""
    values = noise(0, 120 * SECOND)
    values[50 * SECOND : 60 * SECOND] = np.nan
    time = np.arange(40 * SECOND) / SECOND
    values[80 * SECOND :, column("T3")] += (100 * np.sin(2 * np.pi * 3 * time)).astype(np.float32)
    return values


@pytest.fixture(scope="module")
def recording(eeg: np.ndarray) -> MadeRecording:
    return MadeRecording(eeg, [(0, 50 * SECOND), (60 * SECOND, 120 * SECOND)])


PARTS = [(0, 50 * SECOND), (60 * SECOND, 120 * SECOND)]


@pytest.fixture(scope="module")
def bins() -> list[Bin]:
    rows = [UNKNOWN] * 2 + [row(Other=0.9)] + [UNKNOWN] * 5 + [row(Seizure=0.9)] * 2 + [UNKNOWN] * 2
    return bins_of(rows, [0] * 5 + [-1] + [1] * 6)


def unpacked(page: str) -> dict:
    return json.loads(re.search(r'<script type="application/json" id="data">(.*?)</script>', page, re.S).group(1))


def array(text: str, dtype: str) -> np.ndarray:
    return np.frombuffer(base64.b64decode(text), dtype)


@pytest.fixture(scope="module")
def page(recording: MadeRecording, bins: list[Bin]) -> str:
    states, segments = find_segments(bins)
    signals = read_signals(recording, PARTS, stretches(bins, segments, 120, 30))
    facts = Facts(
        "<b>night</b>.edf", 120.0, datetime(2026, 1, 1, 22), "referential, against REF", "a model", ("a & b",)
    )
    return render_page(facts, bins, states, segments, signals)


def test_the_page_loads_nothing_and_runs_its_own_script_alone(page: str, tmp_path: Path) -> None:
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', page).group(1)
    script = re.findall(r"<script>(.*?)</script>", page, re.S)
    assert len(script) == 1
    digest = base64.b64encode(hashlib.sha256(script[0].encode()).digest()).decode()
    assert policy.startswith("default-src 'none'; ") and f"script-src 'sha256-{digest}'" in policy
    assert not re.search(r"https?://|<img|<link|@import|url\(|\son\w+=", page)
    (tmp_path / "page.html").write_text(page)
    assert is_page(tmp_path / "page.html")
    (tmp_path / "other.html").write_text("<html>")
    assert not is_page(tmp_path / "other.html") and not is_page(tmp_path / "none.html")


def test_what_is_written_on_the_page(page: str) -> None:
    assert "&lt;b&gt;night&lt;/b&gt;.edf" in page and "<b>night</b>" not in page and "a &amp; b" in page
    assert "not for clinical decisions" in page and "0:02:00 h, 0:00:30 of it evaluated" in page
    assert 'data-at="80.0"' in page and ">Seizure</td>" in page


def test_the_data_of_the_bins(page: str, bins: list[Bin]) -> None:
    data = unpacked(page)
    shares = array(data["shares"], "u1").reshape(-1, 6)
    assert len(shares) == 12 and (shares[0] == NOTHING).all()
    assert shares[2, CLASSES.index("Other")] == round(254 * 0.9)
    states = [data["states"][number] for number in array(data["binStates"], "u1")]
    assert states[2] == "Other" and states[8:10] == ["Seizure"] * 2 and states[5] == "not evaluated"
    assert data["bins"] == [[0, 10], [110, 120]] and data["seconds"] == 120


def test_what_is_drawn_of_the_signals(page: str) -> None:
    data = unpacked(page)
    envelope = array(data["envelope"], "i1").reshape(len(CHANNELS), 120, 2)
    gap = envelope[:, 50:60]
    assert (gap == ENVELOPE_NOTHING).all() and (envelope[:, :50] != ENVELOPE_NOTHING).all()
    assert (envelope[..., 0] <= envelope[..., 1]).all()
    swinging = [k for k, pair in enumerate(CHANNELS) if "T3" in pair]
    wide = envelope[:, 85:115, 1].astype(int) - envelope[:, 85:115, 0]
    assert wide[swinging].min() > np.delete(wide, swinging, axis=0).mean()
    ((start, length, text),) = data["details"]
    detail = array(text, "<i2").reshape(len(CHANNELS), length) * DETAIL_STEP
    assert start == 0 and length == 12_000
    assert np.ptp(detail[swinging, 9000:11_000], axis=1).min() > 150 and (detail[:, 5010:5990] == 0).all()
    power = array(data["spectrogram"], "u1").reshape(4, 50, -1)
    assert power.shape[2] * data["columnSeconds"] == 120
    assert (power[:, :, 26:29] == NOTHING).all() and (power[:, :, 5:20] != NOTHING).all()
    # 3 Hz: the seventh and eighth of 50 rows up to 20 Hz, on the side of T3 alone.
    assert power[0, 5:9, 45:55].mean() > power[1, 5:9, 45:55].mean() + 20


def test_envelopes_keep_small_and_large_values_apart() -> None:
    values = np.array([0, 0.2, 1, 5, 20, 100, 500, 2000, 9000, np.nan])
    codes = encoded(values).astype(float)
    back = ENVELOPE_KNEE * np.expm1(codes / 127 * np.log1p(ENVELOPE_TOP / ENVELOPE_KNEE))
    np.testing.assert_allclose(back[:8], values[:8], rtol=0.05, atol=0.2)
    assert codes[8] == 127 and codes[9] == ENVELOPE_NOTHING
    np.testing.assert_array_equal(encoded(-values[:9]), -encoded(values[:9]))


def test_long_recordings_keep_the_clearest_and_the_most_doubtful() -> None:
    segments = [Segment(600.0 * k, 300.0, "LPD" if k % 2 else "GRDA", 0.5 + 0.01 * k, 30, "") for k in range(20)]
    bins = bins_of([row(Other=0.9)] * 1000 + [row(LPD=0.3, GPD=0.3)] * 3 + [row(Other=0.9)] * 197)
    found = stretches(bins, segments, 12_000.0, 30)
    assert sum(stop - start for start, stop in found) <= 40 * 30 and found == sorted(found)
    assert any(start <= 10_005 < stop for start, stop in found)
    middles = [600 * k + 150 for k in range(8, 20)]
    assert all(any(start <= at <= stop for start, stop in found) for at in middles)
    assert not any(start <= 150 < stop for start, stop in found)
    assert stretches(bins, segments, 1799.5, 30) == [(0, 1800)]


def test_blocks_give_what_the_whole_gives(eeg: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> None:
    long = np.concatenate([noise(3, 100 * SECOND)] * 13)  # more than two blocks of ten minutes
    whole = MadeRecording(long, [(0, len(long))])
    kept = [(590, 620)]
    one = read_signals(whole, [(0, len(long))], kept)
    monkeypatch.setattr("hbaclib.timeline.page_data.BLOCK", 10**9)
    other = read_signals(whole, [(0, len(long))], kept)
    assert np.abs(one.envelope.astype(int) - other.envelope).max() <= 1
    assert np.abs(one.details[0][1].astype(int) - other.details[0][1]).max() <= 2
    assert np.abs(one.spectrogram.astype(int) - other.spectrogram).max() <= 1


def test_clock() -> None:
    assert [clock_of(value) for value in (0, 59.6, 3599, 86_400)] == ["0:00:00", "0:01:00", "0:59:59", "24:00:00"]
