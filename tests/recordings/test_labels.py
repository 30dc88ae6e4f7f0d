"""Names of channels: electrode and reference, and names that only look so."""

from __future__ import annotations

import pytest

from hbaclib.conventions import SCALP_ELECTRODES
from hbaclib.recordings.labels import NONE, UNNAMED, read_label, read_labels


@pytest.mark.parametrize(
    ("name", "anode", "cathode"),
    [
        ("Fp1", "Fp1", UNNAMED), ("EEG Fp1-REF", "Fp1", "(REF)"), ("EEG FP1-LE", "Fp1", "(LE)"),
        ("fp1", "Fp1", UNNAMED),
        ("T7-P7", "T3", "T5"), ("T8-P8-0", "T4", "T6"), ("T8-P8-1", "T4", "T6"), ("P7-T7", "T5", "T3"),
        ("EEG_Fp1", "Fp1", UNNAMED), ("EEG:T7-A1A2", "T3", "(LE)"), ("POL T8", "T4", UNNAMED),
        ("fp1_le", "Fp1", "(LE)"),
        ("Fp1.", "Fp1", UNNAMED), ("Fc5.", "FC5", UNNAMED), ("C3..", "C3", UNNAMED), ("Fp1__", "Fp1", UNNAMED),
        ("Fp1 - M1+M2", "Fp1", "(LE)"), ("EEG Fp1-A1/A2", "Fp1", "(LE)"), ("EEG Fp1-A1+A2", "Fp1", "(LE)"),
        ("Fp1-A12", "Fp1", "(LE)"), ("Fp1-AA", "Fp1", "(LE)"), ("Fp1-M1", "Fp1", "A1"), ("EEG C3-Cz", "C3", "Cz"),
        ("EEG F3 – Fz", "F3", "Fz"), ("F7—T3", "F7", "T3"), ("F7:T3", "F7", "T3"), ("F7/T3", "F7", "T3"),
        ("EEG A1-REF", "A1", "(REF)"), ("Fp1-FCz", "Fp1", "FCz"), ("Fp1-Avg", "Fp1", "(AVG)"),
        ("Fp1-AV", "Fp1", "(AVG)"),
        ("Fp1-Average", "Fp1", "(AVG)"), ("Fp1-CAR", "Fp1", "(AVG)"), ("Fp1-Reference", "Fp1", "(REF)"),
        ("Fp1-Org", "Fp1", "(ORG)"), ("Fp1-COM", "Fp1", "(COM)"), ("Fp1-G1", "Fp1", "(G1)"), ("Fp1-G2", "Fp1", "(G2)"),
        ("Fp1-LM", "Fp1", "(LE)"), ("Fp1-0V", "Fp1", "(0V)"), ("Fp1-CS2", "Fp1", "(CS2)"), ("Pg1", "Pg1", UNNAMED),
        ("\0Fp1\0\0", "Fp1", UNNAMED), ("  EEG   Fp1 - Ref  ", "Fp1", "(REF)"), ("T3-0", "T3", UNNAMED),
        ("EKG EKG", "EKG", UNNAMED), ("ECG1-REF", "EKG", "(REF)"), ("EEG EKG1-REF", "EKG", "(REF)"),
        ("POL EKG", "EKG", UNNAMED), ("ECG II", "EKG", UNNAMED), ("EK1", "EKG", UNNAMED), ("ECGL", "EKG", UNNAMED),
        ("ekg V5", "EKG", UNNAMED),
        ("EKGR-REF", "EKG", "(REF)"), ("ECG EKG1", "EKG", UNNAMED), ("ECG", "EKG", UNNAMED),
    ],
)  # fmt: skip
def test_names(name, anode, cathode) -> None:
    label = read_label(name)
    assert (label.anode, label.cathode, label.known) == (anode, cathode, True)


def test_every_electrode_is_itself_alone_and_against_every_other() -> None:
    for name in SCALP_ELECTRODES:
        assert read_label(name).anode == name
        for other in SCALP_ELECTRODES:
            found = read_label(f"{name.upper()}-{other.lower()}")
            assert found == NONE if name == other else (found.anode, found.cathode) == (name, other)


