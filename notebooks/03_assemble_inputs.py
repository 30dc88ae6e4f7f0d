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
# # 03 Assemble the inputs
#
# A network sees 128 x 256 pixels with eight channels: four planes of the ten-minute spectrogram (its central 512 s) and
# four of the fifty-second EEG spectrogram, in one order of chains: LL, RL, LP, RP.
#
# Reads: `01_port_data/` and `02_eeg_spectrograms/`. Writes: `03_assemble_inputs/` with the first four planes; the
# reader joins both halves when a batch is asked for, so that nothing is stored twice.

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
import numpy as np
import pandas as pd

from hbaclib import plots, swap_left_right
from hbaclib.dataset.examples import class_examples
from hbaclib.inputs.store import open_inputs
from hbaclib.platform import output_root
from hbaclib.stages.images import store_kaggle_images
from hbaclib.suite.prerequisites import eeg_products, ported
from hbaclib.suite.values import check_values

check_values(globals())
out = output_root(out)
port = ported(out, data)
eeg_folder = eeg_products(out, data)

# %% [markdown]
# ## Compute and store
#
# Each window is clipped, put on a logarithmic scale and standardised by itself; missing values become 0, the mean.

# %%
folder = store_kaggle_images(port, out)
inputs = open_inputs(port, eeg_folder, folder)
print(f"{len(inputs.samples):,} samples; one batch of two: {inputs.gather(np.array([0, 1])).shape}")

# %% [markdown]
# ## Both halves for every class
#
# Upper row: ten minutes. Lower row: the fifty seconds in their middle.

# %%
for row, sample in class_examples(inputs.samples).iterrows():
    image = inputs.gather(np.array([row]))[0]
    plots.plot_input(image, title=f"{sample.label}, recording {sample.eeg_id}, {sample.n_votes} votes")
    plt.show()

# %% [markdown]
# ## What the channels hold
#
# Mean and spread per channel over (up to) 500 samples; the halves are on similar scales.

# %%
rows = np.linspace(0, len(inputs.samples) - 1, min(500, len(inputs.samples))).astype(int)
batch = inputs.gather(np.unique(rows))
pd.DataFrame(
    {"mean": batch.mean(axis=(0, 1, 2)), "standard deviation": batch.std(axis=(0, 1, 2))},
    index=plots.CHANNEL_NAMES,
).round(3)

# %% [markdown]
# ## Left and right
#
# Swapping the hemispheres exchanges the left and right chains of both halves; done twice, it gives the image back.

# %%
lateral = class_examples(inputs.samples).query("label in ['LPD', 'LRDA']")
if len(lateral):
    image = inputs.gather(lateral.index.to_numpy()[:1])[0]
    assert np.array_equal(swap_left_right(swap_left_right(image)), image)
    plots.plot_input(swap_left_right(image), title=f"{lateral.iloc[0].label} with left and right exchanged")
    plt.show()
