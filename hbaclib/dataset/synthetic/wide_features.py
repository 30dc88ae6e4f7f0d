"""What a pattern of the wide population has besides its waves: spikes, fast activity, slowing, a silent background."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy import signal

from hbaclib.conventions import EEG_RATE
from hbaclib.dataset.synthetic.draws import log_uniform, slow_gain, slow_noise
from hbaclib.dataset.synthetic.geometry import BIPOLAR, POSITIONS, field
from hbaclib.dataset.synthetic.patterns import Pattern


class Rendered:
    """The signal of a pattern while features are added.

    Attributes:
        pattern: its parameters.
        wave: (19, n) µV.
        gain: (n,) factor on the background.
        seconds: (n,) of the recording.
        sd: median bipolar sd of the background, µV.
    """

    def __init__(self, pattern: Pattern, start: int, wave: np.ndarray, gain: np.ndarray, sd: float) -> None:
        self.pattern, self.wave, self.gain, self.sd = pattern, wave, gain, sd
        self.seconds = (start + np.arange(wave.shape[1], dtype=np.float32)) / np.float32(EEG_RATE)
        some = wave[:, ::4]
        amount = np.sqrt(np.einsum("ij,ij->i", some, some) / max(some.shape[1], 1))
        self.loudest = int(amount.argmax())
        self.height = float(amount[self.loudest])
        # One source's field: how the electrodes go with the loudest one.
        self.weights = (some @ some[self.loudest] / max(float(some[self.loudest] @ some[self.loudest]), 1e-6)).astype(
            np.float32
        )

    def add(self, series: np.ndarray, at: slice = slice(None)) -> None:
        """Add a series (n,) with the pattern's own field."""
        self.wave[:, at] += np.outer(self.weights, series.astype(np.float32))

    def peaks(self) -> tuple[np.ndarray, float]:
        """Samples of the loudest electrode's waves, and the sign of their points."""
        line = self.wave[self.loudest]
        sign = 1.0 if float((line[::4].astype(float) ** 3).mean()) >= 0 else -1.0
        least = max(2, int(0.5 * EEG_RATE / max(float(self.pattern.rate), 0.3)))
        found, _ = signal.find_peaks(np.float32(sign) * line, height=0.6 * self.height, distance=least)
        return found, sign


def _stamp(n: int, places: np.ndarray, heights: np.ndarray, shape: np.ndarray, middle: int) -> np.ndarray:
    """Series (n,) with a shape at each place."""
    series = np.zeros(n + 2 * len(shape), dtype=np.float32)
    for place, height in zip(places, heights, strict=True):
        first = place - middle + len(shape)
        series[first : first + len(shape)] += np.float32(height) * shape
    return series[len(shape) : len(shape) + n]


def _spike(sigma: float, after: float) -> tuple[np.ndarray, int]:
    """A spike of unit height and its small after-going phase; the shape and its peak's sample."""
    time = np.arange(-24, 48) / EEG_RATE
    shape = np.exp(-0.5 * (time / sigma) ** 2) - after * np.exp(-0.5 * ((time - 2.5 * sigma) / (1.4 * sigma)) ** 2)
    return shape.astype(np.float32), 24


def _ride(made: Rendered, rng: np.random.Generator, height: tuple[float, float], share: float, shift: float) -> None:
    """Spikes on the waves, ``shift`` seconds before their peaks."""
    places, sign = made.peaks()
    places = places[rng.random(len(places)) < share] - int(shift * EEG_RATE)
    places = places[(places >= 0) & (places < made.wave.shape[1])]
    shape, middle = _spike(rng.uniform(0.012, 0.03), rng.uniform(0.2, 0.6))
    heights = (
        sign
        * rng.choice([-1, 1])
        * made.height
        * rng.uniform(*height)
        * np.exp(0.15 * rng.standard_normal(len(places)))
    )
    made.add(_stamp(made.wave.shape[1], places, heights, shape, middle))


def spikes(made: Rendered, rng: np.random.Generator) -> None:
    """A spike before each slow wave, as high as the wave or higher."""
    _ride(made, rng, (1.2, 4.0), 1.0, rng.uniform(0.06, 0.12))


def sharp_contours(made: Rendered, rng: np.random.Generator) -> None:
    """Sharp points on two thirds of the waves."""
    _ride(made, rng, (0.5, 1.6), rng.uniform(0.5, 0.95), rng.uniform(-0.05, 0.08))


def polyspikes_after_some(made: Rendered, rng: np.random.Generator) -> None:
    """Three to five spikes at 7-13 Hz after a third to two thirds of the discharges."""
    places, sign = made.peaks()
    places = places[rng.random(len(places)) < rng.uniform(0.3, 0.7)]
    shape, middle = _spike(rng.uniform(0.014, 0.03), 0.6)
    step, first = EEG_RATE / rng.uniform(7, 13), rng.uniform(0.1, 0.25) * EEG_RATE
    numbers = np.arange(int(rng.integers(2, 5)))
    all_places = (
        places[:, None] + first + step * numbers + 2 * rng.standard_normal((len(places), len(numbers)))
    ).ravel()
    heights = -sign * made.height * rng.uniform(0.4, 1.5) * np.exp(0.3 * rng.standard_normal(all_places.size))
    inside = all_places < made.wave.shape[1]
    made.add(_stamp(made.wave.shape[1], all_places[inside].astype(int), heights[inside], shape, middle))


