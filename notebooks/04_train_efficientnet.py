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
# # 04 Train EfficientNet
#
# One backbone (EfficientNet B0 to B4; on a CPU a small network) is trained once per fold; each sample is then predicted
# by the network that never saw its patient. These out-of-fold predictions are what the ensemble is built from and what
# the scores stand on.
#
# Reads: `01_port_data/`, `02_eeg_spectrograms/`, `03_assemble_inputs/`.
# Writes: `04_train_<backbone>/` with recipe, weights, learning curves and out-of-fold predictions.

# %% tags=["bootstrap"]
# `make notebooks` puts the cell of hbaclib/kaggle/bootstrap.py here, which makes hbaclib importable on Kaggle, too.
from hbaclib.platform import describe

print(describe())

# %% [markdown]
# ## Parameters

# %% tags=["parameters"]
out = ""  # output folder; empty: /kaggle/working on Kaggle, runs/interactive elsewhere
data = ""  # folder in the competition's format; empty: the Kaggle mount, else this run's synthetic set
recipe = ""  # "s1", "gold", "refined", "demo", "smoke" or a TOML file; empty: "gold" on a GPU, "demo" on a CPU
backbone = ""  # "efficientnet_b0" to "efficientnet_b4", or another image network; empty: the recipe's
batch = 0  # rows of a step in place of the recipe's, whose rates grow as its square root; 0: the recipe's
xla = ""  # what XLA compiles on a GPU: "off", "apply" (the change of the weights) or "full"; empty: the recipe's
folds = []  # folds to train, as [0, 1]; empty: all. The out-of-fold table is written when all are done
weights = None  # None: the recipe's; where they are not there, "lite" for B0 to B2, else "" (from scratch), and says so
# named ones are taken or refused: "imagenet", "noisy-student", "lite", "", a file or folder
stage = ""  # name of the output folder; empty: from the backbone
mirrored = False  # several GPUs: False trains one fit on each; True shares every batch of one fit after the other

# %%
import matplotlib.pyplot as plt
import numpy as np

from hbaclib import load_oof, plots, score_by_tier
from hbaclib.inputs.augment import augment
from hbaclib.inputs.store import kind_of
from hbaclib.suite.family import open_family
from hbaclib.suite.plans import efficientnet_plans
from hbaclib.suite.prerequisites import stage_name
from hbaclib.suite.values import check_values
from hbaclib.training.history import read_history

check_values(globals())
chosen = efficientnet_plans(recipe, backbone, weights, batch, xla)
family = open_family(chosen, out, data, stage=stage or stage_name(chosen.first.backbone), folds=folds)
plan = family.plans.first
plan

# %% [markdown]
# ## What augmentation does
#
# The same sample as stored, and as the network sees it in two draws. Every transform has its probability, so a draw
# may change nothing.

# %%
stored = family.inputs.gather(np.array([0]), kind_of("both", plan.eeg_image or family.inputs.image))
plots.plot_input(stored[0], title="as stored")
plt.show()
for draw in range(2):
    changed = augment(stored.copy(), np.random.default_rng(draw), plan.augmentation, library=plan.augment_with)
    plots.plot_input(changed[0], title=f"draw {draw + 1}: {', '.join(plan.augmentation)}")
    plt.show()

# %% [markdown]
# ## Train
#
# One fit per fold. A run that was killed continues with the epoch after the last finished one; finished folds are not
# trained again. On a GPU every fit runs in a process of its own, and one line a device tells how far it is. On Kaggle a
# few steps are measured first: folds for which the session's 12 hours leave no time are named and left out, and the
# same notebook, opened again with what this one wrote attached, trains them. The learning curves grow below.

# %%
folder = family.train(mirrored=mirrored)[plan.backbone]
family.left_out()

# %% [markdown]
# ## The network
#
# Its size. (It is built on the CPU: this notebook leaves the GPUs to the processes that train.)

# %%
family.networks([plan.backbone], drawn=[])

# %% [markdown]
# ## Learning curves
#
# The loss on the training folds and the score on the held-out fold, after every epoch.

# %%
if family.begun():
    plots.plot_learning_curves(read_history(folder))
    plt.show()

# %% [markdown]
# ## Out-of-fold scores
#
# The official score by number of votes, with 95 % intervals over patients. Scores of different tiers are on different
# scales; the test set is of tier ">=10".

# %%
if family.finished():
    oof = load_oof(folder)
    scores = score_by_tier(oof.targets, oof.predictions[0], oof.n_votes, oof.patients)
    plots.plot_confusion(oof.targets, oof.predictions[0])
    plt.show()
else:
    scores = "trained some of the folds; the out-of-fold table is written when all are done"
scores
