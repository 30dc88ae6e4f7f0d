"""The field's EEG mel-spectrogram as matrix products, with librosa's numbers.

Only the FFT bins under a mel filter carry weight (102 of 513 up to 20 Hz), and the Hann window is symmetric about its
centre, so the samples before and after the centre are added for the cosines and subtracted for the sines. A window of
0.64 s holds only some 25 independent cosines and as many sines up to 20 Hz: these are computed at well-chosen bins, in
float64, and the other bins are interpolated from them, in float32. Both precisions are needed where they stand: float32
sums over samples lose the quiet bands of a recording with 60 Hz noise of several mV, whereas a bin is interpolated
mostly from its neighbours, with weights of about one, so that a quiet bin is not rounded like a loud one.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from scipy import linalg, sparse

from hbaclib.conventions import CHAINS, EEG_RATE, IMAGE_SHAPE
from hbaclib.errors import ConfigError, DataError
from hbaclib.signal.differences import absent_regions, filled_rows, is_differences, plain_rows
from hbaclib.signal.missing import check_way, fill_from_neighbours, holds_nan
from hbaclib.signal.montage import LONGITUDINAL_PAIRS, as_eeg, fill_missing, of_each, pair_table

N_FFT = 1024
N_FRAMES = IMAGE_SHAPE[1]
DYNAMIC_RANGE = 80.0
"""Decibels between the brightest and the darkest value."""
ABSOLUTE_REFERENCE = 1e6
"""Mel power to which `absolute_spectrogram` relates: about that of discharges of 200 µV."""

# librosa's amin: power below it counts as this much.
_LEAST_POWER = np.float32(1e-10)
_FLOOR = np.float32(10 ** (-DYNAMIC_RANGE / 10))
FLAT_SHARE = 1e-6
"""A pair whose range is below this share of its electrodes' largest value holds rounding, not EEG."""

_MIN_SECONDS = 4
# Of the waves, by interpolation from the chosen bins; a few bins more than this needs keep the weights small.
_INTERPOLATION_ERROR = 1e-13
_MORE_BINS = 2


