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
# # 09 Self-test
#
# What this machine can do, in a quarter of an hour on synthetic data: how fast five networks train and which way of
# XLA suits, whether the fused kernels are taken, what a second GPU adds, whether a fit comes out the same twice, and
# after a kill. Nothing of it needs the competition's files, and nothing needs internet. Every measurement has a process
# of its own and a time limit: one that fails or hangs costs its own row.
#
# Writes: `09_selftest/` with `selftest.json`, from which `hbac kaggle build --selftest` plans the hours, and a page. On
# a CPU it runs in small, with other networks, and says nothing about a GPU.

# %% tags=["bootstrap"]
# `make notebooks` puts the cell of hbaclib/kaggle/bootstrap.py here, which makes hbaclib importable on Kaggle, too.
from hbaclib.platform import describe

print(describe())

# %% [markdown]
# ## Parameters

# %% tags=["parameters"]
out = ""  # output folder; empty: /kaggle/working on Kaggle, runs/interactive elsewhere
minutes = 13.5  # time for all of it; what does not fit is left out, the least important first
only = []  # names of measurements, as ["speed/efficientnet_b0", "resume"]; empty: all

# %%
import matplotlib.pyplot as plt

from hbaclib.platform import output_root
from hbaclib.selftest.form import read_selftest
from hbaclib.selftest.picture import check_table, plot_speeds
from hbaclib.selftest.run import run_selftest
from hbaclib.suite.values import check_values

check_values(globals())

# %% [markdown]
# ## Measure
#
# A line for every measurement that has ended.

# %%
folder = run_selftest(output_root(out), minutes=minutes, only=only, tell=print)
found = read_selftest(folder)

# %% [markdown]
# ## How fast the networks train
#
# Images a second (windows of signals for the networks that read those) in each way of XLA.

# %%
plot_speeds(found)
plt.show()

# %% [markdown]
# ## The checks
#
# Question and answer. All of it is also on the page `09_selftest/selftest.html`, and every number in `selftest.json`
# beside it.

# %%
check_table(found).style.hide(axis="index")
