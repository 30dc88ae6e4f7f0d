"""What ``hbac predict`` says of every real EDF and BDF file."""

from __future__ import annotations

import io
from pathlib import Path

import pandas as pd
import pytest

from tests.cli.predicting import call, shares
from tests.made_shipped import IMAGE, make_shipped

TOO_SHORT, NO_ELECTRODE = "its longest segment is {} s; expected at least 50 s", "no channel is an electrode's"
SAID: dict[str, str | tuple[int, int]] = {
    "edfjl_bdf_test.edf": NO_ELECTRODE,
    "eeglab_test.edf": (6, 2),
    "microstates_test.edf": (20, 15),
    "mne_duplicate_channel_labels.edf": NO_ELECTRODE,
    "mne_test.bdf": TOO_SHORT.format(1),
    "mne_test_edf_stim_channel.edf": TOO_SHORT.format(9.595),
    "pyedflib_utf8.edf": "montage: 4 of 4 regions cannot be derived",
    **dict.fromkeys(
        (
            "seizeit_P_ID64.edf", "siena_PN00-1.edf", "siz_chb01_01_sample.edf", "szcore_unipolar.edf",
            "tuh_le_aaaaahln.edf",
        ),
        TOO_SHORT.format(2),
    ),
}  # fmt: skip
"""File -> why it gives nothing; or its bins, and those of them that are evaluated."""


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_shipped(tmp_path_factory.mktemp("run"), {"eeg": IMAGE}) / "eeg"


@pytest.mark.parametrize("name", SAID)
def test_every_real_file_is_evaluated_or_told_why_not(real_edf: Path, network: Path, name: str) -> None:
    answer, said = call(network, real_edf / name), SAID[name]
    if isinstance(said, str):
        assert answer.exit_code == 1 and said in answer.stderr and not answer.stdout
        return
    assert answer.exit_code == 0, answer.output
    table = pd.read_csv(io.StringIO(answer.stdout))
    evaluated = table["state"] != "not evaluated"
    assert (len(table), evaluated.sum()) == said
    assert (table["reason"][~evaluated] == "edge").all()
    # Of a few digital steps, some of its electrodes hold one value for more than two seconds.
    coarse = name == "eeglab_test.edf"
    assert table["reason"][evaluated].fillna("").isin(["not used: C3 (flat), C4 (flat)"] if coarse else [""]).any()
    assert coarse or (table["reason"][evaluated].isna().all() and (table["missing"] == 0).all())
    assert (table["quality"] > (0.7 if coarse else 0.9)).all()
    assert abs(shares(table)[evaluated].sum(axis=1) - 1).max() < 1e-5


def test_no_file_is_forgotten(real_edf: Path) -> None:
    assert {path.name for path in real_edf.iterdir() if path.suffix in (".edf", ".bdf")} <= SAID.keys()
