"""Artefacts that resemble patterns: whoever looks at rhythm alone takes them for one. Labels stay what the brain does.

Each adds one artefact about a second of a recording (19, n), µV, in place; ``sd`` is the median bipolar sd of the
background.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy import signal

from hbaclib.conventions import EEG_RATE
from hbaclib.dataset.synthetic.artefact_noise import N_SCALP, around
from hbaclib.dataset.synthetic.draws import log_uniform, slow_gain, slow_noise
from hbaclib.dataset.synthetic.geometry import POSITIONS, field
from hbaclib.signal.montage import electrode_index


class _Stretch:
    """The part of a recording that holds an artefact: its samples, times and soft edges."""

    def __init__(self, eeg: np.ndarray, centre: float, rng: np.random.Generator) -> None:
        start, stop, self.edge = around(eeg, centre, rng)
        self.eeg = eeg[:, start:stop]
        self.n = stop - start
        self.time = np.arange(self.n, dtype=np.float32) / np.float32(EEG_RATE)
        self.start = start

    def phase(self, rate: float, wander: float, rng: np.random.Generator) -> np.ndarray:
        """Phase (n,) of a rhythm whose rate wanders."""
        return 2 * np.pi * rate * self.time + wander * slow_noise(rng, 1, self.n, 2.5 / rate)[0]

    def add(self, weights: np.ndarray, series: np.ndarray) -> None:
        """Add a series (n,) to the electrodes with weights (19,)."""
        inside = np.flatnonzero(np.abs(weights) > 0.02)
        self.eeg[inside] += np.outer(weights[inside], series * self.edge).astype(np.float32)


def _at(*names: str, width: float = 0.35) -> np.ndarray:
    """Weights (19,) about electrodes."""
    points = POSITIONS[[electrode_index(name) for name in names]]
    weights = field(points, width).sum(axis=1)
    return weights / weights.max()


def _some(rng: np.random.Generator) -> str:
    return str(rng.choice(["F7", "F8", "T3", "T4", "T5", "T6", "O1", "O2", "Fp1", "Fp2", "P3", "P4"]))


def _muscle(rng: np.random.Generator, n: int, rows: int) -> np.ndarray:
    """Noise (rows, n) above 20 Hz."""
    noise = rng.standard_normal((rows, n), dtype=np.float32)
    noise[:, 1:] -= noise[:, :-1]
    return noise


def chewing(eeg: np.ndarray, centre: float, sd: float, rng: np.random.Generator) -> None:
    """Chewing: muscle of both temples in bursts of .8-2 Hz, a slow wave of the tongue with each."""
    part = _Stretch(eeg, centre, rng)
    phase = part.phase(rng.uniform(0.8, 2), 0.5, rng)
    gate = np.clip(np.sin(phase), 0, 1) ** 2 * part.edge
    outer = np.argsort(POSITIONS[:, 2])[:8]
    weights = np.exp(0.4 * rng.standard_normal((len(outer), 1))).astype(np.float32) * np.float32(
        sd * rng.uniform(0.7, 3)
    )
    part.eeg[outer] += weights * _muscle(rng, part.n, len(outer)) * gate.astype(np.float32)
    part.add(_at("Fp1", "Fp2", width=0.6), sd * rng.uniform(0.3, 2) * np.sin(phase + 0.5))


def patting(eeg: np.ndarray, centre: float, sd: float, rng: np.random.Generator) -> None:
    """Patting of a back, chest percussion: rhythm of 1-4 Hz at the back of the head, in runs with sudden ends."""
    part = _Stretch(eeg, centre, rng)
    phase = part.phase(rng.uniform(1, 4), 0.3, rng)
    wave = np.sin(phase) + rng.uniform(0.2, 0.6) * np.sin(2 * phase + rng.uniform(0, 6))
    run = (slow_noise(rng, 1, part.n, 6)[0] > -0.8).astype(np.float32)
    weights = _at("O1", "O2", "Pz", width=0.5) * np.exp(0.4 * rng.standard_normal(N_SCALP))
    part.add(weights, sd * log_uniform(rng, 1, 5) * wave * run)


def pulse(eeg: np.ndarray, centre: float, sd: float, rng: np.random.Generator) -> None:
    """Pulse: an artery under one electrode; smooth waves of .9-1.9 Hz there and nowhere else."""
    part = _Stretch(eeg, centre, rng)
    phase = part.phase(rng.uniform(0.9, 1.9), 0.3, rng)
    weights = np.zeros(N_SCALP)
    weights[rng.integers(N_SCALP)] = 1
    part.add(weights, sd * log_uniform(rng, 1, 5) * np.exp(1.5 * np.cos(phase)) / 2)


def ballistocardiogram(eeg: np.ndarray, centre: float, sd: float, rng: np.random.Generator) -> None:
    """The head that rocks with every heart beat: waves of .9-1.9 Hz, of opposite sign at opposite ends."""
    part = _Stretch(eeg, centre, rng)
    phase = part.phase(rng.uniform(0.9, 1.9), 0.3, rng)
    direction = rng.standard_normal(3)
    weights = POSITIONS @ (direction / np.linalg.norm(direction))
    part.add(weights, sd * log_uniform(rng, 1, 4) * (np.sin(phase) + 0.5 * np.sin(2 * phase + 1)))


def ventilator(eeg: np.ndarray, centre: float, sd: float, rng: np.random.Generator) -> None:
    """Ventilator or CPAP: a slow wave of .2-.45 Hz with each breath, and water in the tube that quivers at 3-9 Hz."""
    part = _Stretch(eeg, centre, rng)
    phase = part.phase(rng.uniform(0.2, 0.45), 0.15, rng)
    weights = _at(_some(rng), width=0.5) + 0.3 * rng.standard_normal(N_SCALP)
    part.add(weights, sd * log_uniform(rng, 0.7, 4) * np.sin(phase))
    if rng.random() < 0.6:
        quiver = np.sin(2 * np.pi * rng.uniform(3, 9) * part.time) * np.clip(np.cos(phase), 0, 1) ** 2
        part.add(weights, sd * rng.uniform(0.5, 2) * quiver)


def tremor(eeg: np.ndarray, centre: float, sd: float, rng: np.random.Generator) -> None:
    """Tremor of 4-6.5 Hz that shakes the head or a cable: theta which never evolves, in a few electrodes."""
    part = _Stretch(eeg, centre, rng)
    phase = part.phase(rng.uniform(4, 6.5), 0.8, rng)
    level = slow_gain(rng, 1, part.n, 3, 0.4)[0]
    weights = _at("O1", "O2", width=0.5) if rng.random() < 0.6 else _at(_some(rng), width=0.3)
    part.add(weights, sd * log_uniform(rng, 0.8, 4) * level * (np.sin(phase) + 0.4 * np.sin(2 * phase + 0.7)))


def hiccups(eeg: np.ndarray, centre: float, sd: float, rng: np.random.Generator) -> None:
    """Hiccups, every two to four seconds, nearly regular: a jerk of all electrodes with a burst of muscle."""
    part = _Stretch(eeg, centre, rng)
    series, muscle = np.zeros(part.n, dtype=np.float32), np.zeros(part.n, dtype=np.float32)
    time = (np.arange(120) - 20) / EEG_RATE
    jerk = np.exp(-0.5 * (time / 0.04) ** 2) - 0.7 * np.exp(-0.5 * ((time - 0.18) / 0.09) ** 2)
    at, pause = rng.uniform(0, 3), rng.uniform(1.8, 4)
    while (place := int(at * EEG_RATE)) + len(time) < part.n:
        series[place : place + len(time)] += np.exp(0.2 * rng.standard_normal()) * jerk
        muscle[place : place + 50] = np.hanning(50)
        at += pause * np.exp(0.12 * rng.standard_normal())
    part.add(0.4 + 0.6 * rng.random(N_SCALP) + 0.4 * POSITIONS[:, 1], sd * log_uniform(rng, 1.5, 6) * series)
    outer = np.argsort(POSITIONS[:, 2])[:6]
    part.eeg[outer] += np.float32(sd * rng.uniform(0.3, 2)) * _muscle(rng, part.n, 6) * muscle


def sweat(eeg: np.ndarray, centre: float, sd: float, rng: np.random.Generator) -> None:
    """Sweat: sway of .3-.8 Hz, some electrodes each for itself, mostly in front and at the temples."""
    part = _Stretch(eeg, centre, rng)
    for _ in range(int(rng.integers(2, 5))):
        phase = part.phase(rng.uniform(0.3, 0.8), 1.2, rng)
        part.add(_at(_some(rng), width=0.25), sd * log_uniform(rng, 1, 6) * np.sin(phase))


def pops(eeg: np.ndarray, centre: float, sd: float, rng: np.random.Generator) -> None:
    """A bad contact that pops every .6-2.5 s: steep discharges with a tail, in one electrode alone."""
    part = _Stretch(eeg, centre, rng)
    impulses = np.zeros(part.n, dtype=np.float32)
    at, pause = 0.0, rng.uniform(0.6, 2.5)
    spread = rng.uniform(0.1, 0.5)
    while at * EEG_RATE < part.n:
        impulses[int(at * EEG_RATE)] = rng.choice([1, 1, 1, -1]) * np.exp(0.4 * rng.standard_normal())
        at += pause * np.exp(spread * rng.standard_normal())
    decay = np.exp(-1 / (EEG_RATE * rng.uniform(0.05, 0.4)))
    weights = np.zeros(N_SCALP)
    weights[rng.integers(N_SCALP)] = 1
    part.add(weights, sd * log_uniform(rng, 3, 15) * signal.lfilter([1.0], [1.0, -decay], impulses))


def eye_flutter(eeg: np.ndarray, centre: float, sd: float, rng: np.random.Generator) -> None:
    """Eyelids that flutter at 1.5-4 Hz, in runs: bifrontal rhythm like frontal delta, but gone behind F3 and F4."""
    part = _Stretch(eeg, centre, rng)
    phase = part.phase(rng.uniform(1.5, 4), 0.8, rng)
    run = np.clip(slow_noise(rng, 1, part.n, 4)[0] + rng.uniform(0, 1), 0, 1)
    weights = field(np.array([[0.0, 0.95, -0.3]]), rng.uniform(0.35, 0.5))[:, 0]
    part.add(weights / weights.max(), sd * log_uniform(rng, 1.5, 6) * run * (np.sin(phase) + 0.3 * np.sin(2 * phase)))


def nystagmus(eeg: np.ndarray, centre: float, sd: float, rng: np.random.Generator) -> None:
    """Nystagmus: saw-teeth of .8-3.5 Hz, opposite over F7 and F8, fast one way and slow the other."""
    part = _Stretch(eeg, centre, rng)
    phase = part.phase(rng.uniform(0.8, 3.5), 0.6, rng)
    saw = signal.sawtooth(phase, rng.choice([0.12, 0.88]))
    weights = _at("F7", width=0.35) - _at("F8", width=0.35)
    part.add(weights, sd * log_uniform(rng, 0.8, 3) * saw * np.clip(slow_noise(rng, 1, part.n, 5)[0] + 1, 0, 1))


def tongue(eeg: np.ndarray, centre: float, sd: float, rng: np.random.Generator) -> None:
    """Glossokinetic waves of a moving tongue: .8-2.5 Hz, on both sides, in front and low at the temples."""
    part = _Stretch(eeg, centre, rng)
    phase = part.phase(rng.uniform(0.8, 2.5), 1.5, rng)
    level = slow_gain(rng, 1, part.n, 2, 0.5)[0]
    weights = np.exp(-2.0 * np.clip(POSITIONS[:, 2], 0, 1)) * (0.6 + 0.4 * POSITIONS[:, 1])
    part.add(weights, sd * log_uniform(rng, 1.5, 6) * level * np.sin(phase))


def heart_beats(eeg: np.ndarray, ekg: np.ndarray, sd: float, rng: np.random.Generator) -> None:
    """The heart, far louder than usual: sharp waves at .8-2.5 Hz over one side or all of the head, as if periodic.

    Args:
        eeg: (19, n) µV.
        ekg: (n,) the recording's own heart channel, with which a reader can tell.
        sd: the background's median bipolar sd, µV.
        rng: source of randomness.
    """
    sharp = ekg - signal.lfilter([0.03], [1.0, -0.97], ekg)
    sharp = sharp / max(float(np.percentile(np.abs(sharp), 99.5)), 1e-3)
    weights = 0.5 * np.sign(POSITIONS[:, 0] + 0.2) + 0.4 * rng.standard_normal(N_SCALP)
    if rng.random() < 0.5:
        weights *= np.where(POSITIONS[:, 0] * rng.choice([-1, 1]) >= 0, 1.0, 0.3)
    eeg += np.outer(weights, sd * log_uniform(rng, 1.5, 5) * sharp).astype(np.float32)


MIMICS: dict[str, Callable[[np.ndarray, float, float, np.random.Generator], None]] = {
    made.__name__: made
    for made in (
        chewing, patting, pulse, ballistocardiogram, ventilator, tremor, hiccups, sweat, pops, eye_flutter, nystagmus,
        tongue,
    )
}  # fmt: skip
"""Name -> how it is added; ``heart_beats``, which follows the heart channel, comes besides."""