def _band(rng: np.random.Generator, n: int, low: float, high: float) -> np.ndarray:
    """Noise (n,) of a band, unit variance."""
    noise = signal.lfilter(*signal.butter(2, [low, high], "band", fs=EEG_RATE), rng.standard_normal(n))
    return (noise / max(float(noise.std()), 1e-6)).astype(np.float32)


def fast(made: Rendered, rng: np.random.Generator) -> None:
    """Fast activity that rides on the waves, strongest where they are high."""
    line = np.abs(made.wave[made.loudest])
    middle = rng.uniform(13, 22)
    band = _band(rng, len(line), middle - 2.5, middle + 2.5)
    made.add(band * line * np.float32(rng.uniform(0.1, 0.4)))


def slowing(made: Rendered, rng: np.random.Generator) -> None:
    """Arrhythmic delta about the pattern's sources, each side for itself."""
    n = made.wave.shape[1]
    tops = np.argsort(-np.abs(made.weights))[:6]
    points = POSITIONS[rng.choice(tops, 2, replace=False)] * np.array([[1, 1, 1], [rng.choice([-1, 1]), 1, 1]])
    weights = field(points, rng.uniform(0.4, 0.8, 2)).astype(np.float32)
    waves = slow_noise(rng, 2, n, rng.uniform(0.12, 0.35)) * slow_gain(rng, 2, n, 3, 0.3)
    made.wave += weights @ (np.float32(made.height * rng.uniform(0.25, 0.7)) * waves)


def arches(made: Rendered, rng: np.random.Generator) -> None:
    """Points one way, arcs the other: a share of the squared wave is added, to high waves as to low ones."""
    loud = np.flatnonzero(np.abs(made.weights) > 0.15)
    wave = made.wave[loud]
    height = np.maximum(np.abs(made.weights[loud]) * made.height, 1e-3)[:, None].astype(np.float32)
    wave += np.float32(rng.choice([-1, 1]) * rng.uniform(0.3, 0.8)) * wave**2 / (0.5 * height + np.abs(wave))
    made.wave[loud] = wave


def fast_onset(made: Rendered, rng: np.random.Generator) -> None:
    """Low-voltage fast activity of 13-28 Hz for 3-7 s from the onset over silence; then the rhythm rises."""
    since = made.seconds - np.float32(made.pattern.start)
    length = rng.uniform(3, 7)
    made.wave *= np.clip((since - 0.5 * length) / length, 0.03, 1)
    there = np.clip(since + 0.5, 0, 1) * np.clip(1.5 - since / length, 0, 1)
    middle = rng.uniform(15, 26)
    # By the pattern's field at full height, whose amplitude the onset keeps a tenth to a third of.
    made.add(
        _band(rng, len(since), middle - 2.5, middle + 2.5) * there * np.float32(made.height * rng.uniform(0.1, 0.3))
    )
    made.gain = made.gain * (1 - np.float32(rng.uniform(0.3, 0.8)) * np.clip(there, 0, 1))


def abrupt_onset(made: Rendered, rng: np.random.Generator) -> None:
    """Full amplitude within a third of a second, where patterns otherwise swell for two."""
    # Halfway up its soft edge a pattern begins; it is whole 1.25 s later.
    made.wave *= np.clip((made.seconds - np.float32(made.pattern.start) - 1.0) / rng.uniform(0.15, 0.5), 0, 1)


def ictal_muscle(made: Rendered, rng: np.random.Generator) -> None:
    """Muscle that grows with the seizure, over temples and forehead, tonic or in clonic jerks."""
    outer = np.argsort(POSITIONS[:, 2])[: int(rng.integers(5, 9))]
    n = made.wave.shape[1]
    noise = rng.standard_normal((len(outer), n), dtype=np.float32)
    noise[:, 1:] -= noise[:, :-1]
    there = np.clip((made.seconds - made.pattern.start - rng.uniform(0, 6)) / 4, 0, 1)
    there *= np.clip((made.pattern.end - made.seconds) / 1.5, 0, 1)
    if rng.random() < 0.5:
        there *= np.clip(np.sin(2 * np.pi * rng.uniform(1.5, 4) * made.seconds), 0, 1)
    weights = np.exp(0.5 * rng.standard_normal((len(outer), 1))).astype(np.float32)
    made.wave[outer] += weights * noise * (there * np.float32(log_uniform(rng, 3, 30)))


def after_the_seizure(made: Rendered, rng: np.random.Generator) -> None:
    """After the end the background falls to .1-.5 and comes back over a minute, slow waves in the seizure's field."""
    since = made.seconds - np.float32(made.pattern.end)
    after = np.clip(since / 1.5, 0, 1) * np.exp(-np.clip(since, 0, None) / np.float32(rng.uniform(20, 60)))
    made.gain = made.gain * (1 - np.float32(rng.uniform(0.5, 0.9)) * after)
    slow = slow_noise(rng, 1, len(since), rng.uniform(0.2, 0.45))[0] * after
    made.add(
        slow * np.float32(rng.uniform(0.2, 1.2) * made.sd / max(float(np.abs(BIPOLAR @ made.weights).max()), 0.05))
    )


FEATURES: dict[str, Callable[[Rendered, np.random.Generator], None]] = {
    "arches": arches,
    "spikes": spikes,
    "sharp contours": sharp_contours,
    "polyspikes after some": polyspikes_after_some,
    "fast": fast,
    "slowing": slowing,
    "fast onset": fast_onset,
    "abrupt onset": abrupt_onset,
    "ictal muscle": ictal_muscle,
    "after the seizure": after_the_seizure,
}
"""Name -> how it is added; in this order."""
