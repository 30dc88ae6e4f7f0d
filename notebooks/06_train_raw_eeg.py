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
# ensemble lives on.
#
# Reads: `01_port_data/`, `02_eeg_spectrograms/`, `03_assemble_inputs/`.
# Writes: `06_train_<network>/` for every network, and the table that compares them.

# %% tags=["bootstrap"]
# Makes hbaclib importable where only an attached data set of wheels holds it (Kaggle, internet off).
import importlib
import importlib.util
import os
import subprocess
import sys
from pathlib import Path

if not all(importlib.util.find_spec(name) for name in ("hbaclib", "efficientnet")):
    inputs = Path(os.environ.get("HBAC_INPUT_ROOT", "/kaggle/input"))
    found = [path for pattern in ("datasets/*/*", "*") for path in sorted(inputs.glob(f"{pattern}/hbaclib-*.whl"))]
    if not found:
        raise ImportError(f"hbaclib is not installed and no data set with its wheel is attached below {inputs}")
    wheels = [
        path for path in found[0].parent.glob("*.whl") if not importlib.util.find_spec(path.name.split("-")[0].lower())
    ]
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-index", "--no-deps"]
    subprocess.run([*pip, *map(str, wheels)], check=True)
    importlib.invalidate_caches()

from hbaclib.platform import describe

print(describe())

# %% [markdown]
# ## Parameters

# %% tags=["parameters"]
out = ""  # output folder; empty: /kaggle/working on Kaggle, runs/interactive elsewhere
data = ""  # folder in the competition's format; empty: the Kaggle mount, else this run's synthetic set
recipe = ""  # "s3", "demo", "smoke" or a TOML file; empty: "s3" on a GPU, "demo" on a CPU
backbones = ["wavenet", "resnet1d_gru"]  # networks on the whole signal
bands = [[0.5, 4.0], [4.0, 8.0], [8.0, 13.0]]  # Hz, below 20: one ResNet1D-GRU each; [] for none
band_weights = []  # weights of the band ensemble, one for the whole signal and one a band; empty: fitted
downsample = 1  # so many samples averaged into one, for quick trials
epochs = []  # epochs of the recipe's stages in place of its own, as [4, 1], for quick trials; empty: the recipe's
crop_seconds = 0.0  # 10.0: a random ten-second stretch at 200 Hz in place of fifty seconds at 40 Hz
pseudo_labels = True  # train a second time with pseudo-labels, where the recipe mixes them in
folds = []  # folds to train, as [0, 1]; empty: all. The out-of-fold tables are written when all are done
stage = ""  # name of the folder of the comparison; empty: 06_raw_eeg

# %%
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from hbaclib import build_model, load_oof
from hbaclib.dataset.competition import open_competition
from hbaclib.dataset.examples import class_examples, read_sample
from hbaclib.dataset.wide import store_wide_signals
from hbaclib.evaluation import plots
from hbaclib.evaluation.compare import compare_predictions, store_comparison
from hbaclib.evaluation.ensemble import fit_ensemble
from hbaclib.evaluation.plots_networks import plot_learning_rates, plot_network, plot_raw_signals
from hbaclib.inputs.pipeline import gather_parts
from hbaclib.inputs.store import open_inputs
from hbaclib.platform import on_kaggle, output_root
from hbaclib.suite.upstream import adopt_fits, default_recipe, eeg_products, images, ported, source_of
from hbaclib.training.cross_validate import train
from hbaclib.training.pseudo_labels import make_pseudo_labels
from hbaclib.training.recipe import load_recipe
from hbaclib.training.runtime import configure
from hbaclib.training.schedules import recipe_learning_rates

base = load_recipe(recipe or ("s3" if default_recipe() == "gold" else default_recipe()))
settings = {"layout": "raw", "inputs": "raw", "weights": "", "crop_seconds": float(crop_seconds)}
settings["downsample"] = downsample  # a recipe's own is meant for images
settings |= {f"stages.{number}.epochs": count for number, count in enumerate(epochs)}
plans = {}
for name, band in [*((name, []) for name in backbones), *(("resnet1d_gru", band) for band in bands)]:
    own = {} if name == base.backbone else {"model_options": {}}
    title = f"{name}-{band[0]:g}-{band[1]:g}Hz" if band else name
    plans[title] = base.override({**settings, **own, "backbone": name, "band": band})
plan = next(iter(plans.values()))
configure(plan)  # threads, seeds and determinism are part of the recipe and are set before TensorFlow starts

