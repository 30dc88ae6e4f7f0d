"""What all figures share: colours, plain axes, titles."""

from __future__ import annotations

from matplotlib.axes import Axes
from matplotlib.figure import Figure

INK, MUTED, ACCENT = "#1F2933", "#8A94A0", "#0072B2"


def plain(axis: Axes, left: bool = True) -> None:
    """Take away the lines of an axis that say nothing."""
    axis.spines[["top", "right"]].set_visible(False)
    axis.spines[["left", "bottom"]].set_color(MUTED)
    if not left:
        axis.spines["left"].set_visible(False)
        axis.tick_params(axis="y", length=0)


def titled(figure: Figure, title: str | None) -> Figure:
    """The figure with its title, if it has one."""
    if title:
        figure.suptitle(title, fontsize=11)
    return figure
