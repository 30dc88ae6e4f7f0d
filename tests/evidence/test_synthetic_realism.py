"""A network that never saw a real recording recognises real ones, and a classifier hardly tells the two apart."""

from __future__ import annotations

import pandas as pd
import pytest

from hbaclib import kl_divergence, load_recipe, predict
from hbaclib.conventions import CLASSES
from hbaclib.dataset.synthetic.segments import make_segment
from hbaclib.plots.statistics import describe
from tests.evidence.realism import (
    predict_real,
    real_recordings,
    real_segments,
    synthetic_segments,
    tell_apart,
    train_network,
)

N_SEGMENTS = 2400


@pytest.mark.evidence
def test_what_is_learned_from_the_synthetic_set_is_true_of_real_eeg(real_data, tmp_path):
    """By recipe `demo` as it ships: its image, its network, its training, its prediction."""
    real, (short, votes) = real_recordings(real_data), real_segments(real_data)
    images, truth, descriptions = synthetic_segments(N_SEGMENTS, seed=0, n_jobs=2)
    area, features = tell_apart(real, descriptions)
    print(f"\nreal against synthetic: AUC {area:.3f}\n{features.round(2).to_string()}")
    folders = [tmp_path / f"network-{seed}" for seed in range(3)]
    for seed, folder in enumerate(folders):
        loss = train_network(images, truth, load_recipe("demo", seeds=[seed]), folder)
        judged = kl_divergence(votes, predict(folder, short))
        print(f"network {seed}: held-out KL {loss:.3f}, KL to the experts of {len(votes)} real recordings {judged:.3f}")
    predictions = predict_real(folders, real)
    print(predictions.round(3).to_string())
    right = sum(predictions.loc[kind].idxmax() == kind for kind in CLASSES)
    # One in six by chance; four or more right by chance alone has a probability below 1 %.
    assert right >= 4
    assert area < 0.9


@pytest.mark.evidence
def test_synthetic_figures_bracket_the_real_recordings(real_data):
    """Amplitude, spectrum and correlation of each real recording lie inside the range of the synthetic ones."""
    found = pd.DataFrame({kind: describe(eeg) for kind, eeg in real_recordings(real_data).items()}).T
    made = pd.DataFrame([describe(make_segment(CLASSES[i % 6], 70_000_000 + i).eeg) for i in range(360)])
    table = pd.DataFrame({f"{share} %": made.quantile(share / 100) for share in (1, 10, 50, 90, 99)})
    table = table.join(found.T)
    print("\n" + table.round(2).to_string())
    inside = (found.ge(made.quantile(0.01), axis=1) & found.le(made.quantile(0.99), axis=1)).to_numpy()
    print(f"{inside.sum()} of {inside.size} figures inside the range of 98 % of the synthetic recordings")
    # Six recordings x 18 figures; single ones of the wildest recording may lie outside.
    assert inside.mean() > 0.9
