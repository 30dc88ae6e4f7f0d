"""Explanations: the part that a network looks at is found, whatever else is there; and what is refused."""

from __future__ import annotations

from collections.abc import Mapping
from types import SimpleNamespace

import numpy as np
import pytest

from hbaclib import explain
from hbaclib.conventions import CHAINS, CLASSES, RAW_PAIRS, REGIONS
from hbaclib.errors import ConfigError, DataError
from hbaclib.prediction.ensemble_predictor import EnsemblePredictor
from hbaclib.prediction.explain import BANDS, LEFT, RIGHT, Explanation, explain_window
from tests.signal.recordings import column, noise

LPD, OTHER = CLASSES.index("LPD"), CLASSES.index("Other")


class Looks:
    """Stands in for a network: the more there is in one place of what it sees, the more it says LPD."""

    def __init__(self, kind: str, place: tuple) -> None:
        self.kinds, self.place = (kind,), place

    def predict(self, inputs: Mapping[str, np.ndarray]) -> np.ndarray:
        seen = np.stack([one[self.place] for one in inputs[self.kinds[0]]]).reshape(len(inputs[self.kinds[0]]), -1)
        share = 0.1 + 0.8 / (1 + np.exp(-(seen**2).mean(axis=1)))
        shares = np.zeros((len(share), len(CLASSES)))
        shares[:, LPD], shares[:, OTHER] = share, 1 - share
        return shares


def predictor(*members: Looks) -> SimpleNamespace:
    return SimpleNamespace(
        members=dict(enumerate(members)), pool=lambda found: np.mean(list(found.values()), axis=0)
    )  # fmt: skip


def strongest(found: Explanation) -> tuple[int, ...]:
    return tuple(int(at) for at in np.unravel_index(np.argmax(np.abs(found.values)), found.values.shape))


@pytest.mark.parametrize("region", range(4))
@pytest.mark.parametrize("kind", ["eeg", "eeg_absolute"])
def test_the_part_of_an_image_that_decides_is_found(kind: str, region: int) -> None:
    # 4 to 8 Hz of 20 are the rows 26 to 51 of 128; 15 to 20 s of 50 the frames 77 to 102 of 256.
    place = (slice(30, 48), slice(80, 100), region)
    found = explain_window(predictor(Looks(kind, place)), noise(0))
    assert strongest(found) == (region, 2, 3)
    others = np.delete(found.values.ravel(), np.ravel_multi_index((region, 2, 3), found.values.shape))
    assert not np.abs(others).max() > 1e-9
    assert found.values.shape == (4, len(BANDS) - 1, len(found.times) - 1) and found.times[-1] == 50


@pytest.mark.parametrize("region", range(4))
def test_the_part_of_the_signals_that_decides_is_found(region: int) -> None:
    signals = [k for k, pair in enumerate(RAW_PAIRS) if set(pair) <= set(CHAINS[REGIONS[region]])]
    time = np.arange(10_000) / 200
    eeg = noise(1)
    electrode = CHAINS[REGIONS[region]][2]
    eeg[:, column(electrode)] += (80 * np.sin(2 * np.pi * 6 * time)).astype(np.float32)
    found = explain_window(predictor(Looks("raw", (slice(800, 1000), signals))), eeg, "LPD")
    assert strongest(found) == (region, 2, 4)
    assert found.regions[REGIONS[region]] > 0.9
    assert (found.left > 0.9) == (region in LEFT) and (found.left < 0.1) == (region in RIGHT)


def test_the_whole_ensemble_is_explained_and_any_class() -> None:
    ensemble = predictor(Looks("eeg", (slice(30, 48), slice(80, 100), 0)), Looks("raw", (slice(800, 1000), [2, 3])))
    for_it, against = (explain_window(ensemble, noise(2), label) for label in ("LPD", "Other"))
    assert for_it.label == "LPD" and against.label == "Other" and for_it.share + against.share == pytest.approx(1)
    assert ((for_it.values > 1e-9) == (against.values < -1e-9)).all() and (np.abs(for_it.values) > 1e-9).sum() >= 2
    assert explain_window(ensemble, noise(2)).label == ("LPD" if for_it.share > 0.5 else "Other")


def test_what_decides_nothing_lies_nowhere() -> None:
    found = Explanation("LPD", 0.5, np.zeros((4, 4, 10)), BANDS, tuple(range(11)))
    assert not any(found.regions.values()) and np.isnan(found.left)


def test_arguments(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(EnsemblePredictor, "open", lambda *_, **__: predictor(Looks("eeg", (0, 0, 0))))
    eeg = noise(3)[None]
    assert [each.label for each in explain("synthetic", eeg, label="GPD")] == ["GPD"]
    with pytest.raises(ConfigError, match="label = 'lpd'; expected one of Seizure"):
        explain("synthetic", eeg, label="lpd")
    with pytest.raises(DataError, match=r"shape \(10000, 20\); expected \(n, 10000, 20\)"):
        explain("synthetic", eeg[0])
    with pytest.raises(DataError, match="EEG 1 cannot be explained"):
        explain("synthetic", np.concatenate([eeg, np.zeros_like(eeg)]))
