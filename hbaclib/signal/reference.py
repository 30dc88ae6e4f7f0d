"""The mel-spectrogram as the public notebooks compute it: sixteen librosa calls. For comparisons only."""

from __future__ import annotations

import numpy as np

from hbaclib.conventions import CHAINS, EEG_COLUMNS, EEG_RATE, IMAGE_SHAPE


def librosa_spectrogram(eeg: np.ndarray) -> np.ndarray:
    """Mel-spectrogram of one recording through librosa, which must be installed (a test dependency).

    Args:
        eeg: (n_samples, 20) µV, columns as EEG_COLUMNS.

    Returns:
        (128, 256, 4) float32, channels LL, RL, LP, RP.

    Source: recipe of the public notebook "How To Make Spectrogram from EEG" (C. Deotte, 2024), with the chains' order
    of this library.
    """
    import librosa

    image = np.zeros((*IMAGE_SHAPE, len(CHAINS)), dtype=np.float32)
    for channel, chain in enumerate(CHAINS.values()):
        signals = eeg[:, [EEG_COLUMNS.index(name) for name in chain]]
        for first, second in zip(signals.T[:-1], signals.T[1:], strict=True):
            pair = _filled(first) - _filled(second)
            power = librosa.feature.melspectrogram(
                y=pair,
                sr=EEG_RATE,
                hop_length=len(pair) // IMAGE_SHAPE[1],
                n_fft=1024,
                n_mels=IMAGE_SHAPE[0],
                fmin=0,
                fmax=20,
                win_length=128,
            )
            decibel = librosa.power_to_db(power, ref=np.max)[:, : IMAGE_SHAPE[1]]
            image[..., channel] += (decibel.astype(np.float32) + 40) / 40
    return image / 4


def _filled(signal: np.ndarray) -> np.ndarray:
    """The electrode with its mean where it is missing; zeros where all is missing."""
    missing = np.isnan(signal)
    if missing.all():
        return np.zeros_like(signal)
    return np.where(missing, signal[~missing].mean(), signal) if missing.any() else signal
