"""What is in a recording but not in the brain: eyes, muscle, heart, electrodes, mains, movement."""

from __future__ import annotations

import numpy as np
from scipy import signal

from hbaclib.conventions import EEG_RATE, SCALP_ELECTRODES
from hbaclib.dataset.synthetic.background import Traits
from hbaclib.dataset.synthetic.draws import log_uniform, slow_noise
from hbaclib.dataset.synthetic.geometry import POSITIONS, field
from hbaclib.dataset.synthetic.plan import SPECTROGRAM_SECONDS
from hbaclib.signal.montage import electrode_index

N_SCALP = len(SCALP_ELECTRODES)


def event_times(rng: np.random.Generator, seconds: float, per_minute: float) -> np.ndarray:
    """Seconds at which something happens that comes so often a minute."""
    return rng.uniform(0, seconds, rng.poisson(per_minute * seconds / 60))


def add_eyes(eeg: np.ndarray, rng: np.random.Generator) -> None:
    """Blinks over the frontal poles, slow eye movements of opposite sign over F7 and F8."""
    seconds = eeg.shape[1] / EEG_RATE
    if rng.random() < 0.35:
        weights = field(np.array([[0.0, 0.95, -0.3]]), 0.45)[:, 0]
        weights = weights / weights.max() * rng.uniform(30, 200)
        time = np.arange(90) / EEG_RATE
        blink = np.exp(-0.5 * ((time - 0.15) / 0.06) ** 2) - 0.25 * np.exp(-0.5 * ((time - 0.33) / 0.07) ** 2)
        for at in event_times(rng, seconds, log_uniform(rng, 1, 25)):
            rest = eeg[:, int(at * EEG_RATE) :][:, : len(blink)]  # the last one is cut
            rest += (weights[:, None] * blink[: rest.shape[1]]).astype(np.float32)
    if rng.random() < 0.30:
        side = POSITIONS[:, 0] * np.exp(-0.5 * ((POSITIONS[:, 1] - 0.8) / 0.45) ** 2)
        movement = slow_noise(rng, 1, eeg.shape[1], rng.uniform(0.8, 3))[0]
        active = np.clip(slow_noise(rng, 1, eeg.shape[1], 20)[0], 0, 1)
        eeg += (side[:, None] * rng.uniform(10, 70)).astype(np.float32) * (movement * active)


def add_muscle(eeg: np.ndarray, rng: np.random.Generator) -> None:
    """Broad-band activity above 20 Hz, strongest over the temples and the forehead, in stretches."""
    if rng.random() >= 0.45:
        return
    n = eeg.shape[1]
    outer = np.exp(-1.5 * POSITIONS[:, 2]) * np.exp(0.5 * rng.standard_normal(N_SCALP))
    if rng.random() < 0.5:
        outer *= np.where(POSITIONS[:, 0] * rng.choice([-1, 1]) > 0, 1.0, rng.uniform(0.1, 0.6))
    loud = np.argsort(outer)[-10:]
    noise = rng.standard_normal((len(loud), n), dtype=np.float32)
    low = signal.butter(2, rng.uniform(15, 30) / (EEG_RATE / 2), btype="high")
    noise = signal.lfilter(*(part.astype(np.float32) for part in low), noise, axis=1)
    amount = np.exp(0.8 * slow_noise(rng, 1, n, log_uniform(rng, 1.5, 15))[0]) - rng.uniform(0, 0.8)
    gain = (outer[loud] / outer.max() * log_uniform(rng, 2, 30)).astype(np.float32)
    eeg[loud] += gain[:, None] * noise * np.clip(amount, 0.02, 4)


