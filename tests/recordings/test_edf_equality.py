"""Files of other writers, and values of other readers: edfio, pyedflib and MNE, of every rate, unit and kind."""

from __future__ import annotations

import warnings
from contextlib import closing
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from hbaclib import open_recording
from hbaclib.errors import DataFileError
from hbaclib.recordings.edf import EdfSource
from tests.recordings.edf_files import LABELS, noise, write_edf
from tests.recordings.other_readers import READERS, has_no_wheel

edfio = pytest.importorskip("edfio")
SECONDS = 6
RATES = (200, 250, 256, 400, 500, 512)
MIXED = [256] * 10 + [512] * 5 + [200] * 5
GAP = 5


def volts(rate: int, n_rows: int = 20) -> np.ndarray:
    """(n_rows, n_samples) µV."""
    return np.random.default_rng(rate).normal(0, 30, (n_rows, SECONDS * rate))


def by_edfio(path: Path, rates: list[int], kind: str) -> Path:
    signals = [
        (edfio.EdfSignal if kind.startswith("EDF") else edfio.BdfSignal)(
            volts(rate)[k], rate, label=label, physical_dimension="uV", physical_range=(-400, 400)
        )
        for k, (label, rate) in enumerate(zip(LABELS, rates, strict=True))
    ]
    notes = [edfio.EdfAnnotation(3, None, "note")] if kind.endswith("+C") else None
    (edfio.Edf if kind.startswith("EDF") else edfio.Bdf)(signals, annotations=notes).write(path)
    return path


def by_pyedflib(path: Path, rates: list[int], kind: str) -> Path:
    pyedflib = pytest.importorskip("pyedflib")
    kinds = {"EDF": pyedflib.FILETYPE_EDF, "EDF+C": pyedflib.FILETYPE_EDFPLUS, "BDF": pyedflib.FILETYPE_BDF,
             "BDF+C": pyedflib.FILETYPE_BDFPLUS}  # fmt: skip
    wide = kind.startswith("BDF")
    headers = [{"label": label, "dimension": "uV", "sample_frequency": rate, "physical_max": 400.0,
                "physical_min": -400.0, "digital_max": 8388607 if wide else 32767,
                "digital_min": -8388608 if wide else -32768, "prefilter": "", "transducer": ""}
               for label, rate in zip(LABELS, rates, strict=True)]  # fmt: skip
    with pyedflib.EdfWriter(str(path), len(LABELS), file_type=kinds[kind]) as writer:
        writer.setSignalHeaders(headers)
        writer.setStartdatetime(datetime(2016, 3, 2, 23, 59, 58))
        writer.writeSamples([volts(rate)[k] for k, rate in enumerate(rates)])
    return path


