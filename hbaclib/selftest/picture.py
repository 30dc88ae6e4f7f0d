"""A self-test's speeds, drawn, and its checks as a table."""

from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from hbaclib.plots.style import plain, titled
from hbaclib.selftest.form import SelfTest
from hbaclib.training.recipe import XLA


def plot_speeds(found: SelfTest) -> Figure:
    """Bars of images per second, by network and way of XLA.

    Args:
        found: what was measured; a row without a number has no bar.
    """
    networks = list(dict.fromkeys(row.network for row in found.speeds))
    figure, axes = plt.subplots(figsize=(8, 1 + 0.7 * max(len(networks), 1)), layout="constrained")
    places, height = np.arange(len(networks)), 0.8 / len(XLA)
    for number, way in enumerate(XLA):
        rates = {row.network: row.images_per_second for row in found.speeds if row.xla == way}
        known = [place for place, name in enumerate(networks) if rates.get(name)]
        if known:
            bars = axes.barh(
                [places[place] + (number - 1) * height for place in known],
                [rates[networks[place]] or 0.0 for place in known],
                height,
                label=f"XLA {way}",
            )
            axes.bar_label(bars, fmt="{:.0f}" if found.device == "gpu" else "{:.1f}", padding=3, fontsize=8)
            axes.legend(frameon=False)
    where = ", ".join(found.machine.gpus) or "a CPU: small networks, no measure of a GPU"
    axes.set(yticks=places, yticklabels=networks, xlabel="images (windows of signals) per second")
    axes.invert_yaxis()
    axes.margins(x=0.12)
    plain(axes)
    return titled(figure, where)


def check_table(found: SelfTest) -> pd.DataFrame:
    """Question and answer of every check, or why there is none."""
    rows = [(row.about, row.says if row.state == "measured" else f"{row.state}: {row.reason}") for row in found.checks]
    return pd.DataFrame(rows, columns=["question", "answer"])
