"""Figures: recordings, network inputs, learning, scores, networks. Every axis has its unit.

Every function makes and returns one matplotlib figure; a notebook shows it with ``plt.show()``, the report closes it.
"""

from hbaclib.plots.networks import plot_learning_rates, plot_loss_against_epoch, plot_network, plot_raw_signals
from hbaclib.plots.recordings import CHANNEL_NAMES, plot_class_example, plot_input, plot_montage, show_augmentations
from hbaclib.plots.scores import (
    CLASS_COLOURS,
    live_learning_curves,
    plot_confusion,
    plot_folds,
    plot_learning_curves,
    plot_reliability,
    plot_scores,
    plot_votes,
    plot_weights,
)
