"""Any montage that determines the differences gives the same ones; what is missing is filled or told."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hbaclib import open_recording
from hbaclib.conventions import CHAINS, EEG_COLUMNS, SCALP_ELECTRODES
from hbaclib.errors import DataFileError
from hbaclib.recordings.base import WANTED
from hbaclib.recordings.derivation import RING_NAMES, Edge, derive
from tests.recordings.edf_files import LABELS, noise, write_edf
from tests.recordings.montages import MONTAGES, montage, of

CHAINED = tuple(name for ring in RING_NAMES for name in ring)
EEG = noise(1000).astype(float)  # in digital steps of 0.1 µV


def wanted(eeg: np.ndarray) -> np.ndarray:
    return np.stack([of(eeg, one) - of(eeg, other) for one, other in WANTED], axis=1)


def made(derivation, values: np.ndarray) -> np.ndarray:
    """Differences of channels (n_samples, n_channels)."""
    found = np.full((len(values), len(WANTED)), np.nan)
    for k, terms in enumerate(derivation.differences):
        if terms:
            found[:, k] = sum(weight * values[:, channel] for channel, weight in terms)
    return found


@pytest.mark.parametrize("name", MONTAGES)
def test_every_montage_gives_the_same_differences(tmp_path, name) -> None:
    names, values = montage(name, EEG, np.random.default_rng(3))
    path = write_edf(tmp_path / "a.edf", (values * 10).round(), names, gain=0.01)
    with open_recording(path) as recording:
        assert recording.montage_fault == "" and recording.neutral == ()
        np.testing.assert_allclose(recording.read_differences(), wanted(EEG) / 10, atol=0.035)
        eeg = recording.read()
    assert not np.isnan(eeg[:, [EEG_COLUMNS.index(one) for one in CHAINED]]).any()
    # The electrodes of a hemisphere have one reference: whatever it is, differences within are the same.
    np.testing.assert_allclose(wanted(eeg), wanted(EEG) / 10, atol=0.035)


@pytest.mark.parametrize(
    ("name", "words"),
    [("REF", "referential, against REF"), ("AVG", "referential, against the average"),
     ("Cz", "referential, against Cz"), ("LE", "referential, against linked ears"),
     ("ears", "each side against its ear (A1, A2)"),
     ("unnamed", "referential, reference not named"), ("banana", "double banana")],
)  # fmt: skip
def test_montages_have_names(tmp_path, name, words) -> None:
    names, values = montage(name, EEG, np.random.default_rng(3))
    with open_recording(write_edf(tmp_path / "a.edf", values, names)) as recording:
        assert recording.montage == words


def test_electrodes_of_a_referential_recording_are_its_channels(tmp_path) -> None:
    with open_recording(write_edf(tmp_path / "a.edf", EEG, LABELS)) as recording:
        np.testing.assert_allclose(recording.read(), EEG / 10, atol=1e-5)
    names, values = montage("Cz", EEG, np.random.default_rng(3))
    with open_recording(write_edf(tmp_path / "b.edf", values, names)) as recording:
        eeg = recording.read()
        assert recording.missing == ("EKG",) and not of(eeg, "Cz").any()
        np.testing.assert_allclose(of(eeg, "T3"), (of(EEG, "T3") - of(EEG, "Cz")) / 10, atol=1e-4)


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_any_spanning_graph_gives_the_differences(data) -> None:
    """Channels of any tree over a hemisphere's electrodes, in any direction and order, with further channels."""
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1)))
    potentials = {name: rng.normal(0, 30, 50) for name in (*SCALP_ELECTRODES, "(REF)", "A1", "A2")}
    edges = []
    for ring in RING_NAMES:
        nodes = [*ring, *data.draw(st.sampled_from([(), ("(REF)",), ("A1", "A2"), ("Cz", "Fz", "Pz")]))]
        order = rng.permutation(len(nodes))
        for place in range(1, len(nodes)):
            one, other = nodes[order[place]], nodes[order[rng.integers(0, place)]]
            edges.append((one, other) if rng.integers(2) else (other, one))
        for _ in range(rng.integers(0, 4)):
            edges.append(tuple(rng.choice(ring, 2, replace=False).tolist()))
    edges = [edges[k] for k in rng.permutation(len(edges))]
    values = np.stack([potentials[one] - potentials[other] for one, other in edges], axis=1)
    derivation = derive([Edge(k, *ends) for k, ends in enumerate(edges)])
    expected = np.stack([potentials[one] - potentials[other] for one, other in WANTED], axis=1)
    np.testing.assert_allclose(made(derivation, values), expected, atol=1e-4)
    assert derivation.fault == "" and derivation.neutral == ()
    assert all(abs(weight) == 1 for terms in derivation.differences for _, weight in terms)
    direct = {ends for pair in edges for ends in (pair, pair[::-1])}
    assert all(len(derivation.differences[k]) == 1 for k, pair in enumerate(WANTED) if pair in direct)


