"""Headers of EDF and BDF: what is read, what is repaired and told, what is refused by field and value."""

from __future__ import annotations

from datetime import datetime

import numpy as np
import pytest

from hbaclib import open_recording, read_eeg
from hbaclib.errors import DataFileError
from tests.recordings.edf_files import LABELS, noise, write_edf

VALUES = noise(600)


def notes_of(path) -> str:
    with open_recording(path) as recording:
        return "; ".join(recording.notes)


def test_a_sound_file_says_nothing(tmp_path) -> None:
    with open_recording(write_edf(tmp_path / "a.edf", VALUES)) as recording:
        assert recording.notes == () and recording.kind == "EDF" and recording.seconds == 3
        assert recording.clock == datetime(2016, 3, 2, 23, 59, 58) and recording.rate == 200
        assert recording.labels == LABELS and set(recording.units.values()) == {"µV"}
        assert recording.missing == recording.neutral == () and recording.montage == "referential, against REF"
        np.testing.assert_allclose(recording.read(), VALUES / 10, atol=1e-4)


@pytest.mark.parametrize("name", ["a.edf", "a.EDF", "a.rec", "a", "a.txt", "a.parquet", "a.bdf"])
def test_a_file_is_known_by_its_first_bytes(tmp_path, name) -> None:
    assert read_eeg(write_edf(tmp_path / name, VALUES)).shape == (600, 20)


@pytest.mark.parametrize(
    ("form", "note"),
    [
        ({"n_records": -1}, r"number of records: the header says unknown \(-1\), the file holds 3"),
        ({"n_records": 7}, "number of records: the header says 7, the file holds 3"),
        ({"n_records": 2}, "number of records: the header says 2, the file holds 3"),
        ({"tail": b"\0" * 4000}, r"the last record is incomplete and left out \(0.5 s\)"),
        ({"start": ("31.02.16", "00.00.00")}, "start date or time of the header is unreadable; elapsed time only"),
        ({"start": ("xx.xx.xx", "00.00.00")}, "start date or time"),
        ({"start": ("01.01.16", "25.00.00")}, "start date or time"),
        ({"kind": "made by hand"}, "reserved field of the header holds other text .*; read as plain EDF"),
        ({"signal_fields": {(1, "dmin"): 32767, (1, "dmax"): -32768}},
         "signal EEG F3-REF: digital minimum 32767 above maximum -32768; taken as written"),
    ],
)  # fmt: skip
def test_repairs_are_told(tmp_path, form, note) -> None:
    import re

    path = write_edf(tmp_path / "a.edf", VALUES, **form)
    assert re.search(note, notes_of(path)), notes_of(path)
    turned = np.ones(20)
    if "signal_fields" in form:
        turned[1] = -1
    np.testing.assert_allclose(read_quietly(path), VALUES / 10 * turned, atol=0.11 if "signal_fields" in form else 1e-4)


def read_quietly(path) -> np.ndarray:
    with open_recording(path) as recording:
        return recording.read()


@pytest.mark.parametrize(
    "fields",
    [
        {(2, "dmin"): 5, (2, "dmax"): 5}, {(2, "pmin"): "7", (2, "pmax"): "7.0"}, {(2, "pmin"): "0", (2, "pmax"): "0"},
    ],
)  # fmt: skip
def test_a_signal_of_no_range_is_missing_and_not_the_file(tmp_path, fields) -> None:
    path = write_edf(tmp_path / "a.edf", VALUES, signal_fields=fields)
    with open_recording(path) as recording:
        assert recording.missing == ("C3",)
        assert any("signal EEG C3-REF is missing: " in note for note in recording.notes)
        assert "electrodes missing and filled from their neighbours: C3" in recording.notes


def test_a_signal_without_samples_is_missing(tmp_path) -> None:
    values = list(VALUES.T)
    values[2] = np.zeros(0, np.int32)
    path = write_edf(tmp_path / "a.edf", values, rate=[200, 200, 0, *[200] * 17])
    with open_recording(path) as recording:
        assert recording.missing == ("C3",)
        assert "signal EEG C3-REF is missing: 0 samples per record" in recording.notes


@pytest.mark.parametrize(
    ("texts", "factor"),
    [
        (("-3276,8", "3276,7"), 1), (("3276.7", "-3276.8"), -1), (("-32.77e2", "32.77E2"), 1),
        (("-3276.8\0", "3276.7\0\0"), 1), (("+0", "6553.5"), 1),
    ],
)  # fmt: skip
def test_ranges_are_numbers_in_many_forms(tmp_path, texts, factor) -> None:
    fields = {(k, name): text for k in range(20) for name, text in zip(("pmin", "pmax"), texts, strict=True)}
    path = write_edf(tmp_path / "a.edf", VALUES, signal_fields=fields)
    with open_recording(path) as recording:
        assert recording.notes == ()
        found = recording.read()
    np.testing.assert_allclose(found - found[0], factor * (VALUES - VALUES[0]) / 10, atol=0.03)


