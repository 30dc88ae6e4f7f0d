"""The table of several networks: their rows, those of ensembles below them, all of it on disk."""

import numpy as np
import pandas as pd
import pytest

from hbaclib import load_oof
from hbaclib.artefacts import verify, write_manifest
from hbaclib.ensemble.comparison import compare_predictions, store_comparison
from hbaclib.ensemble.fit import fit_ensemble
from hbaclib.errors import ConfigError
from hbaclib.evaluation.metric import kl_divergence
from hbaclib.evaluation.oof import oof_table


@pytest.fixture
def folders(tmp_path):
    rng = np.random.default_rng(3)
    n = 120
    targets = rng.dirichlet(np.ones(6), n)
    patients = np.arange(n) // 4
    ids = pd.DataFrame({"eeg_id": np.arange(n) + 5, "eeg_start": 0})
    made = []
    for name in ("one", "two"):
        shares = 0.2 * targets + 0.8 * rng.dirichlet(np.ones(6), n)
        folder = tmp_path / name
        folder.mkdir()
        table = oof_table(ids, patients, np.where(np.arange(n) % 2, 12, 3), patients % 2, targets, shares)
        table.to_parquet(folder / "oof.parquet", index=False)
        write_manifest(folder, "train", inputs={}, parameters={}, outputs=["oof.parquet"])
        made.append(folder)
    return made


def test_ensembles_stand_in_the_stored_table(folders, tmp_path):
    oof = load_oof(folders)
    about = (oof.targets, oof.folds, oof.patients, oof.names, oof.n_votes)
    fits = {
        "given": fit_ensemble(oof.predictions, *about, weights=[3, 1]),
        "fitted": fit_ensemble(oof.predictions, *about),
    }
    table = store_comparison(folders, tmp_path / "table", fits)
    stored = pd.read_csv(tmp_path / "table" / "comparison.csv", index_col="network")
    pd.testing.assert_frame_equal(stored, table)
    assert list(table.index) == ["one", "two", "given", "fitted"]
    alone = compare_predictions(
        dict(zip(oof.names, oof.predictions, strict=True)), oof.targets, oof.n_votes, oof.patients
    )
    pd.testing.assert_frame_equal(table.iloc[:2], alone)
    mean = np.average(oof.predictions, axis=0, weights=[3, 1])
    assert table.loc["given", "kl all"] == pytest.approx(kl_divergence(oof.targets, mean))
    assert table.loc["given", "accuracy"] == pytest.approx((mean.argmax(1) == oof.targets.argmax(1)).mean())
    facts = verify(tmp_path / "table").facts
    assert facts["given"]["weights"] == {"one": 0.75, "two": 0.25}
    assert facts["fitted"]["weights"] == fits["fitted"].weights


def test_nothing_to_compare(tmp_path):
    with pytest.raises(ConfigError, match="no trained networks"):
        store_comparison([], tmp_path)
