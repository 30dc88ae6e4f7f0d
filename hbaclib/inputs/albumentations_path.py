"""The albumentations path of the public recipes: image by image, with the library's own transforms."""

from __future__ import annotations

import os
from collections.abc import Mapping
from functools import cache
from typing import Any

import numpy as np

NAMES = ("coarse_dropout", "horizontal_flip")
"""Augmentations that it offers."""


def augment_images(
    batch: np.ndarray, rng: np.random.Generator, settings: Mapping[str, Mapping[str, Any]]
) -> np.ndarray:
    """Augment images one by one.

    Args:
        batch: (b, frequency, time, c) float32.
        rng: gives one seed a batch: the library's generator is started anew, so no draw repeats between epochs, and a
            resumed fit draws what an uninterrupted one does.
        settings: one of NAMES -> all its options.
    """
    compose = _compose(tuple((name, tuple(options.items())) for name, options in sorted(settings.items())))
    compose.set_random_seed(int(rng.integers(2**32)))
    return np.stack([compose(image=image)["image"] for image in batch])


@cache
def _compose(settings: tuple[tuple[str, tuple[tuple[str, Any], ...]], ...]) -> Any:
    # The library asks its server for a newer release when it is imported.
    os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")
    import albumentations

    return albumentations.Compose([_transform(albumentations, name, **dict(options)) for name, options in settings])


def _transform(library: Any, name: str, *, p: float, holes: int = 0, height: int = 0, width: int = 0) -> Any:
    if name == "horizontal_flip":
        return library.HorizontalFlip(p=p)
    return library.CoarseDropout(
        num_holes_range=(holes, holes), hole_height_range=(height, height), hole_width_range=(width, width), fill=0, p=p
    )
