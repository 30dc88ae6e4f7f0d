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
# internet. A recording that cannot be read gets the class means of the expert-labelled samples, and a line in the log.
#
# Reads: `test.csv` and its files, the trained networks, `07_ensemble/`. Writes: `submission.csv`.

# %% tags=["bootstrap"]
# Makes hbaclib importable where only an attached data set of wheels holds it (Kaggle, internet off).
import os
import subprocess
import sys
from importlib import invalidate_caches
from importlib.util import find_spec
from pathlib import Path

if not (find_spec("hbaclib") and find_spec("efficientnet")):
    inputs = Path(os.environ.get("HBAC_INPUT_ROOT", "/kaggle/input"))
    found = [*sorted(inputs.glob("datasets/*/*/hbaclib-*.whl")), *sorted(inputs.glob("*/hbaclib-*.whl"))]
    if not found:
        raise ImportError(f"hbaclib is not installed and no data set with its wheel is attached below {inputs}")
    wheels = [path for path in found[0].parent.glob("*.whl") if not find_spec(path.name.split("-")[0].lower())]
    subprocess.run([sys.executable, "-m", "pip", "install", "-q", "--no-index", "--no-deps", *wheels], check=True)
    invalidate_caches()

from hbaclib.platform import describe

print(describe())

# %% [markdown]
# ## Parameters

# %% tags=["parameters"]
out = ""  # output folder; empty: /kaggle/working on Kaggle, runs/interactive elsewhere
data = ""  # folder in the competition's format; empty: the Kaggle mount, else this run's synthetic set
spectrograms = "files"  # "from_eeg": compute the ten-minute spectrograms instead of reading them
time_budget_hours = 8.0  # with less time than all members need, the last in the stated order are left out

# %%
import matplotlib.pyplot as plt

from hbaclib import CLASSES, VOTE_COLUMNS
from hbaclib.platform import output_root
from hbaclib.prediction.submission import submit_stage
from hbaclib.stages.names import SUBMIT
from hbaclib.suite.prerequisites import ensembled, model_places, source_of

out = output_root(out)
ensemble = ensembled(out, data)
source = source_of(data, out)

# %% [markdown]
# ## Predict and write

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
