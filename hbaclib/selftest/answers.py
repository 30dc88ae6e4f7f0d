"""What the numbers of a check say, in one sentence; of a GPU nothing is said where there is none."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from hbaclib.errors import list_some

Answer = tuple[bool | None, str, dict[str, Any]]
"""Whether it is the answer hoped for, the sentence, further values."""
_CLOSE = 0.05
"""Greatest difference between the losses of two precisions, of the loss itself, that counts as alike."""


def answer(name: str, values: Mapping[str, Any], *, on_gpu: bool, alone: float | None = None) -> Answer:
    """Answer a check.

    Args:
        name: of the check.
        values: what was measured.
        on_gpu: whether it was measured on a GPU.
        alone: images per second of one process alone, where that is known.
    """
    if name == "devices":
        seen = values["gpus"]
        if not on_gpu:
            return None, "no GPU: everything here was measured on a CPU, in small, and says nothing about a GPU", {}
        cuda = f"CUDA {values['cuda']}, cuDNN {values['cudnn']}, precision {values['precision']}"
        return bool(seen), f"{'; '.join(seen) or 'no GPU, though the driver lists some'}; {cuda}", {}
    if name == "kernels":
        return _kernels(values, on_gpu)
    if name == "two_processes":
        return _two_processes(values, on_gpu, alone)
    if name == "equal":
        pairs = list(zip(values["networks"], values["equal"], strict=True))
        differ = [network for network, same in pairs if not same]
        words = f"not equal: {list_some(differ)}" if differ else f"equal: {list_some(values['networks'])}"
        return not differ, words, {}
    if name == "precision":
        return _precision(values, on_gpu)
    good = bool(values["equal"])
    words = "the same weights" if good else "other weights"
    return good, f"killed behind epoch {values['epochs_before']}, resumed, {words}", {}


def _kernels(values: Mapping[str, Any], on_gpu: bool) -> Answer:
    fused, layers = values["fused_norms"], values["norm_layers"]
    said = f"batch norm: {fused} of {layers} layers"
    if not on_gpu:
        return None if fused >= layers else False, f"{said}; the recurrent kernel is a GPU's, and none is here", {}
    recurrent = values["fused_recurrent"]
    # Forward in both directions is two; the graph has the gradient's beside them.
    return fused >= layers and recurrent > 0, f"{said}; recurrent: {'fused' if recurrent else 'not fused'}", {}


def _two_processes(values: Mapping[str, Any], on_gpu: bool, alone: float | None) -> Answer:
    rates, used = values["images_per_second"], sorted(set(values["devices"]))
    total = f"{sum(rates):.0f} images/s together"
    if not on_gpu:
        return None, f"{len(rates)} processes on one CPU, {total}: no measure of two GPUs", {}
    where = f"on {'GPUs' if len(used) > 1 else 'GPU'} {list_some(used)}"
    if not alone:
        return len(used) == 2, f"{total}, {where}; one alone was not measured", {}
    speed_up = round(sum(rates) / alone, 2)
    words = f"{speed_up:.2f} times one process alone ({total}, {where})"
    return len(used) == 2 and speed_up > 1.5, words, {"speed_up": speed_up}


def _precision(values: Mapping[str, Any], on_gpu: bool) -> Answer:
    losses = {name: np.array(values[name]) for name in ("float32", "mixed_float16")}
    if not all(np.isfinite(each).all() for each in losses.values()):
        return False, "a loss is not a number", {}
    apart = float(np.max(np.abs(losses["mixed_float16"] - losses["float32"]) / losses["float32"]))
    where = "" if on_gpu else " (on a CPU, which computes float16 in its own way)"
    words = f"at most {apart:.1%} apart; last {losses['float32'][-1]:.3f} and {losses['mixed_float16'][-1]:.3f}{where}"
    # Few steps of a small network: an overflow's skipped step alone puts them further apart.
    return (apart < _CLOSE if on_gpu else None), words, {"apart": round(apart, 5)}
