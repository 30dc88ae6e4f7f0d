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
# # 06 Train on raw EEG
#
# Networks that read the eight bipolar signals themselves: WaveNet and ResNet1D-GRU, the latter on several frequency
# bands, and the ensemble of the bands. They err differently from those that read spectrograms, which is what an
# ensemble lives on: system S3 averages them with an EfficientNet-B0 on spectrograms, which recipe "s3" trains as well.
#
# Reads: `01_port_data/`, `02_eeg_spectrograms/`, `03_assemble_inputs/`.
# Writes: `06_train_<network>/` for every network, and the table that compares them.

# %% tags=["bootstrap"]
# `make notebooks` puts the cell of hbaclib/kaggle/bootstrap.py here, which makes hbaclib importable on Kaggle, too.
from hbaclib.platform import describe

print(describe())

# %% [markdown]
# ## Parameters

# %% tags=["parameters"]
out = ""  # output folder; empty: /kaggle/working on Kaggle, runs/interactive elsewhere
data = ""  # folder in the competition's format; empty: the Kaggle mount, else this run's synthetic set
recipe = ""  # "s3", "demo_raw", "smoke" or a TOML file; empty: "s3" on a GPU, "demo_raw" on a CPU
backbones = ["wavenet", "resnet1d_gru"]  # networks on the whole signal
bands = [[0.5, 4.0], [4.0, 8.0], [8.0, 13.0]]  # Hz, below 20: one ResNet1D-GRU each; [] for none
band_weights = []  # weights of the band ensemble, one for the whole signal and one a band; empty: fitted
image_half = None  # recipe of S3's image half, or a TOML file; None: "s3_image" beside "s3", else none; "": none
half_weights = []  # weights of S3's two halves, signals and image; empty: fitted
downsample = 1  # so many samples of the signals averaged into one, for quick trials
epochs = []  # epochs of the recipe's stages in place of its own, as [4, 1], for quick trials; further ones are not used
crop_seconds = 0.0  # 10.0: a random ten-second stretch at 200 Hz in place of fifty seconds at 40 Hz
batch = 0  # rows of a step in place of the recipes', whose rates grow as its square root (WaveNet: 32 at most)
xla = ""  # what XLA compiles on a GPU: "off", "apply" (the change of the weights) or "full"; empty: the recipes'
pseudo_labels = True  # train a second time with pseudo-labels, where the recipe mixes them in
folds = []  # folds to train, as [0, 1]; empty: all. The out-of-fold tables are written when all are done
stage = ""  # name of the folder of the comparison; empty: 06_raw_eeg

# %%
import matplotlib.pyplot as plt
import numpy as np

from hbaclib import plots
from hbaclib.dataset.competition import open_competition
from hbaclib.dataset.examples import class_examples, read_sample
from hbaclib.inputs.pipeline import gather_parts
from hbaclib.platform import output_root
from hbaclib.suite.family import ensemble_tables, open_family
from hbaclib.suite.plans import raw_plans
from hbaclib.suite.prerequisites import source_of
from hbaclib.suite.values import check_values
from hbaclib.training.history import read_history

check_values(globals())
chosen = raw_plans(
    recipe,
    backbones,
    bands,
    band_weights=band_weights,
    image_half=image_half,
    half_weights=half_weights,
    downsample=downsample,
    epochs=epochs,
    crop_seconds=crop_seconds,
    batch=batch,
    xla=xla,
)
family = open_family(chosen, out, data, stage="06_train_{}", folds=folds)
inputs, plans = family.inputs, family.plans
plans.first

# %% [markdown]
# ## A recording, and the input made from it
#
# Above: ten seconds in longitudinal bipolar montage, as a reader of EEG sees them. Below: the eight signals as the
# network gets them (whole signal, then one band), in units of 32 µV.

# %%
row, sample = next(class_examples(inputs.samples).iterrows())
eeg, _ = read_sample(open_competition(source_of(data, output_root(out))), sample)
plots.plot_montage(eeg, title=f"{sample.label}, recording {sample.eeg_id}", seconds=(20, 30))
plt.show()
for name in dict.fromkeys([plans.signals[0], plans.signals[-1]]):
    traces = gather_parts(lambda kind: inputs.gather(np.array([row]), kind), plans.recipes[name])[-1][0]
    plots.plot_raw_signals(traces, seconds=crop_seconds or 50, title=f"input of {name}")
    plt.show()

# %% [markdown]
# ## The learning rate
#
# Before anything is trained: the rate of every step of a fit.

# %%
for name in dict.fromkeys([next(iter(plans.recipes)), *filter(None, [plans.image])]):
    plots.plot_learning_rates(family.learning_rates(plans.recipes[name]), title=f"recipe {plans.recipes[name].name}")
    plt.show()

# %% [markdown]
# ## Train
#
# One fit per network and fold. Where the recipe mixes pseudo-labels in, a first round without them makes them: for
# every fold from the networks that left this fold out, and from no others, which the audit checks. On GPUs every fit
# runs in a process of its own, the fits of all networks share the devices, and one line a device tells how far it is.
# On Kaggle a few steps of every network are measured first and summed up: what the session has no time for is named and
# left out, the last networks first, and the same notebook, opened again with what this one wrote attached, trains it.
# The learning curves of the networks in training grow below.

# %%
family.train(pseudo_labels=pseudo_labels)
folders = family.begun()
family.left_out()

# %% [markdown]
# ## The networks
#
# Structure and size. The recurrent layer of ResNet1D-GRU runs over time, so that a prediction does not depend on the
# other recordings of its batch. (They are built on the CPU: this notebook leaves the GPUs to the processes that train.)

# %%
shown = [*backbones, *filter(None, [plans.image])]
family.networks(shown, drawn=shown)[["parameters"]]

# %% [markdown]
# ## Learning curves
#
# The loss on the training folds and the score on the held-out fold, after every epoch.

# %%
for name in [name for name in shown if name in folders]:
    plots.plot_learning_curves(read_history(folders[name]), title=name)
    plt.show()

# %% [markdown]
# ## The ensemble of the bands, and S3's two halves
#
# The ensemble of the bands joins ResNet1D-GRU on the whole signal and on each band. S3 averages the mean of these
# networks (with the weights of the bands where they are set) and the image network. Weights are set above, or
# fitted on the other folds, so that no fold is scored with weights that saw it; those shown are fitted to all folds.

# %%
ensembles = family.raw_ensembles(band_weights, half_weights)
ensemble_tables(ensembles)

# %% [markdown]
# ## The networks and their ensembles
#
# Accuracy (most-voted class hit) and the official score, of all samples and of those with ten or more votes, the
# latter with its 95 % interval over patients.

# %%
family.compare(stage or "06_raw_eeg", ensembles)
