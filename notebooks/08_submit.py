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
# # 08 Submit
#
# Predicts the test recordings with every fold of every member of the ensemble and writes `submission.csv`. Needs no
# internet. A recording that cannot be read, or makes no sense (no signal, volts for µV), gets the class means of the
# expert-labelled samples, and a line in the log; a ten-minute spectrogram that is of no use is computed from the EEG.
#
# Reads: `test.csv` and its files, the trained networks, `07_ensemble/`. Writes: `submission.csv`.

# %% tags=["bootstrap"]
# `make notebooks` puts the cell of hbaclib/kaggle/bootstrap.py here, which makes hbaclib importable on Kaggle, too.
from hbaclib.platform import describe

print(describe())

# %% [markdown]
# ## Parameters

# %% tags=["parameters"]
out = ""  # output folder; empty: /kaggle/working on Kaggle, runs/interactive elsewhere
data = ""  # folder in the competition's format; empty: the Kaggle mount, else this run's synthetic set
spectrograms = "files"  # "from_eeg": compute the ten-minute spectrograms instead of reading them
time_budget_hours = 8.0  # on Kaggle at most what the nine hours of a submission leave; see below

# %%
import matplotlib.pyplot as plt

from hbaclib import CLASSES, VOTE_COLUMNS
from hbaclib.platform import output_root
from hbaclib.prediction.submission import submit_stage
from hbaclib.stages.names import SUBMIT
from hbaclib.suite.prerequisites import ensembled, model_places, source_of
from hbaclib.suite.values import check_values

check_values(globals())
out = output_root(out)
ensemble = ensembled(out, data)
source = source_of(data, out)

# %% [markdown]
# ## Predict and write
#
# In mixed precision on a GPU, in a process of its own; where there are two GPUs, and rows enough, each predicts half of
# the rows. The first rows show how long all will take. With less time than that, the networks look at each recording
# once and not also at its mirror image; then the least important networks are left out; and should the time be spent
# all the same, the rest gets the class means. The log says what was left out, and from which row on.

# %%
submission = submit_stage(
    source,
    ensemble,
    out / SUBMIT,
    spectrograms=spectrograms,
    time_budget_seconds=3600 * time_budget_hours,
    search=model_places(out),
)
submission.head()

# %% [markdown]
# ## What was predicted
#
# The mean predicted share of each class, and how sure the predictions are.

# %%
figure, axes = plt.subplots(1, 2, figsize=(10, 3.4), layout="constrained")
shares = submission[list(VOTE_COLUMNS)].to_numpy()
axes[0].bar(CLASSES, shares.mean(axis=0))
axes[0].set(xlabel="class", ylabel="mean predicted share", title=f"{len(submission):,} test recordings")
axes[1].hist(shares.max(axis=1), bins=20, range=(0, 1))
axes[1].set(xlabel="share of the leading class", ylabel="recordings", title="How sure the predictions are")
plt.show()
