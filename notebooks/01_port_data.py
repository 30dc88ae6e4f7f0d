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
# # 01 Port the data
#
# The competition's data are two tables and some 28,000 Parquet files. This notebook checks every one of them, draws the
# samples and folds that all later notebooks share, and ports the ten-minute spectrograms to one memory-mapped array.
#
# Reads: the competition's files (a Kaggle mount, a folder, or a synthetic set that it makes and says so).
# Writes: `01_port_data/` with samples, folds, a table of every recording's quality, and the spectrogram rows.

# %% tags=["bootstrap"]
# `make notebooks` puts the cell of hbaclib/kaggle/bootstrap.py here, which makes hbaclib importable on Kaggle, too.
from hbaclib.platform import describe

print(describe())

# %% [markdown]
# ## Parameters

# %% tags=["parameters"]
out = ""  # output folder; empty: /kaggle/working on Kaggle, runs/interactive elsewhere
data = ""  # folder in the competition's format; empty: the Kaggle mount, else a synthetic set
sampling = "vote_groups"  # or "non_overlapping": one sample per recording
n_folds = 5
seed = 0
spectrograms = "files"  # "from_eeg": compute the ten-minute spectrograms instead of reading them
on_bad_file = "error"  # "skip": leave faulty files out
synthetic_patients = 40  # size and seed of the synthetic set, where one is made
synthetic_recordings = 2.5  # its mean number of ten-minute recordings per patient
synthetic_seed = 1

# %%
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from hbaclib import CLASSES, VOTE_COLUMNS, plots
from hbaclib.conventions import VOTE_TIERS
from hbaclib.dataset.competition import open_competition
from hbaclib.dataset.examples import class_examples, read_sample
from hbaclib.platform import output_root
from hbaclib.stages.port import port_data
from hbaclib.suite.prerequisites import data_folder

out = output_root(out)
source = data_folder(
    data,
    out,
    synthetic_patients=synthetic_patients,
    synthetic_recordings=synthetic_recordings,
    synthetic_seed=synthetic_seed,
)

# %% [markdown]
# ## Check and port
#
# Every file is read. Faults are listed all at once, with what was found and what was expected: a file that is torn, and
# one that makes no sense, without a signal or in volts. With `on_bad_file="skip"` the run leaves out the faulty ones. A
# second run with the same files returns at once.

# %%
folder = port_data(
    source, out, sampling=sampling, n_folds=n_folds, seed=seed, spectrograms=spectrograms, on_bad_file=on_bad_file
)
samples = pd.read_parquet(folder / "samples.parquet")
folds = pd.read_parquet(folder / "folds.parquet")
faults = pd.read_parquet(folder / "faults.parquet")
print(f"{len(samples):,} samples of {samples.patient_id.nunique():,} patients; {len(faults)} faulty files")
faults.head(20)

# %% [markdown]
# ## Two populations of votes
#
# Rows with ten or more votes come from a panel of experts, the others from a wider group, and the test set is of the
# first kind alone. Their class means differ, so scores on the two are never compared.

# %%
tiers = {}
for tier, (low, high) in VOTE_TIERS.items():
    inside = samples["n_votes"].between(low, high or np.inf)
    if inside.any():
        tiers[f"{tier} votes (n = {inside.sum():,})"] = samples.loc[inside, list(VOTE_COLUMNS)].mean()
means = pd.DataFrame(tiers)
means.index = list(CLASSES)
axes = means.plot.bar(figsize=(9, 3.6), width=0.8, rot=0)
axes.set(xlabel="class", ylabel="mean share of the votes", title="Class means by number of votes")
axes.legend(frameon=False)
plt.show()

# %% [markdown]
# ## Folds
#
# One table assigns every *patient* to a fold; whoever trains, blends or scores uses it. The classes are balanced over
# the folds as well as patients allow.

# %%
of_sample = samples["patient_id"].map(folds.set_index("patient_id")["fold"])
balance = samples.groupby(of_sample)[list(VOTE_COLUMNS)].mean()
balance.columns = list(CLASSES)
balance.insert(0, "patients", folds.groupby("fold").size())
balance.insert(1, "samples", of_sample.value_counts())
balance.round(3)

# %% [markdown]
# ## Quality of the recordings
#
# One row per recording: gaps, flat electrodes, clipping, mains, amplitude. The worst by missing data come first.

# %%
quality = pd.read_parquet(folder / "quality.parquet")
quality.describe().loc[["min", "50%", "max"]].T.round(3)

# %% [markdown]
# ## One recording of each class
#
# The labelled ten seconds lie in the middle of the fifty-second window; here they are in longitudinal bipolar montage.

# %%
competition = open_competition(source)
for sample in class_examples(samples).itertuples():
    eeg, _ = read_sample(competition, sample)
    plots.plot_montage(
        eeg, title=f"{sample.label}, recording {sample.eeg_id}, {sample.n_votes} votes", seconds=(20, 30)
    )
    plt.show()