@pytest.mark.parametrize(
    "text",
    ["8e+003.5", "--5", "", "1.2.3", "1,2,3", "nan", "inf", "1e400", "0x10", "٣", "\x1e3276.8", "\x1f12", "12\x1c"],
)
def test_a_range_that_is_no_number_is_refused_of_the_eeg_alone(tmp_path, text) -> None:
    cell = text.encode() if text == "٣" else text
    path = write_edf(tmp_path / "a.edf", VALUES, signal_fields={(3, "pmax"): cell})
    with pytest.raises(DataFileError, match=r"physical maximum of signal EEG P3-REF: found '.*'; expected a number"):
        open_recording(path)
    labels = [*LABELS, "SpO2"]
    path = write_edf(tmp_path / "b.edf", noise(600, 21), labels, signal_fields={(20, "pmax"): cell})
    assert notes_of(path) == "channels left out: SpO2"


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"n_signals": "31 E"}, "number of signals: found '31 E'; expected a whole number"),
        ({"n_signals": "0"}, "number of signals: found 0; expected 1 to"),
        ({"n_signals": "-1"}, "number of signals: found -1"),
        ({"n_signals": "9999"}, "header length: found 5376; expected 2560000"),
        ({"size": 5376 + 256}, "header length: found 5632; expected 5376"),
        ({"size": "536o"}, r"header length: found '536\?'"),
        ({"record": "0"}, "record duration: found 0 s; expected more than 0"),
        ({"record": "-1"}, "record duration: found -1 s"),
        ({"record": "one"}, r"record duration: found '\?\?e'; expected a number"),
        ({"record": "1e-300"}, "rate of EEG Fp1-REF"),
        ({"record": "1e300"}, "rate of EEG Fp1-REF: found 2e-298 Hz; expected 100 to 20,000 Hz"),
        ({"n_records": "many"}, r"number of records: found '\?\?\?\?'; expected a whole number"),
    ],
)
def test_lies_are_refused(tmp_path, fields, words) -> None:
    with pytest.raises(DataFileError, match=words):
        open_recording(write_edf(tmp_path / "a.edf", noise(200), LABELS, fields=fields))


@pytest.mark.parametrize(
    ("field", "words"),
    [
        ((0, "samples", "200.5"), "samples per record of signal EEG Fp1-REF: found '200.5'; expected a whole number"),
        ((0, "samples", "-200"), "samples per record of signal EEG Fp1-REF: found -200"),
        ((4, "dmin", "low"), "digital minimum of signal EEG F7-REF: found 'low'"),
        ((4, "pmax", "1e99"), "physical range of signal EEG F7-REF: found .* to 1e\\+99"),
        ((0, "samples", "99999999"), "0 records .* a record takes"),
    ],
)
def test_lies_of_a_signal_are_refused(tmp_path, field, words) -> None:
    with pytest.raises(DataFileError, match=words):
        open_recording(write_edf(tmp_path / "a.edf", noise(200), signal_fields={field[:2]: field[2]}))


def test_cut_headers_and_no_records(tmp_path) -> None:
    data = write_edf(tmp_path / "a.edf", noise(200)).read_bytes()
    for size, words in ((100, "expected a header of at least 256"), (3000, "3000 bytes; expected a header of 5376"),
                        (5376, "0 records"), (5376 + 7999, "0 records")):  # fmt: skip
        (tmp_path / "b.edf").write_bytes(data[:size])
        with pytest.raises(DataFileError, match=words):
            open_recording(tmp_path / "b.edf")


def test_annotations_alone(tmp_path) -> None:
    path = write_edf(tmp_path / "a.edf", [np.zeros(30)] * 1, ["EDF Annotations"], rate=30, fields={"record": "0"})
    with pytest.raises(DataFileError, match="holds annotations and no signals; expected EEG"):
        open_recording(path)


@pytest.mark.parametrize(
    ("record", "samples", "rate"), [("0.976562", 250, 256), (".9765625", 250, 256), ("2", 513, 256.5)]
)
def test_a_rate_that_is_whole_but_for_the_headers_digits(tmp_path, record, samples, rate) -> None:
    path = write_edf(tmp_path / "a.edf", noise(10 * samples), rate=samples, fields={"record": record})
    with open_recording(path) as recording:
        assert recording.rate == rate


def test_a_file_that_is_cut_while_it_is_read(tmp_path) -> None:
    path = write_edf(tmp_path / "a.edf", noise(200 * 600))
    with open_recording(path) as recording:
        with open(path, "r+b") as file:
            file.truncate(5376 + 8000 * 500)
        with pytest.raises(DataFileError, match=r"ends in record 501; it had 600 when it was opened \(changed"):
            recording.read(0, 600 * 200)
        assert recording.read(0, 100_000).shape == (100_000, 20)


def test_more_than_a_month(tmp_path) -> None:
    path = write_edf(tmp_path / "a.edf", noise(400), onsets=[0, 40 * 86_400])
    with pytest.raises(DataFileError, match="40 days from its first record to its last; expected at most 31"):
        open_recording(path)


@pytest.mark.parametrize("unit", ["µV".encode(), b"\xb5V", "μV".encode()])
def test_text_is_utf_8_or_latin_1(tmp_path, unit) -> None:
    path = write_edf(tmp_path / "a.edf", VALUES, unit=unit)
    assert notes_of(path) == ""
