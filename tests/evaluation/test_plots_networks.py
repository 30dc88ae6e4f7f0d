"""Pictures of networks: what stands in the boxes, and in which order."""

from __future__ import annotations

import pandas as pd

from hbaclib import build_model
from hbaclib.evaluation.plots_networks import plot_loss_against_epoch, plot_network


def test_boxes_follow_the_data_from_input_to_head():
    model = build_model("convnet_small", "stem", "eeg", downsample=[4, 1])
    figure = plot_network(model)
    texts = [text.get_text() for text in figure.axes[0].texts if text.get_text()]
    assert texts[0].startswith("downsample  32 × 256")
    assert texts[-1].startswith("head  6\n")
    assert f"{model.count_params():,} parameters" in figure.axes[0].get_title()


def test_epochs_are_whole_numbers():
    history = pd.DataFrame({"stage": 1, "epoch": [1, 2, 3], "loss": [1.0, 0.9, 0.8], "val_kl": [1.1, 1.0, 1.0]})
    figure = plot_loss_against_epoch({"one": history, "two": history})
    figure.canvas.draw()
    for axis in figure.axes:
        assert all(float(tick).is_integer() for tick in axis.get_xticks())
