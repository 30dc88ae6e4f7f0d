"""One recording in many montages: names of channels, and values made of its electrodes."""

from __future__ import annotations

import numpy as np

from hbaclib.conventions import EEG_COLUMNS, LEFT_ELECTRODES, SCALP_ELECTRODES
from hbaclib.signal.montage import LONGITUDINAL_PAIRS

NEW_NAMES = {"T3": "T7", "T4": "T8", "T5": "P7", "T6": "P8"}
Made = tuple[list[str], np.ndarray]


def of(eeg: np.ndarray, name: str) -> np.ndarray:
    return eeg[:, EEG_COLUMNS.index(name)]


def against(eeg: np.ndarray, reference: np.ndarray, word: str) -> Made:
    return [f"EEG {name}-{word}" for name in SCALP_ELECTRODES], eeg[:, :19] - reference[:, None]


def montage(name: str, eeg: np.ndarray, rng: np.random.Generator) -> Made:
    """Channels of a montage, of electrodes (n_samples, 20) in µV."""
    ears = rng.normal(0, 40, (2, len(eeg)))
    if name == "REF":
        return against(eeg, ears[0], "REF")
    if name == "AVG":
        return against(eeg, eeg[:, :19].mean(axis=1), "Avg")
    if name == "LE":
        return against(eeg, ears.mean(axis=0), "A1A2")
    if name == "ears":
        sides = [0 if one in LEFT_ELECTRODES else 1 for one in SCALP_ELECTRODES]
        return [f"{one}-{'A1' if side == 0 else 'M2'}" for one, side in zip(SCALP_ELECTRODES, sides, strict=True)], (
            eeg[:, :19] - ears[sides].T
        )
    if name == "Cz":
        names = [one for one in SCALP_ELECTRODES if one != "Cz"]
        return [f"{one}-Cz" for one in names], np.stack([of(eeg, one) - of(eeg, "Cz") for one in names], axis=1)
    if name == "unnamed":
        return [one.lower() + ".." for one in SCALP_ELECTRODES], eeg[:, :19] - ears[0][:, None]
    if name == "new names":
        return [NEW_NAMES.get(one, one) for one in SCALP_ELECTRODES], eeg[:, :19]
    if name == "shuffled":
        names, values = against(eeg, ears[0], "Ref")
        extra = [f"X{k}" for k in range(20)] + [f"DC{k:02d}" for k in range(20)]
        order = rng.permutation(len(names) + len(extra))
        joined = np.concatenate([values, rng.normal(0, 100, (len(eeg), len(extra)))], axis=1)
        return [[*names, *extra][k] for k in order], joined[:, order]
    pairs = list(LONGITUDINAL_PAIRS)
    values = np.stack([of(eeg, one) - of(eeg, other) for one, other in pairs], axis=1)
    names = [f"{NEW_NAMES.get(one, one)}-{NEW_NAMES.get(other, other)}" for one, other in pairs]
    if name == "banana":
        return names, values
    if name == "banana, reversed and repeated":
        # Every third pair is turned, T8-P8 comes twice, T7-P7 turned before it comes straight.
        names = ["P7-T7", *("-".join(reversed(one.split("-"))) if k % 3 == 0 else one for k, one in enumerate(names)),
                 "T8-P8"]  # fmt: skip
        sign = np.array([-1 if k % 3 == 0 else 1 for k in range(16)])
        p7 = of(eeg, "T5") - of(eeg, "T3")
        return names, np.concatenate([p7[:, None], values * sign, (of(eeg, "T4") - of(eeg, "T6"))[:, None]], axis=1)
    raise KeyError(name)


MONTAGES = ("REF", "AVG", "LE", "ears", "Cz", "unnamed", "new names", "shuffled", "banana",
            "banana, reversed and repeated")  # fmt: skip
