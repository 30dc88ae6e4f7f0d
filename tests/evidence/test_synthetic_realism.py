"""The built-in model, which never saw real EEG, recognises it; a classifier hardly tells real from synthetic."""

from __future__ import annotations

import pandas as pd
import pytest

from hbaclib.builtin.judge import judge_real
from hbaclib.conventions import CLASSES
from hbaclib.dataset.synthetic.segments import make_segment
from hbaclib.plots.statistics import describe
from hbaclib.stages.places import SHIPPED
from tests.evidence.realism import describe_segments, real_recordings, tell_apart

N_SEGMENTS = 2400


@pytest.mark.evidence
def test_the_built_in_model_recognises_real_recordings(real_data):
    found = judge_real(SHIPPED["synthetic"], real_data)
    for row in found["50 s"]["rows"]:
        print(row)
    ten = found["10 s"]
    for way in ("nan", "reflect"):
        part = ten[way]
        print(
            f"{way}: KL {part['kl']:.3f} ({part['low']:.3f} to {part['high']:.3f}), {part['right']} of {ten['leading']}"
        )
    # One in six by chance; four or more right by chance alone has a probability below 1 %.
    assert found["50 s"]["right"] >= 4
    # Twelve of the twenty are ties between two classes; the means of all votes are at 1.1.
    assert ten["reflect"]["kl"] < 0.8


@pytest.mark.evidence
@pytest.mark.parametrize("varied", [False, True])
def test_a_classifier_hardly_tells_real_from_synthetic(real_data, varied):
    descriptions = describe_segments(N_SEGMENTS, seed=0, n_jobs=2, varied=varied)
    area, features = tell_apart(real_recordings(real_data), descriptions)
    print(f"\nreal against synthetic: AUC {area:.3f}\n{features.round(2).to_string()}")
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