def without(*names: str) -> list[str]:
    return [name for name in SCALP_ELECTRODES if name not in names]


def referential(*missing: str):
    return derive([Edge(k, name, "(REF)") for k, name in enumerate(without(*missing))])


@pytest.mark.parametrize("name", CHAINED)
def test_a_missing_electrode_is_the_mean_of_its_neighbours_in_any_reference(name) -> None:
    ring = next(ring for ring in RING_NAMES if name in ring)
    at = ring.index(name)
    filled = EEG.copy()
    mean = (of(EEG, ring[at - 1]) + of(EEG, ring[(at + 1) % 8])) / 2
    filled[:, EEG_COLUMNS.index(name)] = mean
    derivation = referential(name)
    assert derivation.filled == (name,) and derivation.neutral == () and derivation.fault == ""
    rng = np.random.default_rng(0)
    for common in (np.zeros(1000), rng.normal(0, 300, 1000)):
        values = np.stack([of(EEG, one) - common for one in without(name)], axis=1)
        np.testing.assert_allclose(made(derivation, values), wanted(filled), atol=1e-3)
    assert name in derivation.missing and not derivation.electrodes[EEG_COLUMNS.index(name)]


@pytest.mark.parametrize(
    ("missing", "neutral"),
    [
        ((), ()), (("T3",), ()), (("T3", "T4"), ()), (("Fp1", "T3", "C3"), ()), (("Fp1", "T3", "O1"), ()),
        (("Fz", "Cz", "Pz"), ()), (("T3", "T5"), ("LL",)), (("F7", "T5"), ("LL",)), (("Fp1", "F7"), ("LL",)),
        (("C4", "P4"), ("RP",)), (("Fp1", "F7", "F3"), ("LL", "LP")), (("T3", "T5", "T4", "T6"), ("LL", "RL")),
        (("F7", "T3", "T5"), ("LL",)), (("F3", "F4", "T3", "T4"), ("LL", "RL", "LP", "RP")),
        (tuple(CHAINS["LL"]), ("LL", "LP")),
    ],
)  # fmt: skip
def test_the_policy(missing, neutral) -> None:
    derivation = referential(*missing)
    assert derivation.neutral == neutral
    assert bool(derivation.fault) == (len(neutral) > 1)
    for k, pair in enumerate(WANTED):
        inside = any(set(pair) <= set(CHAINS[region]) for region in neutral)
        assert bool(derivation.differences[k]) == (not inside), pair
    for region in neutral if len(neutral) > 1 else ():
        gone = [name for name in CHAINS[region] if name in missing]
        assert f"{region} ({', '.join(gone)} missing)" in derivation.fault


def test_regions_that_stay_empty_are_told_and_nan(tmp_path) -> None:
    names = without("T3", "T5")
    values = np.stack([of(EEG, name) for name in names], axis=1)
    with open_recording(write_edf(tmp_path / "a.edf", values, names)) as recording:
        assert recording.neutral == ("LL",) and recording.montage_fault == ""
        assert "regions that stay empty: LL (3 of 4 regions)" in recording.notes
        found = recording.read_differences()
    empty = [k for k, pair in enumerate(WANTED) if set(pair) <= set(CHAINS["LL"])]
    assert np.isnan(found[:, empty]).all() and len(empty) == 6
    rest = np.delete(np.arange(24), empty)
    np.testing.assert_allclose(found[:, rest], wanted(EEG)[:, rest] / 10, atol=1e-4)


