# ---
# jupyter:
#   jupytext:
#     formats: ipynb,py:percent
#     notebook_metadata_filter: kernelspec,jupytext,-jupytext.text_representation.jupytext_version
#     text_representation:
#       extension: .py
#       format_name: percent
#       format_version: '1.3'
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # 07 Ensemble
#
# Blends the out-of-fold predictions of all trained networks. Weights are fitted *nested*: the score shown for a fold
# comes from weights that never saw it, so the number does not flatter. A network of which a session had time for some
# folds only has no such predictions of all samples: it is named, and left out.
#
# Reads: the out-of-fold predictions of every training notebook. Writes: `07_ensemble/`.

# %% tags=["bootstrap"]
# `make notebooks` puts the cell of hbaclib/kaggle/bootstrap.py here, which makes hbaclib importable on Kaggle, too.
from hbaclib.platform import describe

print(describe())

# %% [markdown]
# ## Parameters

# %% tags=["parameters"]
out = ""  # output folder; empty: /kaggle/working on Kaggle, runs/interactive elsewhere
data = ""  # folder in the competition's format; empty: the Kaggle mount, else this run's synthetic set

# %%
import matplotlib.pyplot as plt

from hbaclib import load_oof, plots, score_by_tier
from hbaclib.ensemble.store import ensemble_stage, load_ensemble
from hbaclib.platform import output_root
from hbaclib.stages.names import ENSEMBLE
from hbaclib.suite.prerequisites import trained
from hbaclib.suite.values import check_values

check_values(globals())
out = output_root(out)
members = trained(out, data)
oof = load_oof(members)
print(f"{len(oof.names)} member(s): {', '.join(oof.names)}; {oof.predictions.shape[1]:,} samples")

# %% [markdown]
# ## Fit
#
# The family goes from one mean to weights with a temperature and six class biases; the simplest that is not clearly
# worse is taken.

# %%
folder = ensemble_stage(members, out / ENSEMBLE)
ensemble = load_ensemble(folder)
ensemble.table

# %% [markdown]
# ## Scores by number of votes
#
# Every member and the ensemble, official score with 95 % intervals over patients.

# %%
tables = {
    name: score_by_tier(oof.targets, predictions, oof.n_votes, oof.patients)
    for name, predictions in [*zip(oof.names, oof.predictions, strict=True), ("ensemble", ensemble.oof)]
}
plots.plot_scores(tables)
plt.show()
tables["ensemble"]

# %% [markdown]
# ## Where it errs
#
# Experts' votes against predicted shares, and whether predicted shares come true.

# %%
plots.plot_confusion(oof.targets, ensemble.oof)
plt.show()
plots.plot_reliability(oof.targets, ensemble.oof)
plt.show()