def mel_filter_bank(n_mels: int = IMAGE_SHAPE[0], fmin: float = 0.0, fmax: float = 20.0) -> np.ndarray:
    """Triangular filters of equal area (Slaney) on the mel scale.

    Slaney's mel scale is linear below 1,000 Hz, and so the filters' corners are evenly spaced.

    Args:
        n_mels: number of filters.
        fmin: lower corner of the first filter, Hz.
        fmax: upper corner of the last filter, Hz.

    Returns:
        (n_mels, N_FFT // 2 + 1) float64, in 1/Hz.

    Raises:
        DataError: the band is empty, or above the Nyquist frequency.

    Source: M. Slaney, Auditory Toolbox, 1998; the values are those of ``librosa.filters.mel``.
    """
    if not 0 <= fmin < fmax <= EEG_RATE / 2:
        raise DataError(f"mel band {fmin}..{fmax} Hz; expected 0 <= fmin < fmax <= {EEG_RATE / 2} Hz")
    if n_mels < 1:
        raise ConfigError(f"n_mels = {n_mels}; expected at least 1")
    corners = np.linspace(fmin, fmax, n_mels + 2)
    lower, centre, upper = corners[:-2, None], corners[1:-1, None], corners[2:, None]
    frequencies = np.arange(N_FFT // 2 + 1) * EEG_RATE / N_FFT
    rising = (frequencies - lower) / (centre - lower)
    falling = (upper - frequencies) / (upper - centre)
    return np.maximum(0, np.minimum(rising, falling)) * 2 / (upper - lower)


@dataclass(frozen=True)
class _Transform:
    """Constant matrices of one setting.

    Attributes:
        cosines: (rank, window / 2) float64, the windowed cosines of the chosen bins, whose column j acts on the sum of
            the samples j before and after the centre; and (n_bins, rank) float32, which interpolates all bins.
        sines: the same for their difference.
        mel: (n_mels, n_bins) float32, sparse: below 1,000 Hz a filter spans few bins.
    """

    cosines: tuple[np.ndarray, np.ndarray]
    sines: tuple[np.ndarray, np.ndarray]
    mel: sparse.csr_array


def _factors(waves: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Rows of (n_bins, lags) from which all rows are interpolated, and the weights (an interpolative decomposition)."""
    _, triangle, order = linalg.qr(waves.T, mode="economic", pivoting=True)
    size = np.abs(np.diagonal(triangle))
    rank = min(int(np.count_nonzero(size > _INTERPOLATION_ERROR * size[0])) + _MORE_BINS, len(size))
    nodes = np.sort(order[:rank])
    weights = np.linalg.lstsq(waves[nodes].T, waves.T, rcond=None)[0].T
    factors = np.ascontiguousarray(waves[nodes]), np.ascontiguousarray(weights, np.float32)
    for factor in factors:
        factor.setflags(write=False)
    return factors


@lru_cache(maxsize=16)
def _transform(window: int, n_mels: int, fmin: float, fmax: float) -> _Transform:
    bank = mel_filter_bank(n_mels, fmin, fmax)
    bins = np.flatnonzero(bank.any(axis=0))
    lag = np.arange(window // 2)
    hann = 0.5 + 0.5 * np.cos(2 * np.pi * lag / window)
    phase = 2 * np.pi * np.outer(bins, lag) / N_FFT
    cosines, sines = hann * np.cos(phase), hann * np.sin(phase)
    cosines[:, 0] /= 2  # the centre sample is added to itself
    return _Transform(_factors(cosines), _factors(sines), sparse.csr_array(bank[:, bins], dtype=np.float32))


def _frame_centres(n_samples: int, centre_seconds: float | None) -> slice | np.ndarray:
    """Centres of the frames: librosa's grid over the whole recording, or 256 spread evenly over its middle."""
    if centre_seconds is None:
        return slice(0, n_samples + 1, n_samples // N_FRAMES)
    length = round(centre_seconds * EEG_RATE)
    return (n_samples - length) // 2 + np.arange(N_FRAMES) * length // N_FRAMES


_memory = threading.local()


def _scratch(n_pairs: int, n_frames: int, half: int, n_bins: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Arrays that one thread uses again and again: fetching them anew costs as much as the products."""
    key = (n_pairs, n_frames, half, n_bins)
    if getattr(_memory, "key", None) != key:
        wide = (n_bins, n_pairs * n_frames)
        _memory.arrays = np.empty((n_pairs, n_frames, half)), np.empty(wide, np.float32), np.empty(wide, np.float32)
        _memory.key = key
    return _memory.arrays


def _chain_powers(
    rows: np.ndarray, window: int, centres: slice | np.ndarray, transform: _Transform
) -> Iterator[np.ndarray]:
    """Power of the 16 signals (16, n_samples), chain by chain as (n_mels, 4, n_frames), zero outside the recording."""
    half = window // 2
    for chain in np.split(rows, len(CHAINS)):
        padded = np.zeros((len(chain), chain.shape[1] + window))
        padded[:, half:-half] = chain
        after = sliding_window_view(padded[:, half:], half, axis=-1)[:, centres]
        # The samples before a centre, nearest first, lie in reading order in the reversed signal.
        reversed_signal = np.ascontiguousarray(padded[:, ::-1])
        before = sliding_window_view(reversed_signal, half, axis=-1)[:, -2::-1][:, centres]
        n_frames = after.shape[1]
        halves, even, odd = _scratch(len(chain), n_frames, half, len(transform.cosines[1]))
        for combine, (waves, weights), product in (
            (np.add, transform.cosines, even),
            (np.subtract, transform.sines, odd),
        ):
            combine(after, before, out=halves)
            nodes = waves @ halves.reshape(-1, half).T
            np.matmul(weights, nodes.astype(np.float32), out=product)
            np.square(product, out=product)
        even += odd
        yield (transform.mel @ even).reshape(-1, len(chain), n_frames)


def _pairs(recording: np.ndarray, flat: str) -> tuple[np.ndarray, np.ndarray]:
    """The 16 differences as rows, and which of them are constant up to the rounding of parallel electrodes.

    The pairs of a chain of which nothing was recorded count as constant.
    """
    if is_differences(recording):
        rows = _public_rows(recording) if flat == "public" else filled_rows(recording, LONGITUDINAL_PAIRS)
        # What the electrodes were is not known: a pair is measured by the loudest one.
        peak = np.maximum(rows.max(), -rows.min())
    else:
        filled = fill_missing(recording) if flat == "public" else fill_from_neighbours(recording)
        electrodes = np.ascontiguousarray(filled.T)
        first, second = pair_table(LONGITUDINAL_PAIRS)
        rows = electrodes[first] - electrodes[second]
        peaks = np.maximum(electrodes.max(axis=-1), -electrodes.min(axis=-1))
        peak = np.maximum(peaks[first], peaks[second])
    constant = rows.max(axis=-1) - rows.min(axis=-1) <= FLAT_SHARE * peak
    if holds_nan(recording):
        constant |= np.repeat(absent_regions(recording).all(axis=1), len(constant) // len(CHAINS))
    return rows, constant


def _public_rows(differences: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(fill_missing(plain_rows(differences, LONGITUDINAL_PAIRS).T).T)


def _plane(power: np.ndarray, flat: np.ndarray, reference: float | None) -> np.ndarray:
    """Decibels, scaled and averaged over one chain: (n_mels, 4, n_frames) to (n_mels, 256)."""
    if flat.all():
        return np.full((len(power), N_FRAMES), -1, np.float32)
    # Relative to the pair's maximum every ratio lies in [1e-8, 1]: the product of four fits float32, and one logarithm
    # serves them all. Relative to a fixed power it may not.
    join = np.multiply if reference is None else np.add
    plane: Any = None
    for number, constant in enumerate(flat):
        pair = power[:, number]
        scale = max(pair.max(), _LEAST_POWER) if reference is None else np.float32(reference)
        ratio = pair[:, :N_FRAMES] / scale
        np.maximum(ratio, max(_FLOOR, _LEAST_POWER / scale), out=ratio)
        if constant:
            ratio[...] = _FLOOR
        if reference is not None:
            np.log(ratio, out=ratio)
        plane = ratio if not number else join(plane, ratio, out=plane)
    if reference is None:
        np.log(plane, out=plane)
    plane *= np.float32(20 / (np.log(10) * DYNAMIC_RANGE * len(flat)))
    plane += np.float32(1)
    return np.maximum(plane, -1, out=plane)


def eeg_spectrogram(
    eeg: np.ndarray,
    *,
    flat: str = "dark",
    reference: str | float = "pair",
    centre_seconds: float | None = None,
    window: int = 128,
    n_mels: int = IMAGE_SHAPE[0],
    fmin: float = 0.0,
    fmax: float = 20.0,
) -> np.ndarray:
    """Turn EEG into the four mel-spectrogram planes of the image networks.

    Per chain of the longitudinal bipolar montage: mel power of each of the four pairs (Hann window, FFT of 1024, hop
    ``n_samples // 256``), decibels down to -80, scaled as ``(dB + 40) / 40``, mean over the pairs. Missing samples
    are filled from the electrode's neighbours, whatever the reference is.

    Args:
        eeg: (n_samples, 20) or (n, n_samples, 20) floating point, µV at 200 Hz, at least 4 s; 10,000 samples for the
            networks. Or 24 differences as `hbaclib.to_differences` gives them. NaN allowed.
        flat: what a constant pair becomes before the mean: "dark" = -1, and so does a chain of which nothing was
            recorded; or "public" = whatever the formula gives, which is +1, the brightest value, for a pair of zeros.
            "public" also fills missing samples as the public notebooks do, by the electrode's mean, and an electrode
            without any sample by 0 (both for weights trained on the public spectrograms).
        reference: "pair" = decibels relative to the pair's own maximum over the whole recording, range [-1, 1]; or a
            power, the same for all, which keeps absolute amplitude: -1 is then 80 dB below it, nothing is cut above.
        centre_seconds: spread the 256 frames over so many seconds in the middle of the recording (a zoom); the pair's
            maximum is then taken there. None: the whole recording.
        window: samples of the Hann window, even, at most 1024.
        n_mels: number of mel bands, the height of the image.
        fmin: lowest frequency, Hz.
        fmax: highest frequency, Hz.

    Returns:
        (128, 256, 4) or (n, 128, 256, 4) float32, low frequencies first, channels LL, RL, LP, RP. A recording gives the
        same bits alone and in any batch.

    Raises:
        DataError: malformed EEG, a recording below 4 s, a zoom longer than the recording, a band above 100 Hz.
        ConfigError: an unknown ``flat`` or ``reference``, or a window that is odd or above 1024.

    Source: the recipe of the public EfficientNet starters (C. Deotte, 2024); numbers as librosa's ``melspectrogram``
    and ``power_to_db``.
    """
    recordings = as_eeg(eeg, min_samples=_MIN_SECONDS * EEG_RATE, differences=True)
    check_way(flat)
    level = None if reference == "pair" else reference
    if level is not None and not (isinstance(level, (int, float)) and level > 0):
        raise ConfigError(f"reference = {reference!r}; expected 'pair' or a positive power")
    if window % 2 or not 2 <= window <= N_FFT:
        raise ConfigError(f"window = {window}; expected an even number of samples, 2 .. {N_FFT}")
    n_samples = recordings.shape[-2]
    if centre_seconds is not None and not N_FRAMES / EEG_RATE <= centre_seconds <= n_samples / EEG_RATE:
        raise DataError(
            f"centre_seconds = {centre_seconds}; expected {N_FRAMES / EEG_RATE} .. {n_samples / EEG_RATE}, "
            "the recording's length"
        )
    transform = _transform(int(window), int(n_mels), float(fmin), float(fmax))
    centres = _frame_centres(n_samples, centre_seconds)

    def image(recording: np.ndarray) -> np.ndarray:
        # One chain at a time: products of one fixed shape make a recording's bits independent of the batch, and the
        # scratch arrays stay in the cache.
        rows, constant = _pairs(recording, flat)
        dark = np.split(constant & (flat == "dark"), len(CHAINS))
        powers = _chain_powers(rows, window, centres, transform)
        return np.stack([_plane(*each, level) for each in zip(powers, dark, strict=True)], axis=-1)

    return of_each(recordings, image, (n_mels, N_FRAMES, len(CHAINS)), np.float32)


def absolute_spectrogram(eeg: np.ndarray) -> np.ndarray:
    """Turn EEG into four mel-spectrogram planes that keep which region is louder, and when.

    Relative to its own maximum, as `eeg_spectrogram` has it by default, a pair of a hundredth of the power looks like
    any other, and a lateralised pattern hardly shows. Here all pairs have one reference; how loud the whole recording
    is, which depends on skull and amplifier, is taken out as the mean of its four planes.

    Args:
        eeg: as in `eeg_spectrogram`.

    Returns:
        (128, 256, 4) or (n, 128, 256, 4) float32, channels LL, RL, LP, RP; each recording's mean is 0.

    Raises:
        DataError: as in `eeg_spectrogram`.
    """
    image = eeg_spectrogram(eeg, reference=ABSOLUTE_REFERENCE)
    image -= image.mean(axis=(-3, -2, -1), keepdims=True)
    return image