def add_heart(eeg: np.ndarray, traits: Traits, rng: np.random.Generator) -> np.ndarray:
    """Draw the EKG channel (n,) µV and leak it into the EEG of some recordings."""
    n = eeg.shape[1]
    beats = []
    at = rng.uniform(0, 1)
    variation = rng.uniform(0.01, 0.05) if rng.random() < 0.85 else 0.2
    while at * EEG_RATE < n:
        beats.append(int(at * EEG_RATE))
        at += 60 / traits.heart_rate * np.exp(variation * rng.standard_normal())
    time = (np.arange(160) - 50) / EEG_RATE
    beat = (
        0.12 * np.exp(-0.5 * ((time + 0.16) / 0.025) ** 2)
        - 0.15 * np.exp(-0.5 * ((time + 0.03) / 0.010) ** 2)
        + np.exp(-0.5 * (time / 0.012) ** 2)
        - 0.3 * np.exp(-0.5 * ((time - 0.035) / 0.014) ** 2)
        + rng.uniform(0.1, 0.35) * np.exp(-0.5 * ((time - 0.25) / 0.045) ** 2)
    )
    heart = np.zeros(n + 160, dtype=np.float32)
    for start in beats:
        heart[start : start + 160] += beat.astype(np.float32)
    heart = heart[50 : 50 + n]
    if rng.random() < 0.35:
        leak = rng.uniform(0.3, 1, N_SCALP) * np.sign(POSITIONS[:, 0] + 0.5 * rng.standard_normal())
        eeg += (leak / np.abs(leak).max() * log_uniform(rng, 1, 15)).astype(np.float32)[:, None] * heart
    size = log_uniform(rng, 30, 900) * rng.choice([-1, 1], p=[0.2, 0.8]) * (40 if rng.random() < 0.02 else 1)
    noise = log_uniform(rng, 2, 30) * rng.standard_normal(n, dtype=np.float32)
    drift = log_uniform(rng, 2, 60) * slow_noise(rng, 1, n, 3)[0]
    return (size * heart + noise + drift + rng.normal(0, 25)).astype(np.float32)


def add_electrode_faults(eeg: np.ndarray, rng: np.random.Generator) -> None:
    """Noise of every electrode, drift, pops, a loose electrode, movement."""
    n = eeg.shape[1]
    seconds = n / EEG_RATE
    floor = log_uniform(rng, 0.2, 1.2) * np.exp(0.25 * rng.standard_normal((N_SCALP, 1)))
    eeg += floor.astype(np.float32) * rng.standard_normal((N_SCALP, n), dtype=np.float32)
    if rng.random() < 0.25:
        drifting = rng.choice(N_SCALP, int(rng.integers(1, 8)), replace=False)
        eeg[drifting] += log_uniform(rng, 10, 150) * slow_noise(rng, len(drifting), n, rng.uniform(2, 8))
    for at in event_times(rng, seconds, log_uniform(rng, 0.05, 1.0)):  # pops: a step that decays
        start = int(at * EEG_RATE)
        tail = np.exp(-np.arange(min(n - start, 600)) / (EEG_RATE * rng.uniform(0.1, 0.6)))
        eeg[rng.integers(N_SCALP), start : start + len(tail)] += (
            log_uniform(rng, 20, 400) * rng.choice([-1, 1]) * tail
        ).astype(np.float32)
    for at in event_times(rng, seconds, log_uniform(rng, 0.03, 0.6)):  # movement: everything swings
        start, length = int(at * EEG_RATE), int(rng.uniform(0.5, 5) * EEG_RATE)
        length = min(length, n - start)
        if length > 10:
            swing = slow_noise(rng, N_SCALP, length, rng.uniform(0.1, 0.5)) * np.hanning(length).astype(np.float32)
            eeg[:, start : start + length] += log_uniform(rng, 15, 200) * swing
    if rng.random() < 0.12:
        loose = int(rng.integers(N_SCALP))
        noise = np.cumsum(rng.standard_normal(n, dtype=np.float32))
        noise = signal.lfilter(*signal.butter(1, 0.8 / (EEG_RATE / 2), btype="high"), noise)
        bad = np.clip(2 * slow_noise(rng, 1, n, 40)[0], 0, 1)
        eeg[loose] += (log_uniform(rng, 5, 60) * bad * noise / max(noise.std(), 1e-6)).astype(np.float32)


def add_common(eeg: np.ndarray, rng: np.random.Generator, mains_hertz: float = 60.0) -> None:
    """Mains and reference noise, equal in all electrodes but for small differences of their impedance; offsets."""
    n = eeg.shape[1]
    time = np.arange(n) / EEG_RATE
    balance = 1 + log_uniform(rng, 0.003, 0.05) * rng.standard_normal((N_SCALP, 1))
    amplitude = log_uniform(rng, 300, 4000) if rng.random() < 0.07 else log_uniform(rng, 0.5, 300)
    mains = amplitude * np.sin(2 * np.pi * (mains_hertz + rng.normal(0, 0.01)) * time + rng.uniform(0, 6))
    mains *= np.exp(0.1 * slow_noise(rng, 1, n, 20)[0])
    if rng.random() < 0.12:  # a pump or another device, loudest where its cable runs
        line = np.sin(2 * np.pi * float(rng.choice([20.0, 20.0, rng.uniform(12, 40)])) * time).astype(np.float32)
        pick_up = log_uniform(rng, 0.3, 15) * np.exp(0.8 * rng.standard_normal((N_SCALP, 1)))
        eeg += pick_up.astype(np.float32) * line
    reference = log_uniform(rng, 3, 40) * slow_noise(rng, 1, n, rng.uniform(0.3, 2))[0]
    eeg += balance.astype(np.float32) * (mains + reference).astype(np.float32)
    eeg += (25 * rng.standard_normal((N_SCALP, 1))).astype(np.float32)


