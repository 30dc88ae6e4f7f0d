"""Where the electrodes sit on a spherical head, and how a cortical patch is seen by them."""

from __future__ import annotations

from typing import Final

import numpy as np

from hbaclib.conventions import CHAINS, EEG_COLUMNS, MIRRORED_ELECTRODE, SCALP_ELECTRODES
from hbaclib.signal.montage import bipolar, electrode_index

# Inclination from the vertex and azimuth (0 = nose, positive = right), degrees, of the 10-20 system on a sphere.
_RIGHT_ANGLES: Final = {
    "Fp2": (90, 18), "F8": (90, 54), "T4": (90, 90), "T6": (90, 126), "O2": (90, 162),
    "F4": (60, 39), "C4": (45, 90), "P4": (60, 141),
}  # fmt: skip
_MIDLINE_ANGLES: Final = {"Fz": (45, 0), "Cz": (0, 0), "Pz": (45, 180)}


def on_sphere(inclination: np.ndarray, azimuth: np.ndarray) -> np.ndarray:
    """Unit vectors (n, 3), axes right, front, up, from angles in radians."""
    return np.stack(
        [np.sin(inclination) * np.sin(azimuth), np.sin(inclination) * np.cos(azimuth), np.cos(inclination)], axis=-1
    )


def _positions() -> np.ndarray:
    left = {MIRRORED_ELECTRODE[name]: (first, -second) for name, (first, second) in _RIGHT_ANGLES.items()}
    angles = _RIGHT_ANGLES | _MIDLINE_ANGLES | left
    table = np.radians(np.array([angles[name] for name in SCALP_ELECTRODES], dtype=float))
    return on_sphere(table[:, 0], table[:, 1])


POSITIONS: Final = _positions()
"""(19, 3) electrode positions on the unit sphere: right, front, up."""


BIPOLAR: Final = np.ascontiguousarray(bipolar(np.eye(len(EEG_COLUMNS)))[: len(SCALP_ELECTRODES)].T)
"""(16, 19) matrix from electrodes to the differences of the four chains, in the chains' order."""

LEFT_PAIRS: Final = np.repeat([name.startswith("L") for name in CHAINS], 4)
"""(16,) whether a difference lies over the left hemisphere."""


def near(name: str, rng: np.random.Generator, spread: float) -> np.ndarray:
    """A point (3,) on the sphere near an electrode; ``spread`` in radians."""
    point = POSITIONS[electrode_index(name)] + spread * rng.standard_normal(3)
    return point / np.linalg.norm(point)


def mirrored(point: np.ndarray) -> np.ndarray:
    """The same point over the other hemisphere."""
    return point * np.array([-1.0, 1.0, 1.0])


def field(points: np.ndarray, widths: np.ndarray | float) -> np.ndarray:
    """Potential of cortical patches at the electrodes: a Gaussian of the angle between them.

    Args:
        points: (n, 3) unit vectors.
        widths: (n,) or one number, radians.

    Returns:
        (19, n), 1 right above the patch.
    """
    angles = np.arccos(np.clip(POSITIONS @ np.atleast_2d(points).T, -1, 1))
    return np.exp(-0.5 * (angles / np.atleast_1d(widths)) ** 2)


def hemisphere_ratio(fields: np.ndarray) -> float:
    """Weak / strong hemisphere, rms over the bipolar differences of a set of independent sources (19, n)."""
    power = (BIPOLAR @ fields) ** 2
    left, right = power[LEFT_PAIRS].sum(), power[~LEFT_PAIRS].sum()
    return float(np.sqrt(min(left, right) / max(left, right, 1e-12)))
