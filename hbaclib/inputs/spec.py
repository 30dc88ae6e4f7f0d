"""What a network sees, as the input pipeline needs to know it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from hbaclib.conventions import EEG_RATE
from hbaclib.inputs.signals import LOW_PASS, NARROW_RATE
from hbaclib.signal.raw import FILTER_ORDER


@dataclass(frozen=True, kw_only=True)
class InputSpec:
    """The inputs of a network: which stored arrays, how they are filtered and cropped, changed and laid out.

    The part of a `hbaclib.training.recipe.Recipe` that does not depend on the network; its docstring tells what the
    values mean.
    """

    layout: Literal["stem", "tiled", "starter", "raw"] = "stem"
    inputs: Literal["both", "kaggle", "eeg", "raw"] = "both"
    image: Literal["pair", "absolute"] = "pair"
    batch: int = 32
    augmentation: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    augment_with: Literal["batched", "albumentations"] = "batched"
    band: tuple[float, ...] = ()
    low_pass: float = LOW_PASS
    filter_order: int = FILTER_ORDER
    crop_seconds: float = 0.0
    tta: tuple[Literal["left_right_swap", "time_flip"], ...] = ()

    @property
    def reads_signals(self) -> bool:
        """Whether the network reads the raw signals, alone or beside an image."""
        return self.inputs == "raw"

    @property
    def eeg_image(self) -> str:
        """Which stored image of the EEG the network sees; empty where it sees none (the ten minutes, or signals)."""
        return self.image if self.inputs in ("both", "eeg") else ""

    @property
    def signal_rate(self) -> float:
        """Rate of the raw signals that are read, Hz: 200 where they are cropped, else 40."""
        return EEG_RATE if self.crop_seconds else NARROW_RATE