def test_a_transverse_montage_says_what_is_missing(tmp_path) -> None:
    rows = ("F7 F3 Fz F4 F8", "T3 C3 Cz C4 T4", "T5 P3 Pz P4 T6", "O1 O2", "Fp1 Fp2")
    names = [f"{one}-{other}" for row in rows for one, other in zip(row.split(), row.split()[1:], strict=False)]
    with open_recording(write_edf(tmp_path / "a.edf", noise(1000, len(names)), names)) as recording:
        assert recording.neutral == ("LL", "RL", "LP", "RP")
        assert "4 of 4 regions cannot be derived" in recording.montage_fault and "LL (" in recording.montage_fault
        assert np.isnan(recording.read_differences()).all()


def test_two_halves_of_a_chain_are_not_tied_together() -> None:
    pairs = [pair for pair in WANTED[:16] if pair not in (("T3", "T5"), ("F3", "C3"))]
    derivation = derive([Edge(k, *pair) for k, pair in enumerate(pairs)])
    assert derivation.absent == () and derivation.neutral == ("LL", "LP")
    assert "LL (no channels tie its electrodes together)" in derivation.fault


def test_of_electrodes_that_repeat_the_first_that_is_not_flat_counts(tmp_path) -> None:
    names = ["T3-REF", *LABELS, "EEG T7-REF"]
    values = np.concatenate([np.full((1000, 1), 7.0), EEG, noise(1000, 1, seed=9)], axis=1)
    with open_recording(write_edf(tmp_path / "a.edf", values, names)) as recording:
        np.testing.assert_allclose(of(recording.read(), "T3"), of(EEG, "T3") / 10, atol=1e-4)
        assert "channels that repeat another one, left out: T3-REF, EEG T7-REF" in recording.notes


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["EKG"], "one"), (["ECG1-REF", "ECG2-REF"], "difference"), (["EKG1-REF", "EKG2-A1"], "one"),
        (["EKG1-EKG2"], "one"), (["EKG L", "EKG R"], "difference"),
    ],
)  # fmt: skip
def test_the_ekg(tmp_path, names, expected) -> None:
    hearts = noise(1000, len(names), seed=5)
    values = np.concatenate([EEG[:, :19], hearts], axis=1)
    with open_recording(write_edf(tmp_path / "a.edf", values, [*LABELS[:19], *names])) as recording:
        heart = hearts[:, 0] if expected == "one" else hearts[:, 0] - hearts[:, 1]
        np.testing.assert_allclose(recording.read()[:, 19], heart / 10, atol=1e-4)


@pytest.mark.parametrize(
    ("names", "words"),
    [
        ([f"POL X{k}" for k in range(1, 13)],
         "no channel is an electrode's: found POL X1, .*POL X8 and 4 more; .*--channels"),
        ([f"A{k}" for k in range(1, 33)], "found A1, A2"),
        ([f"LA{k}" for k in range(1, 9)], "no channel is an electrode's"),
        (["EKG"], "no channel is an electrode's: found EKG"),
        (["EEG F1-Ref", "EEG C5-Ref"], "no channel is an electrode's"),
    ],
)  # fmt: skip
def test_no_electrode(tmp_path, names, words) -> None:
    with pytest.raises(DataFileError, match=words):
        open_recording(write_edf(tmp_path / "a.edf", noise(1000, len(names)), names))


def test_what_is_told_of_channels(tmp_path) -> None:
    names = [*(f"{name}-FOO" for name in SCALP_ELECTRODES), "SpO2", "DC1"]
    filters = ("HP:5Hz LP:70Hz N:50Hz", "HP:0.1Hz LP:15Hz", "HP: DC")
    fields = {(k, "prefilter"): text for k, text in enumerate(filters)}
    path = write_edf(tmp_path / "a.edf", noise(1000, 21), names, signal_fields=fields)
    with open_recording(path) as recording:
        notes = "; ".join(recording.notes)
    for words in ("channels left out: SpO2, DC1", "unknown words for a reference, each taken as one of its own: FOO",
                  "slow activity is missing: high pass at 5 Hz in Fp1-FOO",
                  "fast activity is missing: low pass at 15 Hz in F3-FOO"):  # fmt: skip
        assert words in notes