@pytest.mark.parametrize(
    "name",
    ["20-REF", "EEG 20-REF", "$A1", "E", "X1", "LOC", "1", "OorLiTop", "-", "--0", "Status", "", "\0", "EEG", "POL",
     "EOG Fp1", "EOG1", "EMG C3-C4", "DC1", "DIG T3", "SaO2", "Resp", "Misc", "REF_EEG", "REF_EEG REF_EEG", "Photic",
     "Fp1 Fp2",
     "F7-F7", "Fp11", "T33", "Fp1Fp2", "BDF Annotations", "Events", "EEG Channel-1", "Event-Fp1", "IBI", "Bursts"],
)  # fmt: skip
def test_names_of_no_electrode(name) -> None:
    assert read_label(name) == NONE


def test_an_unknown_word_is_a_reference_of_its_own() -> None:
    label = read_label("Fp1-FOO")
    assert (label.anode, label.cathode, label.known) == ("Fp1", "(FOO)", False)


def anodes(names: list[str]) -> list[str]:
    return [label.anode for label in read_labels(names) if label.anode]


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        ([f"{bank}{k}" for bank in "AB" for k in range(1, 33)] + ["Fp1"], ["Fp1"]),
        ([f"{bank}{k}" for bank in "ABCDEFGH" for k in range(1, 33)] + ["T3"], ["T3"]),
        ([*(f"A{k}" for k in range(1, 12)), "F3", "C3", "EEG F3-C3", "P3"], ["P3"]),
        ([*(f"a{k}-REF" for k in range(1, 17)), "F3-REF", "P3-REF"], ["P3"]),
        ([*(f"EEG B{k}" for k in range(20, 29)), "F3", "P3"], ["P3"]),
        ([f"F{k}" for k in range(1, 17)] + ["P3", "Cz", "Fp1"], ["Cz", "Fp1"]),
        ([f"POL C'{k}" for k in range(1, 11)] + ["EEG C3-REF", "EEG Cz-REF"], ["Cz"]),
        ([f"P{k}" for k in range(1, 10)] + ["F3"], []),
        ([f"{letter}{k}" for letter in "DH" for k in range(1, 13)] + ["F3", "Fz"], ["Fz"]),
    ],
)
def test_caps_and_depth_electrodes_are_no_trap(names, expected) -> None:
    assert anodes(names) == expected


@pytest.mark.parametrize(
    "spare",
    [["B1"], ["A3"], ["B1", "B2"], ["A1", "A2", "A3"], ["EEG A32-REF", "b7"], ["A3", "B1", "C9", "D1"],
     [f"B{k}" for k in range(1, 9)], [f"A{k}" for k in range(1, 11)],
     [f"{bank}{k}" for bank in "AB" for k in (5, 6, 7, 8)],
     ["B1", "B1-REF", "b1", "EEG B1", "B1.", "B1-Cz", "B1:REF", "POL B1", "B1-C3", "B1-F3"]],
)  # fmt: skip
def test_spare_channels_of_a_letter_and_a_number_are_no_cap(spare) -> None:
    for names in ([*SCALP_ELECTRODES, *spare], [*spare, *(f"EEG {name}-REF" for name in SCALP_ELECTRODES)]):
        found = [name for name in anodes(names) if name in SCALP_ELECTRODES]
        assert sorted(found) == sorted(SCALP_ELECTRODES)


def test_the_10_10_system_and_ears_are_no_cap() -> None:
    names = [*(f"F{k}" for k in range(1, 11)), *(f"P{k}" for k in range(1, 11)), "FC1", "CP2", "A1", "A2", "B"]
    assert len(anodes(names)) == 24
    assert anodes(["A1", "A2", "F3", "C3"]) == ["A1", "A2", "F3", "C3"]
    assert anodes([*(f"X{k}" for k in range(1, 33)), "F3", "C3-X1"]) == ["F3", "C3"]
    assert anodes([*(f"E{k}" for k in range(1, 33)), "F3"]) == ["F3"]
    assert anodes([f"F{k}" for k in range(1, 9)]) == [f"F{k}" for k in range(1, 9)]
