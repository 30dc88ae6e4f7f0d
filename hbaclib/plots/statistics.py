"""Plain figures of a recording by which synthetic and real ones can be compared."""

from __future__ import annotations

import numpy as np
from scipy import signal

from hbaclib.conventions import EEG_RATE
from hbaclib.dataset.synthetic.geometry import LEFT_PAIRS
from hbaclib.signal.filters import band_pass
from hbaclib.signal.montage import bipolar

BANDS = {"delta": (0.5, 4), "theta": (4, 8), "alpha": (8, 13), "beta": (13, 20)}
_ADJACENT = [(pair, pair + 1) for pair in range(15) if (pair + 1) % 4]


def filtered_bipolar(eeg: np.ndarray, low: float = 0.5, high: float = 20.0) -> np.ndarray:
    """(n_samples, 16) longitudinal differences of a recording (n_samples, 20), µV, band-passed without phase shift."""
    return band_pass(bipolar(np.nan_to_num(eeg)), low, high)


def power_spectrum(signals: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Frequencies (Hz) and densities (µV²/Hz), (n_frequencies, n_signals), of signals (n_samples, n_signals)."""
    return signal.welch(signals, EEG_RATE, nperseg=800, axis=0)


def describe(eeg: np.ndarray) -> dict[str, float]:
    """Describe one recording by numbers.

    Args:
        eeg: (n_samples, 20) µV.

    Returns:
        Name -> value: amplitude (``median_sd``, ``best_to_median``, ``kurtosis``, ``spread``: sd of the channels'
        ln amplitude), spectrum (``slope``, ``delta`` .. ``beta`` shares, ``peakedness``), topography
        (``adjacent_correlation``, ``temporal_parasagittal``: correlation of the two chains of a side, ``sides``: weak /
        strong hemisphere, ``side_correlation``, ``frontal``: ln of front to back amplitude) and waveform
        (``skewness``, ``steepness``, ``burstiness``: variation of the amplitude from second to second).
    """
    signals = filtered_bipolar(eeg).astype(float)
    sd = signals.std(axis=0) + 1e-3
    frequencies, power = power_spectrum(signals)
    mean = (power / sd**2).mean(axis=1)
    line = (frequencies >= 1) & (frequencies <= 20)
    inside = (frequencies >= 0.5) & (frequencies <= 20)
    logs = np.log(mean[line] + 1e-9)
    fit = np.polyfit(np.log(frequencies[line]), logs, 1)
    scaled = (signals - signals.mean(axis=0)) / sd
    correlation = scaled.T @ scaled / len(scaled)
    left, right = np.sqrt((sd[LEFT_PAIRS] ** 2).mean()), np.sqrt((sd[~LEFT_PAIRS] ** 2).mean())
    seconds = np.log(signals[: len(signals) // 200 * 200].reshape(-1, 200, 16).std(axis=1) + 0.5)
    steps = np.abs(np.diff(scaled, axis=0))
    front, back = sd.reshape(4, 4)[:, :2], sd.reshape(4, 4)[:, 2:]
    result = {
        "median_sd": float(np.log(np.median(sd))),
        "best_to_median": float(np.log(sd.max() / np.median(sd))),
        "spread": float(np.log(sd).std()),
        "kurtosis": float(np.log1p(np.median((scaled**4).mean(axis=0)))),
        "slope": float(-fit[0]),
        "peakedness": float((logs - np.polyval(fit, np.log(frequencies[line]))).max()),
        "adjacent_correlation": float(np.mean([correlation[pair] for pair in _ADJACENT])),
        "temporal_parasagittal": float(np.mean([abs(correlation[i, i + 8]) for i in range(8)])),
        "side_correlation": float(np.mean([correlation[i, i + 4] for i in (0, 1, 2, 3, 8, 9, 10, 11)])),
        "sides": float(min(left, right) / max(left, right)),
        "frontal": float(np.log(front.mean() / back.mean())),
        "skewness": float(np.abs((scaled**3).mean(axis=0)).mean()),
        "steepness": float(np.log((np.percentile(steps, 99) + 1e-9) / (steps.mean() + 1e-9))),
        "burstiness": float(seconds.std(axis=0).mean()),
    }
    for name, (low, high) in BANDS.items():
        band = (frequencies >= low) & (frequencies < high)
        result[name] = float(mean[band].sum() / max(mean[inside].sum(), 1e-12))  # 0 of a flat recording
    return result
