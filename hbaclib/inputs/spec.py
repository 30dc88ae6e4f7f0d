"""What a network sees, as the input pipeline needs to know it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol


class InputSpec(Protocol):
    """The inputs of a network: which stored arrays, how they are filtered and cropped, changed and laid out.

    A `hbaclib.training.recipe.Recipe` is one; its docstring tells what the values mean.
    """

    @property
    def layout(self) -> str:
        """How the planes are laid out."""

    @property
    def inputs(self) -> str:
        """Which data the network sees."""

    @property
    def reads_signals(self) -> bool:
        """Whether it reads the raw signals, alone or beside an image."""

    @property
    def signal_rate(self) -> float:
        """Rate of the raw signals that are read, Hz."""

    @property
    def band(self) -> tuple[float, ...]:
        """(low, high) of a filter on the raw signals, Hz; empty for none."""

    @property
    def low_pass(self) -> float:
        """Edge of the low-pass on the signals at 200 Hz where there is no band, Hz."""

    @property
    def filter_order(self) -> int:
        """Order of these filters."""

    @property
    def crop_seconds(self) -> float:
        """Length of a stretch of the signals at 200 Hz, s; 0 takes the whole window at 40 Hz."""

    @property
    def augmentation(self) -> Mapping[str, Mapping[str, Any]]:
        """Name -> options."""

    @property
    def augment_with(self) -> str:
        """What augments: ``batched`` or ``albumentations``."""

    @property
    def batch(self) -> int:
        """Rows of one batch."""

    @property
    def tta(self) -> tuple[str, ...]:
        """Views that are averaged with the plain one in prediction."""