def add_losses(eeg: np.ndarray, ekg: np.ndarray, rng: np.random.Generator) -> None:
    """Flat electrodes, an unplugged amplifier (exact zeros), the amplifier's limit."""
    n = eeg.shape[1]
    if rng.random() < 0.04:
        flat = rng.choice(N_SCALP, int(rng.integers(1, 4)), replace=False)
        eeg[flat] = 0
    if n >= SPECTROGRAM_SECONDS * EEG_RATE and rng.random() < 0.06:
        # Away from the labelled windows, which begin at second 275.
        start, length = int(rng.uniform(0, 100) * EEG_RATE), int(rng.uniform(10, 90) * EEG_RATE)
        eeg[:, start : start + length] = 0
        ekg[start : start + length] = 0
    limit = float(rng.choice([3276.7, 8192.0, 32767.0]))
    np.clip(eeg, -limit, limit, out=eeg)


def around(eeg: np.ndarray, centre: float, rng: np.random.Generator) -> tuple[int, int, np.ndarray]:
    """A stretch that holds the 10 s around ``centre``, and its soft edges."""
    start = max(0, int((centre - rng.uniform(8, 30)) * EEG_RATE))
    stop = min(eeg.shape[1], int((centre + rng.uniform(8, 30)) * EEG_RATE))
    time = np.arange(stop - start) / EEG_RATE
    return start, stop, np.clip(np.minimum(time, time[::-1]), 0, 1).astype(np.float32)


def add_mimic(eeg: np.ndarray, centre: float, sd: float, rng: np.random.Generator) -> None:
    """Add an artefact that resembles a pattern around second ``centre``.

    Chewing looks like fast discharges, a ventilator or patting like rhythmic delta, a pulsating artery under an
    electrode like periodic waves.
    """
    name = str(rng.choice(["chewing", "patting", "pulse"]))
    start, stop, edge = around(eeg, centre, rng)
    n = stop - start
    time = np.arange(n) / EEG_RATE
    if name == "chewing":
        gate = np.clip(np.sin(2 * np.pi * rng.uniform(0.8, 1.8) * time + 2 * slow_noise(rng, 1, n, 3)[0]), 0, 1) ** 2
        noise = rng.standard_normal((N_SCALP, n), dtype=np.float32)
        noise = signal.lfilter(*signal.butter(2, 20 / (EEG_RATE / 2), btype="high"), noise, axis=1)
        weight = np.exp(-2 * POSITIONS[:, 2:3]) * np.exp(0.4 * rng.standard_normal((N_SCALP, 1)))
        eeg[:, start:stop] += (weight * sd * rng.uniform(2, 6) * noise * gate * edge).astype(np.float32)
        return
    rate = rng.uniform(0.25, 0.5) if name == "patting" else rng.uniform(0.9, 1.9)
    phase = 2 * np.pi * rate * time + 0.5 * slow_noise(rng, 1, n, 2)[0]
    wave = (np.sin(phase) + 0.4 * np.sin(2 * phase + 1)) * edge
    weight = np.zeros(N_SCALP)
    if name == "pulse":
        weight[rng.integers(N_SCALP)] = 1.0
    else:
        weight = 0.2 * rng.standard_normal(N_SCALP)
        weight[[electrode_index(name) for name in ("O1", "O2", "Pz")]] += rng.uniform(0.3, 1)
    eeg[:, start:stop] += (weight[:, None] * sd * rng.uniform(1, 4) * wave).astype(np.float32)


def add_wild(eeg: np.ndarray, centre: float, rng: np.random.Generator) -> None:
    """Hide the labelled moment under swings of hundreds to thousands of µV, up to the amplifier's limit."""
    start, stop, edge = around(eeg, centre, rng)
    swing = slow_noise(rng, N_SCALP, stop - start, rng.uniform(0.05, 0.6)) * edge
    eeg[:, start:stop] += log_uniform(rng, 150, 6000) * rng.uniform(0.2, 1.2, (N_SCALP, 1)).astype(np.float32) * swing


def add_artefacts(eeg: np.ndarray, traits: Traits, rng: np.random.Generator) -> np.ndarray:
    """Add everything to a recording (19, n) in place, and return its EKG (n,)."""
    add_eyes(eeg, rng)
    add_muscle(eeg, rng)
    ekg = add_heart(eeg, traits, rng)
    add_electrode_faults(eeg, rng)
    add_common(eeg, rng)
    add_losses(eeg, ekg, rng)
    return ekg
