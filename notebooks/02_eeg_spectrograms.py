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
# # 02 EEG spectrograms
#
# Each fifty-second EEG becomes a picture of 128 frequencies x 256 times for each of the four chains of electrodes
# (mel spectrograms), and eight bipolar signals for the raw-EEG networks. Each file is read once for both.
#
# Two pictures can be stored. `pair` is the field's: decibels relative to each pair's own loudest moment. `absolute` has
# one scale for all pairs, so that it shows which side is louder; recipes say which one their network sees. A suite
# stores those that its recipes see; a notebook that finds no stage 02 stores the one that it needs.
#
# Reads: `01_port_data/` and the EEG files. Writes: `02_eeg_spectrograms/`.

# %% tags=["bootstrap"]
# `make notebooks` puts the cell of hbaclib/kaggle/bootstrap.py here, which makes hbaclib importable on Kaggle, too.
from hbaclib.platform import describe

print(describe())

# %% [markdown]
# ## Parameters

# %% tags=["parameters"]
out = ""  # output folder; empty: /kaggle/working on Kaggle, runs/interactive elsewhere
data = ""  # folder in the competition's format; empty: the Kaggle mount, else this run's synthetic set
images = ["pair", "absolute"]  # which images of the EEG are stored: recipes name the one they see

# %%
import importlib.util
import time

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from hbaclib import eeg_spectrogram, kaggle_spectrogram, plots
from hbaclib.conventions import REGIONS, SPECTROGRAM_FREQUENCIES
from hbaclib.dataset.competition import open_competition
from hbaclib.dataset.examples import class_examples, read_sample
from hbaclib.platform import output_root
from hbaclib.recordings.parquet import read_eeg
from hbaclib.signal.raw import raw_signals
from hbaclib.stages.eeg_products import store_eeg_products
from hbaclib.suite.prerequisites import ported, source_of
from hbaclib.suite.values import check_values

check_values(globals())
out = output_root(out)
port = ported(out, data)
source = source_of(data, out)
samples = pd.read_parquet(port / "samples.parquet")
competition = open_competition(source)

# %% [markdown]
# ## Compute and store
#
# Recordings are handled in parallel and written block by block; a run that was killed continues with the next block.

# %%
folder = store_eeg_products(source, port, out, images=images)
for file in sorted(folder.glob("*.npy")):
    array = np.load(file, mmap_mode="r")
    print(f"{folder.name}: {file.stem} {array.shape} {array.dtype}, {array.nbytes / 1e6:,.0f} MB")

# %% [markdown]
# ## Every class, as signal and as picture
#
# Left: the middle ten seconds in longitudinal bipolar montage. Right: the spectrograms of the whole fifty seconds, one
# plane per chain.

# %%
examples = class_examples(samples)
for sample in examples.itertuples():
    eeg, _ = read_sample(competition, sample)
    plots.plot_class_example(eeg, eeg_spectrogram(eeg), title=f"{sample.label}, recording {sample.eeg_id}")
    plt.show()

# %% [markdown]
# ## Against librosa
#
# The same numbers as the sixteen librosa calls of the public notebooks, an order of magnitude sooner. (Where librosa is
# not installed, the comparison is left out.)

# %%
eeg, rows = read_sample(competition, next(examples.itertuples()))
ours = eeg_spectrogram(eeg, flat="public")
if importlib.util.find_spec("librosa"):
    from hbaclib.signal.reference import librosa_spectrogram

    theirs = librosa_spectrogram(eeg)
    figure, axes = plt.subplots(1, 3, figsize=(12, 3), layout="constrained", sharey=True)
    for axis, (name, image) in zip(axes, {"hbaclib": ours[..., 0], "librosa": theirs[..., 0]}.items(), strict=False):
        shown = axis.imshow(image, origin="lower", aspect="auto", extent=(0, 50, 0, 20), vmin=-1, vmax=1)
        axis.set(title=f"{name}, chain {REGIONS[0]}", xlabel="time (s)")
    figure.colorbar(shown, ax=axes[1], label="scaled dB")
    shown = axes[2].imshow(
        np.abs(ours - theirs)[..., 0], origin="lower", aspect="auto", extent=(0, 50, 0, 20), cmap="magma"
    )
    axes[2].set(title=f"difference, at most {np.abs(ours - theirs).max():.1e}", xlabel="time (s)")
    axes[0].set_ylabel("frequency (Hz, mel scale)")
    figure.colorbar(shown, ax=axes[2], label="absolute difference")
    plt.show()
else:
    print("librosa is not installed here")

# %% [markdown]
# ## The ten-minute spectrogram from the EEG
#
# The competition gives a ten-minute spectrogram beside each EEG. The same picture can be computed from the EEG itself:
# here the part that the fifty seconds cover, beside the file's.

# %%
if rows is None:
    print("this data set has no spectrogram files: all of them are computed from the EEG")
else:
    computed, stored = kaggle_spectrogram(eeg, first_centre=2.0), rows[138:162]
    figure, axes = plt.subplots(1, 2, figsize=(10, 3.2), layout="constrained", sharey=True)
    extent = (276, 324, SPECTROGRAM_FREQUENCIES[0], SPECTROGRAM_FREQUENCIES[-1])
    for axis, name, power in zip(axes, ("file", "computed from the EEG"), (stored, computed), strict=True):
        log_power = 10 * np.log10(np.maximum(power[: len(stored), :100].T, 1e-2))
        shown = axis.imshow(log_power, origin="lower", aspect="auto", extent=extent, vmin=-10, vmax=40)
        axis.set(title=f"{name}, chain {REGIONS[0]}", xlabel="time in the ten minutes (s)")
    axes[0].set_ylabel("frequency (Hz)")
    figure.colorbar(shown, ax=axes, label="power density (dB re 1 µV²/Hz)")
    plt.show()
    inner = slice(3, 21)
    difference = np.abs(computed[inner] - stored[inner]) / np.maximum(stored[inner], 1)
    print(f"median relative difference away from the ends: {np.nanmedian(difference):.2%}")

# %% [markdown]
# ## What it costs
#
# Seconds per 1,000 recordings on one core, measured now on a few of this set's recordings.

# %%
paths = [competition.eeg_path(int(name), "train") for name in samples["eeg_id"].unique()[:20]]
windows = [read_eeg(path)[:10_000] for path in paths]


def seconds_per_thousand(work, items):
    """Time one pass over the items."""
    work(items[0])
    begin = time.perf_counter()
    for item in items:
        work(item)
    return 1000 * (time.perf_counter() - begin) / len(items)


costs = {
    "read the Parquet file": seconds_per_thousand(read_eeg, paths),
    "mel spectrogram, 4 chains": seconds_per_thousand(eeg_spectrogram, windows),
    "eight raw signals": seconds_per_thousand(raw_signals, windows),
    "ten-minute spectrogram (of 50 s)": seconds_per_thousand(lambda eeg: kaggle_spectrogram(eeg), windows),
}
if importlib.util.find_spec("librosa"):
    costs["mel spectrogram by 16 librosa calls"] = seconds_per_thousand(librosa_spectrogram, windows[:5])
pd.Series(costs, name="seconds per 1,000 recordings").to_frame().round(1)
