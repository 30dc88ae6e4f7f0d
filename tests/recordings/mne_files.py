"""Small files of the formats that MNE reads, most byte by byte, with a marker wherever names may stand."""

from __future__ import annotations

import struct
import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from scipy import io

GAIN = 0.1
"""µV in a digital step."""


def brain_vision(folder: Path, values: np.ndarray, labels: Sequence[str], rate: int, marker: str) -> Path:
    """Header, markers and integers, in three files.

    Args:
        folder: where the files are to lie.
        values: (n_samples, n_channels) digital values.
        labels: of the channels.
        rate: samples a second.
        marker: text in comments and markers.
    """
    channels = "\n".join(f"Ch{k}={label},,{GAIN},µV" for k, label in enumerate(labels, 1))
    path = folder / "a.vhdr"
    path.write_text(
        "Brain Vision Data Exchange Header File Version 1.0\n"
        f"; {marker}\n\n[Common Infos]\nCodepage=UTF-8\nDataFile=a.eeg\nMarkerFile=a.vmrk\nDataFormat=BINARY\n"
        f"DataOrientation=MULTIPLEXED\nNumberOfChannels={len(labels)}\nSamplingInterval={1_000_000 / rate:g}\n\n"
        f"[Binary Infos]\nBinaryFormat=INT_16\n\n[Channel Infos]\n{channels}\n\n[Comment]\n{marker}\n",
        encoding="utf-8",
    )
    (folder / "a.vmrk").write_text(
        "Brain Vision Data Exchange Marker File, Version 1.0\n\n[Common Infos]\nCodepage=UTF-8\nDataFile=a.eeg\n\n"
        f"[Marker Infos]\nMk1=New Segment,,1,1,0,20160302235958000000\nMk2=Comment,{marker},400,1,0\n",
        encoding="utf-8",
    )
    values.astype("<i2").tofile(folder / "a.eeg")
    return path


def eeglab(folder: Path, values: np.ndarray, labels: Sequence[str], rate: int, marker: str) -> Path:
    """A ``.set`` file that holds its samples; arguments as for `brain_vision`."""
    names = np.array([(label, float(k)) for k, label in enumerate(labels)], [("labels", object), ("theta", float)])
    events = np.array([(marker, 400.0, 1.0)], [("type", object), ("latency", float), ("duration", float)])
    made = {"setname": marker, "subject": marker, "comments": marker, "history": marker, "nbchan": float(len(labels)),
            "trials": 1.0, "pnts": float(len(values)), "srate": float(rate), "xmin": 0.0,
            "xmax": (len(values) - 1) / rate, "data": (values.T * GAIN).astype(np.float32), "chanlocs": names,
            "event": events, "epoch": [], "filename": marker}  # fmt: skip
    path = folder / "a.set"
    io.savemat(path, {"EEG": made}, appendmat=False)
    return path


def gdf(folder: Path, values: np.ndarray, labels: Sequence[str], rate: int, marker: str) -> Path:
    """GDF 1.25 in records of a second; arguments as for `brain_vision`."""
    n = len(labels)
    name, size = marker.encode(), 256 * (n + 1)
    header = b"".join([
        b"GDF 1.25", name.ljust(80), name.ljust(80), b"2016030223595800", struct.pack("<q", size), bytes(24),
        name.ljust(20)[:20], struct.pack("<qIII", len(values) // rate, 1, 1, n),
        b"".join(label.encode().ljust(16) for label in labels), name.ljust(80) * n, b"uV".ljust(8) * n,
        struct.pack("<d", -32768 * GAIN) * n, struct.pack("<d", 32767 * GAIN) * n, struct.pack("<q", -32768) * n,
        struct.pack("<q", 32767) * n, b" " * 80 * n, struct.pack("<I", rate) * n, struct.pack("<I", 3) * n,
        bytes(32 * n),
    ])  # fmt: skip
    assert len(header) == size
    records = values[: len(values) // rate * rate].reshape(-1, rate, n).transpose(0, 2, 1)
    path = folder / "a.gdf"
    no_events = struct.pack("<B3sI", 1, rate.to_bytes(3, "little"), 0)
    path.write_bytes(header + records.astype("<i2").tobytes() + no_events)
    return path


def fif(folder: Path, values: np.ndarray, labels: Sequence[str], rate: int, marker: str) -> Path:
    """MNE's own; arguments as for `brain_vision`."""
    import mne

    raw = mne.io.RawArray(values.T * GAIN * 1e-6, mne.create_info(list(labels), rate, "eeg"), verbose="ERROR")
    raw.set_meas_date(1_456_963_198)
    raw.info["subject_info"] = {"his_id": marker, "last_name": marker, "first_name": marker}
    raw.info["description"], raw.info["experimenter"] = marker, marker
    raw.set_annotations(mne.Annotations([2.0], [1.0], [marker], orig_time=raw.info["meas_date"]))
    path = folder / "a_raw.fif"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        raw.save(path, fmt="double", verbose="ERROR")
    return path


WRITERS = {"BrainVision": brain_vision, "EEGLAB": eeglab, "GDF": gdf, "FIF": fif}
