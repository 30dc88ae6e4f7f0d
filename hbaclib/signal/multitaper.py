"""The competition's 10-minute spectrogram from any EEG.

Detrending, tapering and the Fourier sums of the 100 kept bins are linear in a window of 800 samples, so they are one
constant matrix. DPSS tapers are even or odd about the window's centre, and so are cosine and sine: the sum of the
window with its mirror image feeds half of the columns, the difference the other half. A window of 4 s holds only about
90 independent functions of either kind up to 20 Hz: each product goes through a basis of these.
"""

from __future__ import annotations

from fractions import Fraction
from functools import cache

import numpy as np
from numpy.typing import DTypeLike
from scipy import ndimage, signal

from hbaclib.conventions import (
    CHAINS,
    EEG_COLUMNS,
    EEG_RATE,
    REGIONS,
    SPECTROGRAM_BINS,
    SPECTROGRAM_NFFT,
    SPECTROGRAM_STEP,
)
from hbaclib.errors import ConfigError, DataError
from hbaclib.signal.differences import absent_regions, filled_rows, is_differences, plain_rows
from hbaclib.signal.filters import band_pass_gain, notch_gain, zero_phase
from hbaclib.signal.missing import LONGEST_INTERPOLATED_GAP, check_way, holds_nan
from hbaclib.signal.montage import LONGITUDINAL_PAIRS, as_eeg, chain_pairs, electrode_index, of_each, pair_rows

WINDOW = 4 * EEG_RATE
STEP = SPECTROGRAM_STEP * EEG_RATE
HALF = WINDOW // 2
N_TAPERS = 3
TIME_BANDWIDTH = 2.0
LOWEST_RATE = 100.0
N_PAIRS = len(LONGITUDINAL_PAIRS) // len(REGIONS)
_BAND = (0.5, 40.0)
_ORDER = 3
# Relative to the largest: what is left out stays below the rounding of the precision.
_LEAST_SINGULAR_VALUE = {"<f4": 1e-8, "<f8": 1e-14}