def by_bytes(path: Path, rates: list[int], kind: str) -> Path:
    """Files that declare gaps have one, of GAP seconds at half of their records."""
    bits = 16 if kind.startswith("EDF") else 24
    gain = 0.0125 if bits == 16 else 2**-14
    values = [(volts(rate)[k] / gain).round().astype(np.int32) for k, rate in enumerate(rates)]
    onsets = [k + GAP * (kind.endswith("+D") and k >= SECONDS // 2) for k in range(SECONDS)]
    ends = {}
    if bits == 24:
        # Other readers take no range beyond these.
        ends = {(k, name): text for k in range(20) for name, text in (("dmax", "8388607"), ("pmax", "511.9999"))}
        ends |= {(20, "dmax"): "8388607"} if "+" in kind else {}
    return write_edf(path, values, rate=rates, bits=bits, gain=gain, onsets=onsets if "+" in kind else None,
                     kind=kind if "+" in kind else None, signal_fields=ends)  # fmt: skip


PLAIN = ("EDF", "EDF+C", "BDF", "BDF+C")
KINDS = [(by_edfio, PLAIN), (by_pyedflib, PLAIN), (by_bytes, (*PLAIN, "EDF+D", "BDF+D"))]
CASES = [(write, kind) for write, kinds in KINDS for kind in kinds]


@pytest.mark.parametrize("rates", [*([rate] * 20 for rate in RATES), MIXED], ids=[*map(str, RATES), "mixed"])
@pytest.mark.parametrize(("write", "kind"), CASES, ids=[f"{kind} {write.__name__}" for write, kind in CASES])
def test_values_are_those_of_every_reader(tmp_path, write, kind, rates) -> None:
    path = write(tmp_path / "a", rates, kind)
    path = path.rename(tmp_path / ("a.edf" if kind.startswith("EDF") else "a.bdf"))
    with closing(EdfSource(path)) as source:
        hold_to_other_readers(path, source, kind, rates)
    gains = [channel.gain for channel in source.channels[:20]]
    half, lost = SECONDS * 100, GAP * 200 * kind.endswith("+D")
    with open_recording(path) as recording:
        assert recording.n_samples == SECONDS * 200 + lost and recording.missing == ()
        eeg = recording.read()
    assert np.isnan(eeg[half : half + lost]).all() and not np.isnan(eeg[half + lost :]).any()
    for k, rate in enumerate(rates):
        if rate == 200:
            found = np.concatenate([eeg[:half, k], eeg[half + lost :, k]])
            np.testing.assert_allclose(found, volts(200)[k], atol=gains[k])


def hold_to_other_readers(path: Path, source: EdfSource, kind: str, rates: list[int]) -> None:
    own = [source.digital(k) for k in range(20)]
    assert source.kind == kind and [channel.rate for channel in source.channels[:20]] == rates
    for k, (values, channel, rate) in enumerate(zip(own, source.channels, rates, strict=False)):
        np.testing.assert_allclose(values * channel.gain + channel.zero, volts(rate)[k], atol=channel.gain)
    for reader, read in READERS.items():
        if has_no_wheel(reader):
            continue
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            if reader == "pyedflib" and kind.endswith("+D"):
                with pytest.raises(OSError, match="discontinuous"):
                    read(path, source)
                continue
            found = read(path, source)
        for k in range(20):
            np.testing.assert_array_equal(own[k], found[k], err_msg=f"{reader}, channel {k}")


@pytest.mark.parametrize("kind", ["EDF+C", "BDF+C"])
def test_annotations_of_other_writers_are_no_gaps(tmp_path, kind) -> None:
    path = by_edfio(tmp_path / "a.edf", [256] * 20, kind)
    with open_recording(path) as recording:
        assert recording.segments == ((0, SECONDS * 200),)


def test_gaps_keep_the_time_of_annotations(tmp_path) -> None:
    """An annotation's second is the same sample to us and to edfio, which reads annotations and glues the signals."""
    onsets = [0, 1, 2, 63.5, 64.5, 65.5]
    path = write_edf(tmp_path / "a.edf", noise(1200), onsets=onsets, annotations={4: "here"})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        notes = edfio.read_edf(path).annotations
    assert [(note.onset, note.text) for note in notes] == [(64.5, "here")]
    with open_recording(path) as recording:
        assert recording.segments == ((0, 600), (12_700, 13_300))
        np.testing.assert_allclose(recording.read(12_900, 12_901)[0], noise(1200)[800] / 10, atol=1e-4)
        assert recording.clock == datetime(2016, 3, 2, 23, 59, 58) + timedelta(0)


UNITS = {"uV": 1, "mV": 1e-3, "V": 1e-6, "nV": 1e3}


@pytest.mark.parametrize(
    ("unit", "factor"),
    [("uV", 1), ("µV".encode(), 1), (b"\xb5V", 1), ("μV".encode(), 1), ("mcV", 1), ("microV", 1), ("microvlt", 1),
     ("u", 1), ("UV", 1), (" uV", 1), ("microvol", 1), ("mV", 1e-3), ("MV", 1e-3), ("V", 1e-6), ("nV", 1e3), ("", 1),
     ("-", 1), ("n/a", 1), ("Boolean", 1)],
)  # fmt: skip
def test_units(tmp_path, unit, factor) -> None:
    values = noise(1000, size=3000.0)
    gain = 0.01 * factor
    path = write_edf(tmp_path / "a.edf", values, unit=unit, gain=gain)
    with open_recording(path) as recording:
        # Volts leave eight characters of the header three digits.
        np.testing.assert_allclose(recording.read(), values / 100, rtol=5e-3, atol=0.25 if unit == "V" else 0.01)
        notes = "; ".join(recording.notes)
        assert recording.montage == "referential, against REF"
    known = unit_of(unit)
    assert ("taken as µV" in notes) == (known is None) and ("taken as mV" in notes) == (unit == "MV")


def unit_of(unit: str | bytes) -> str | None:
    from hbaclib.recordings.units import unit_named

    return unit_named(unit.decode("latin-1") if isinstance(unit, bytes) and unit[0] == 0xB5 else
                      unit.decode() if isinstance(unit, bytes) else unit)  # fmt: skip


def test_a_unit_that_is_given_counts_for_electrodes_alone(tmp_path) -> None:
    values = noise(1000)
    path = write_edf(tmp_path / "a.edf", values, gain=0.1)
    with open_recording(path, unit="mV") as recording:
        np.testing.assert_allclose(recording.read()[:, :19], values[:, :19] * 100, rtol=1e-5)
        np.testing.assert_allclose(recording.read()[:, 19], values[:, 19] / 10, atol=1e-4)
        assert any("--unit mV in the place of what the file says" in note for note in recording.notes)


def test_polarity_is_turned(tmp_path) -> None:
    path = write_edf(tmp_path / "a.edf", noise(1000))
    with open_recording(path) as plain, open_recording(path, invert=True) as turned:
        np.testing.assert_array_equal(turned.read(), -plain.read())
        np.testing.assert_array_equal(turned.read_differences(), -plain.read_differences())
        assert "polarity turned" in turned.notes


@pytest.mark.parametrize(
    ("unit", "given", "words"),
    [("uV", "V", "--unit V would explain it"), ("V", "", ""), ("nV", "", "amplitudes of .*; expected 1 to 1500 µV")],
)
def test_amplitudes_that_are_none(tmp_path, unit, given, words) -> None:
    path = write_edf(tmp_path / "a.edf", noise(2000), unit=unit, gain=1e-7 if given or unit == "V" else 0.1)
    with open_recording(path) as recording:
        if not words:
            recording.verify()
            return
        with pytest.raises(DataFileError, match=words):
            recording.verify()
    if given:
        with open_recording(path, unit=given) as recording:
            recording.verify()