out = output_root(out)
port = ported(out, data)
wide = store_wide_signals(source_of(data, out), port, out) if crop_seconds else None
inputs = open_inputs(port, eeg_products(out, data), images(out, data), wide)
stage = stage or "06_raw_eeg"
print(f"{len(inputs.samples):,} samples of {inputs.samples.patient_id.nunique():,} patients")
plan

# %% [markdown]
# ## A recording, and the input made from it
#
# Above: ten seconds in longitudinal bipolar montage, as a reader of EEG sees them. Below: the eight signals as the
# network gets them (whole signal, then one band), in units of 32 µV.

# %%
row, sample = next(class_examples(inputs.samples).iterrows())
eeg, _ = read_sample(open_competition(source_of(data, out)), sample)
plots.plot_montage(eeg, title=f"{sample.label}, recording {sample.eeg_id}", seconds=(20, 30))
plt.show()
for name in [next(iter(plans)), *list(plans)[-1:]]:
    signals = gather_parts(lambda kind: inputs.gather(np.array([row]), kind), plans[name])[-1][0]
    plot_raw_signals(signals, seconds=crop_seconds or 50, title=f"input of {name}")
    plt.show()

# %% [markdown]
# ## The networks
#
# Structure and size. The recurrent layer of ResNet1D-GRU runs over time, so that a prediction does not depend on the
# other recordings of its batch.

# %%
counts = {}
for name in backbones:
    chosen = plans[name]
    network = build_model(chosen.backbone, chosen.layout, chosen.inputs, **chosen.network_options())
    counts[name] = network.count_params()
    plot_network(network)
    plt.show()
pd.Series(counts, name="parameters").to_frame()

# %% [markdown]
# ## The learning rate
#
# Before anything is trained: the rate of every step of a fit.

# %%
votes = inputs.samples["n_votes"]
share = 1 - 1 / plan.folds
rows = [int(share * (votes >= step.least_votes).sum()) for step in plan.stages]
plot_learning_rates(recipe_learning_rates(plan, rows), title=f"recipe {plan.name}")
plt.show()

# %% [markdown]
# ## Train
#
# One fit per network and fold. Where the recipe mixes pseudo-labels in, a first round without them makes them: for
# every fold from the networks that left this fold out, and from no others, which the audit checks.

# %%
options = {"folds": folds or None, "session_hours": 11.5 if on_kaggle() else None}
folders = {}
for name, chosen in plans.items():
    adopt_fits(f"06_train_{name}", out)  # folds that other Kaggle kernels have trained
    first = chosen.override({"pseudo_weight": 0.0})
    if chosen.pseudo_weight and pseudo_labels:
        before = train(first, inputs, out / f"06_first_round_{name}", **options)
        labels = make_pseudo_labels([before], inputs, out / f"06_pseudo_labels_{name}", up_to=chosen.pseudo_up_to)
        folders[name] = train(chosen, inputs, out / f"06_train_{name}", pseudo_labels=labels, **options)
    else:
        folders[name] = train(first, inputs, out / f"06_train_{name}", **options)

# %% [markdown]
# ## Learning curves
#
# The loss on the training folds and the score on the held-out fold, after every epoch.

# %%
for name in backbones:
    plots.plot_learning_curves(pd.read_csv(folders[name] / "history.csv"), title=name)
    plt.show()

# %% [markdown]
# ## The networks and the ensemble of the bands
#
# Accuracy (most-voted class hit) and the official score, of all samples and of those with ten or more votes, the
# latter with its 95 % interval over patients. The ensemble joins ResNet1D-GRU on the whole signal and on each band;
# its weights are given above, or fitted on the other folds, so that no fold is scored with weights that saw it.

# %%
complete = [folder for folder in folders.values() if (folder / "oof.parquet").is_file()]
table = "trained some of the folds; the out-of-fold tables are written when all are done"
if complete:
    table = store_comparison(complete, out / stage)
    members = [folder for name, folder in folders.items() if name.startswith("resnet1d_gru")]
    if len(members) > 1:
        oof = load_oof(members)
        if band_weights:
            joined = np.average(oof.predictions, axis=0, weights=band_weights)
        else:
            joined = fit_ensemble(oof.predictions, oof.targets, oof.folds, oof.patients, oof.names, oof.n_votes).oof
        bands_row = compare_predictions({"ensemble of the bands": joined}, oof.targets, oof.n_votes, oof.patients)
        table = pd.concat([table, bands_row])
table