@cache
def _projections(dtype: str) -> tuple[tuple[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]:
    """Factors for the even and the odd half of a window: (400, rank) and (rank, 3 x 100).

    Their products' squares, summed over both halves, the tapers and the four pairs, are a region's power density.
    """
    tapers = signal.windows.dpss(WINDOW, TIME_BANDWIDTH, N_TAPERS)
    time = np.arange(WINDOW) - (WINDOW - 1) / 2
    phase = 2 * np.pi * np.outer(time, SPECTROGRAM_BINS) / SPECTROGRAM_NFFT
    waves = (np.cos(phase), np.sin(phase))
    scale = 1 / np.sqrt(EEG_RATE * N_TAPERS * N_PAIRS)
    factors = []
    for parity in (0, 1):
        # Taper k is even for even k: with the cosine (even) or sine (odd) of matching parity the product is even.
        columns = [tapers[k][:, None] * waves[(k + parity) % 2] for k in range(N_TAPERS)]
        full = signal.detrend(np.concatenate(columns, axis=1), axis=0)
        left, size, right = np.linalg.svd(full[HALF:] * scale, full_matrices=False)
        rank = np.count_nonzero(size > _LEAST_SINGULAR_VALUE[dtype] * size[0])
        basis = np.ascontiguousarray(left[:, :rank] * size[:rank], dtype=dtype)
        spectra = np.ascontiguousarray(right[:rank], dtype=dtype)
        for factor in (basis, spectra):
            factor.setflags(write=False)
        factors.append((basis, spectra))
    return factors[0], factors[1]


def _long_gaps(missing: np.ndarray) -> np.ndarray:
    """Runs of missing samples (rows, n_samples) that are too long to interpolate."""
    return ndimage.binary_opening(missing, np.ones((1, LONGEST_INTERPOLATED_GAP + 1)))


def _filled(recording: np.ndarray, flat: str) -> tuple[np.ndarray, np.ndarray | None]:
    """Rows without NaN, and the samples (4, n_samples) that a region lacks, None where none does.

    The rows are electrodes, or (16, n_samples) the pairs of the chains.
    """
    if holds_nan(recording) and flat != "public":
        return filled_rows(recording, LONGITUDINAL_PAIRS), _long_gaps(absent_regions(recording))
    rows = plain_rows(recording, LONGITUDINAL_PAIRS) if is_differences(recording) else np.array(recording.T, order="C")
    if not holds_nan(recording):
        return rows, None
    missing = np.isnan(rows)
    long, sample = _long_gaps(missing), np.arange(len(recording))
    for row, hole in zip(rows, missing, strict=True):
        if hole.any() and not hole.all():
            row[hole] = np.interp(sample[hole], sample[~hole], row[~hole])
    rows[long] = 0
    return rows, np.stack([long[_places(rows, region)].any(axis=0) for region in REGIONS])


def _places(rows: np.ndarray, region: str) -> list[int]:
    """Which rows are a region's: its five electrodes, or its four pairs."""
    if len(rows) == len(EEG_COLUMNS):
        return [electrode_index(name) for name in CHAINS[region]]
    return [LONGITUDINAL_PAIRS.index(pair) for pair in chain_pairs(region)]


def _differences(rows: np.ndarray, region: str) -> np.ndarray:
    """The four pairs of a region, (4, n_samples), as an array of their own."""
    return pair_rows(rows, chain_pairs(region)) if len(rows) == len(EEG_COLUMNS) else rows[_places(rows, region)]


def _resample(rows: np.ndarray, rate: float) -> np.ndarray:
    ratio = Fraction(EEG_RATE / rate).limit_denominator(10_000)
    if ratio == 1:
        return rows
    resampled = signal.resample_poly(rows, ratio.numerator, ratio.denominator, axis=-1, padtype="reflect")
    return np.ascontiguousarray(resampled, dtype=rows.dtype)


def _touched(lost: np.ndarray, starts: np.ndarray, rate: float) -> np.ndarray:
    """Which windows (n_rows,) of each region (4,) hold a sample that it lacks."""
    n = lost.shape[-1]
    count = np.concatenate([np.zeros((len(lost), 1), int), lost.cumsum(axis=-1)], axis=-1)
    begin = np.clip(np.floor(starts * rate / EEG_RATE), 0, n).astype(int)
    end = np.clip(np.ceil((starts + WINDOW) * rate / EEG_RATE), 0, n).astype(int)
    return count[:, end] > count[:, begin]


# What no amplifier gives, 1e30 µV, has a power beyond the precision's largest number: infinite, or no number.
@np.errstate(over="ignore", invalid="ignore")
def _one(recording: np.ndarray, rate: float, starts: np.ndarray, flat: str) -> np.ndarray:
    """(n_samples, 20 or 24) to (n_rows, 4, 100), in its own precision."""
    signals, lost = _filled(recording, flat)
    power = np.empty((len(starts), len(REGIONS), len(SPECTROGRAM_BINS)), signals.dtype)
    gains = band_pass_gain(*_BAND, _ORDER), notch_gain
    for k, region in enumerate(REGIONS):
        rows = _differences(signals, region)
        # The band-pass takes a constant to exactly nothing; taken away first it costs float32 no digits.
        rows -= rows.mean(axis=-1, keepdims=True, dtype=np.float64).astype(rows.dtype)
        rows = zero_phase(_resample(rows, rate), *gains, margin=HALF)
        windows = np.lib.stride_tricks.sliding_window_view(rows, WINDOW, axis=-1)
        power[:, k] = _density(windows[:, starts[0] + HALF :: STEP][:, : len(starts)])
    if lost is not None:
        power[_touched(lost, starts, rate).T] = np.nan
    return power


def _density(windows: np.ndarray) -> np.ndarray:
    """Power density of windows (4, n_rows, 800), averaged over tapers and pairs: (n_rows, 100)."""
    halves = _projections(windows.dtype.str)
    n_rows = windows.shape[1]
    half = np.empty((n_rows, HALF), windows.dtype)
    product = np.empty((n_rows, N_TAPERS * len(SPECTROGRAM_BINS)), windows.dtype)
    total = np.zeros_like(product)
    for window in windows:
        after, before = window[:, HALF:], window[:, HALF - 1 :: -1]
        for combine, (basis, waves) in zip((np.add, np.subtract), halves, strict=True):
            combine(after, before, out=half)
            np.matmul(half @ basis, waves, out=product)
            np.square(product, out=product)
            total += product
    return total.reshape(n_rows, N_TAPERS, -1).sum(axis=1)


def kaggle_spectrogram(
    eeg: np.ndarray,
    sampling_rate: float = 200.0,
    first_centre: float = 1.0,
    *,
    dtype: DTypeLike = np.float32,
    flat: str = "dark",
) -> np.ndarray:
    """Make the competition's spectrogram of an EEG.

    Zero-phase band-pass 0.5-40 Hz and notch 60 Hz over the mirrored recording, longitudinal bipolar montage, windows of
    4 s every 2 s, linear detrend, three DPSS tapers (NW = 2), FFT of 1,024, two-sided density, mean over the tapers and
    over the four pairs of each chain.

    Args:
        eeg: (n_samples, 20) or (n, n_samples, 20) floating point, µV, at least 4 s; or 24 differences as
            `hbaclib.to_differences` gives them. Missing samples are filled from the electrode's neighbours, whatever
            the reference is.
        sampling_rate: Hz, at least 100; other rates than 200 are resampled first.
        first_centre: second of the recording on which the first window is centred. A recording that starts with its
            spectrogram has 1.0; a 50-s EEG in the centre of its 600-s window 2.0 (rows 138..161 of the 300).
        dtype: precision of computation and result, float32 or float64.
        flat: "public" fills nothing but gaps of up to 3 samples, each electrode by itself; the rows whose window
            touches a longer gap are NaN in the regions that use the electrode, as in the competition's files.

    Returns:
        (n_rows, 400) or (n, n_rows, 400) power density in µV²/Hz, unrounded, columns as SPECTROGRAM_COLUMNS; row i is
        centred at ``first_centre + 2 i`` s, and there are as many rows as have their centre inside the recording. NaN
        are the rows whose window touches a gap of more than 3 samples in all five electrodes of the region.

    Raises:
        DataError: malformed EEG, a rate below 100 Hz, a recording below 4 s, a first centre outside the recording.
        ConfigError: another ``dtype``, an unknown ``flat``.

    Source: reconstructed from public EEG/spectrogram pairs; consistent with bdsp-core's Rapid_IIIC_Labeling_GUI. The
    multitaper estimate is D. J. Thomson's, 1982.
    """
    check_way(flat)
    if np.dtype(dtype) not in (np.dtype(np.float32), np.dtype(np.float64)):
        raise ConfigError(f"dtype = {dtype!r}; expected float32 or float64")
    rate = float(sampling_rate)
    if not LOWEST_RATE <= rate < np.inf:
        raise DataError(f"sampling rate {sampling_rate} Hz; expected at least {LOWEST_RATE:g} Hz")
    recordings = as_eeg(eeg, dtype=dtype, differences=True)
    duration = recordings.shape[-2] / rate
    if duration < WINDOW / EEG_RATE:
        raise DataError(
            f"recording of {duration:g} s; expected at least {WINDOW // EEG_RATE} s, the spectrogram's window"
        )
    if not 0 <= first_centre < duration:
        raise DataError(f"first_centre = {first_centre} s; expected a second inside the recording of {duration:g} s")
    n_rows = int(np.ceil((duration - first_centre) / SPECTROGRAM_STEP))
    starts = round(first_centre * EEG_RATE) - HALF + STEP * np.arange(n_rows)
    shape = (n_rows, len(REGIONS) * len(SPECTROGRAM_BINS))
    return of_each(recordings, lambda one: _one(one, rate, starts, flat).reshape(shape), shape, dtype)
