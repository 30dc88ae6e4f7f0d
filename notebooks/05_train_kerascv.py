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
# # 05 Train the KerasCV family
#
# EfficientNetV2-B2, ResNet50V2, MobileNetV3Large and DenseNet201 of KerasCV, side by side with one recipe: each alone
# and each joined with a WaveNet on the eight raw signals. All pass through the same cross-validation as EfficientNet
# B0-B4.
#
# Reads: `01_port_data/`, `02_eeg_spectrograms/`, `03_assemble_inputs/`.
# Writes: `05_train_<network>/` for every network, and the table that compares them.

# %% tags=["bootstrap"]
# `make notebooks` puts the cell of hbaclib/kaggle/bootstrap.py here, which makes hbaclib importable on Kaggle, too.
from hbaclib.platform import describe

print(describe())

# %% [markdown]
# ## Parameters

# %% tags=["parameters"]
out = ""  # output folder; empty: /kaggle/working on Kaggle, runs/interactive elsewhere
data = ""  # folder in the competition's format; empty: the Kaggle mount, else this run's synthetic set
recipe = ""  # "s0", "s2", "s4", "demo_large", "smoke" or a TOML file; empty: "s4" on a GPU, "demo_large" on a CPU
backbones = ["efficientnet_v2_b2", "mobilenet_v3_large", "resnet50_v2", "densenet201"]  # what is trained, in this order
fusions = True  # each of them joined with WaveNet, too
epochs = []  # epochs of the recipe's stages in place of its own, as [4, 1], for quick trials; further ones are not used
batch = 0  # rows of a step in place of the recipe's, whose rates grow as its square root; 0: the recipe's
xla = ""  # what XLA compiles on a GPU: "off", "apply" (the change of the weights) or "full"; empty: the recipe's
folds = []  # folds to train, as [0, 1]; empty: all. The out-of-fold tables are written when all are done
weights = None  # None: the recipe's where all are attached, else from scratch, and says so
# named ones are taken or refused: "imagenet", "" (from scratch) or a folder with KerasCV presets
stage = ""  # name of the folder of the comparison; empty: 05_kerascv

# %%
import matplotlib.pyplot as plt

from hbaclib import plots
from hbaclib.suite.family import open_family
from hbaclib.suite.plans import kerascv_plans
from hbaclib.suite.values import check_values
from hbaclib.training.history import read_history

check_values(globals())
chosen = kerascv_plans(recipe, backbones, fusions, epochs, weights, out, batch=batch, xla=xla)
family = open_family(chosen, out, data, stage="05_train_{}", folds=folds)
names, plan = list(family.plans.recipes), family.plans.first
plan

# %% [markdown]
# ## The learning rate
#
# Before anything is trained: the rate of every step of a fit.

# %%
plots.plot_learning_rates(family.learning_rates(plan), title=f"recipe {plan.name}")
plt.show()

# %% [markdown]
# ## What augmentation does
#
# One sample as stored, and as the network sees it in several draws. (MixUp, where the recipe has it, blends whole
# samples afterwards.)

# %%
if plan.layout == "stem":
    plots.show_augmentations(family.inputs, plan)
    plt.show()

# %% [markdown]
# ## Train
#
# One fit per network and fold, all with the same folds and the same recipe. A run that was killed continues with the
# epoch after the last finished one; finished fits are not trained again. On GPUs every fit runs in a process of its
# own, the fits of all networks share the devices, and one line a device tells how far it is. On Kaggle a few steps of
# every network are measured first and summed up: what the session has no time for is named and left out, the last
# networks first, and the same notebook, opened again with what this one wrote attached, trains it. The learning curves
# of the networks in training grow below.

# %%
family.train()
folders = family.begun()
family.left_out()

# %% [markdown]
# ## The networks
#
# Size of every network, and the structure of each backbone and of one fusion. Each arrow is a connection of the
# network; neighbours of one size, and blocks with shortcuts, share a box. (They are built on the CPU: this notebook
# leaves the GPUs to the processes that train.)

# %%
family.networks(names, drawn=[*backbones, *names[len(backbones) :][:1]])

# %% [markdown]
# ## Loss against epoch
#
# Training loss and the score on the held-out fold, mean over the folds: EfficientNetV2-B2 beside MobileNetV3Large where
# both were trained, else the first two networks.

# %%
pair = [name for name in ("efficientnet_v2_b2", "mobilenet_v3_large") if name in folders]
pair = pair if len(pair) == 2 else list(folders)[:2]
if pair:
    plots.plot_loss_against_epoch({name: read_history(folders[name]) for name in pair})
    plt.show()

# %% [markdown]
# ## Each alone and joined with WaveNet
#
# Accuracy (most-voted class hit) and the official score, of all samples and of those with ten or more votes, the latter
# with its 95 % interval over patients. Scores of different tiers are on different scales.

# %%
family.compare(stage or "05_kerascv")
