"""Whether what a file holds can be EEG, or a spectrogram of it, at all: one verdict for recordings and windows.

Only what makes no sense as a whole is doubted. A missing electrode, a silent region, an artefact of seconds are not:
the networks are asked about these.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hbaclib.conventions import EEG_COLUMNS, EEG_RATE, SCALP_ELECTRODES
from hbaclib.signal.differences import filled_rows, is_differences
from hbaclib.signal.mel import FLAT_SHARE
from hbaclib.signal.missing import RINGS, fill_from_neighbours
from hbaclib.signal.montage import DIFFERENCES, LONGITUDINAL_PAIRS, pair_table

AMPLITUDES = (0.5, 10_000.0)
"""µV: the amplitude of the pairs of any EEG, a suppressed one and one full of artefacts. See `pair_amplitude`."""

LARGEST_VALUE = 1e6
"""µV: one volt, which no amplifier of EEG passes on."""

LEAST_SECONDS, LEAST_SHARE = 5.0, 0.1
"""A recording makes sense with more signal than so many seconds, or than this share of it where it is short."""

MOST_CLIPPED = 0.5
"""Share of the samples at their electrode's own extremes."""

POWERS = (float(np.exp(-4)), float(np.exp(8)))
"""µV²/Hz: what the networks tell apart; a spectrogram beyond them is one constant to them."""

LARGEST_POWER = LARGEST_VALUE**2
"""µV²/Hz: that of a signal of one volt."""

UNITS = {"V": 1e6, "mV": 1e3, "nV": 1e-3}
"""Units that EEG is mistaken for µV in, and µV in each."""

_NAMES = {"V": "volts", "mV": "millivolts", "nV": "nanovolts"}
_TYPICAL = 50.0
_FAR_TOO_LARGE = 1e6  # a unit that no file states
_BLOCK = 600 * EEG_RATE
_CHAINED = sorted(column for ring in RINGS for column in ring)
_SCALP = [EEG_COLUMNS.index(name) for name in SCALP_ELECTRODES]
# Zero at 50 and at 60 Hz, one at 0 Hz: mains are no amplitude of the EEG.
_MAINS_NOTCH = np.convolve([1.0, -2 * np.cos(2 * np.pi * 60 / EEG_RATE), 1.0], [1.0, 0.0, 1.0])
_MAINS_NOTCH /= _MAINS_NOTCH.sum()


def eeg_doubt(eeg: np.ndarray) -> str:
    """Say why an EEG cannot be evaluated.

    Args:
        eeg: (n_samples, 20) floating point at 200 Hz, columns as EEG_COLUMNS, taken to be µV; a window or a recording
            of any length; or 24 differences, the 16 pairs of which are judged. NaN allowed. The EKG is not looked at.

    Returns:
        "" for what can be evaluated; else one reason: no or hardly any signal, an amplitude of the pairs outside
        AMPLITUDES with the unit that would explain it, a value above LARGEST_VALUE, more than MOST_CLIPPED clipped.
    """
    return judge(eeg).doubt


@dataclass(frozen=True)
class Judgement:
    """Of one recording.

    Attributes:
        doubt: as `eeg_doubt` gives it.
        silent: (n_seconds,) whether all pairs are flat or missing in a second.
    """

    doubt: str
    silent: np.ndarray


def judge(eeg: np.ndarray) -> Judgement:
    """`eeg_doubt`, and in which seconds there is no signal."""
    found = _measure(eeg)
    return Judgement(_doubt_of(found, len(eeg) / EEG_RATE), found.silent)


def _doubt_of(found: _Measured, seconds: float) -> str:
    least = min(LEAST_SECONDS, LEAST_SHARE * seconds)
    if found.missing == 1:
        return "no signal: every sample is missing"
    if not found.live:
        return "no signal: all differences of electrodes are constant (flat)"
    if (1 - found.missing) * seconds <= least:
        return f"hardly any signal: share of missing {100 * found.missing:.0f} %"
    if found.live <= least:
        return f"hardly any signal: flat or missing in {seconds - found.live:.0f} of {seconds:.0f} s"
    if found.high < AMPLITUDES[0] or found.low > AMPLITUDES[1]:
        return _amplitude_doubt(found.amplitude)
    if found.largest > LARGEST_VALUE:
        return (
            f"{found.largest:.2g} µV in {found.place}, expected at most {LARGEST_VALUE:,.0f} µV (beyond any amplifier)"
        )
    if found.clipped > MOST_CLIPPED:
        return (
            f"clipped: {100 * found.clipped:.0f} % of the samples lie at their electrode's extremes, expected at most "
            f"{100 * MOST_CLIPPED:.0f} %"
        )
    return ""


def spectrogram_doubt(rows: np.ndarray) -> str:
    """Say why a ten-minute spectrogram cannot be evaluated.

    Args:
        rows: (n_rows, 400) power density in µV²/Hz, columns as SPECTROGRAM_COLUMNS. NaN allowed. How many rows there
            should be the caller knows.

    Returns:
        "" for what can be evaluated; else one reason: no power at all, a negative power or one above LARGEST_POWER, or
        nearly all powers (95 %) below or above POWERS.
    """
    power = np.asarray(rows)
    known = power[~np.isnan(power)]
    if not known.size:
        return "no signal: every value is missing"
    if not known.any():
        return "no signal: every value is 0"
    if (least := float(known.min())) < 0:
        return f"power of {least:.2g} µV²/Hz, expected none below 0"
    if (most := float(known.max())) > LARGEST_POWER:
        return f"power of {most:.2g} µV²/Hz, expected at most {LARGEST_POWER:.0e} (beyond any amplifier)"
    low, high = np.quantile(known, [0.05, 0.95])
    if high <= POWERS[0] or low >= POWERS[1]:
        found, side = (high, "below") if high <= POWERS[0] else (low, "above")
        return (
            f"95 % of the powers are {side} {found:.2g} µV²/Hz, expected more within {POWERS[0]:.2g} to "
            f"{POWERS[1]:,.0f} µV²/Hz (another unit?)"
        )
    return ""


def pair_amplitude(eeg: np.ndarray) -> float:
    """Amplitude by which `eeg_doubt` judges: the range within a second of a pair, without mains.

    Args:
        eeg: as for `eeg_doubt`.

    Returns:
        Median over the seconds and then over the 16 longitudinal pairs that are not flat; NaN where all are.
    """
    return _measure(eeg).amplitude


def likely_unit(amplitude: float) -> str:
    """Unit that explains an amplitude of the pairs which was read as µV: a key of UNITS, "" where none does."""
    if AMPLITUDES[0] <= amplitude <= AMPLITUDES[1] or not 0 < amplitude < np.inf:
        return ""
    fitting = [unit for unit, factor in UNITS.items() if AMPLITUDES[0] <= amplitude * factor <= AMPLITUDES[1]]
    return min(fitting, key=lambda unit: abs(np.log(amplitude * UNITS[unit] / _TYPICAL)), default="")


def _amplitude_doubt(amplitude: float) -> str:
    hint = ""
    if unit := likely_unit(amplitude):
        hint = f"; the values look like {_NAMES[unit]}: convert them to µV (hbac predict: --unit {unit})"
    elif AMPLITUDES[0] <= amplitude / _FAR_TOO_LARGE <= AMPLITUDES[1]:
        hint = f"; the values look {_FAR_TOO_LARGE:,.0f} times too large: divide them by it"
    return f"amplitude of the pairs {amplitude:.2g} µV, expected {AMPLITUDES[0]:g} to {AMPLITUDES[1]:,.0f} µV{hint}"


@dataclass(frozen=True)
class _Measured:
    """What the verdict on an EEG is made of.

    Attributes:
        missing: share of NaN among the samples of the chains' electrodes.
        silent: (n_seconds,) whether all pairs are flat or missing.
        live: seconds in which one is not.
        amplitude: median over the pairs of their amplitude, NaN where all are flat.
        low: their lower quartile.
        high: their upper quartile.
        largest: greatest absolute value on the scalp.
        place: where it is.
        clipped: share of samples at the extremes of their electrode, of those that are not flat.
    """

    missing: float
    silent: np.ndarray
    live: float
    amplitude: float
    low: float
    high: float
    largest: float
    place: str
    clipped: float


# Whatever numbers a file holds, the verdict is words and not a warning of NumPy's.
@np.errstate(all="ignore")
def _measure(eeg: np.ndarray) -> _Measured:
    chained = eeg[:, : len(LONGITUDINAL_PAIRS)] if is_differences(eeg) else eeg[:, _CHAINED]
    missing = float(np.isnan(chained).mean()) if chained.size else 1.0
    if missing == 1:
        return _Measured(missing, np.ones(len(eeg) // EEG_RATE, bool), 0.0, np.nan, np.nan, np.nan, 0.0, "", 0.0)
    ranges = np.concatenate(
        [second_ranges(eeg[begin : begin + _BLOCK]) for begin in range(0, len(eeg), _BLOCK)], axis=1
    )
    flat = np.isnan(ranges)
    of_pair = np.array([np.median(row[~hole]) for row, hole in zip(ranges, flat, strict=True) if not hole.all()])
    low, amplitude, high = np.quantile(of_pair, [0.25, 0.5, 0.75]) if of_pair.size else [np.nan] * 3
    scalp = np.abs(chained if is_differences(eeg) else eeg[:, _SCALP])
    sample, column = divmod(int(np.nanargmax(scalp)), scalp.shape[1])
    names = ["-".join(pair) for pair in DIFFERENCES] if is_differences(eeg) else SCALP_ELECTRODES
    return _Measured(
        missing=missing,
        silent=flat.all(axis=0),
        live=float((~flat).any(axis=0).sum()) * min(1.0, len(eeg) / EEG_RATE),
        amplitude=float(amplitude),
        low=float(low),
        high=float(high),
        largest=float(scalp[sample, column]),
        place=f"{names[column]} at sample {sample}",
        clipped=_clipped_share(chained),
    )


def second_ranges(eeg: np.ndarray) -> np.ndarray:
    """Range of the 16 pairs within each second, µV, mains taken out.

    What is missing in part is filled from its neighbours, so that a pair shows as much as the networks see of it.

    Args:
        eeg: as for `eeg_doubt`.

    Returns:
        (16, n_seconds), NaN where a pair is flat or missing; one second of an EEG that is shorter.
    """
    length = min(EEG_RATE, len(eeg))
    n_seconds = len(eeg) // length
    first, second = pair_table(LONGITUDINAL_PAIRS)
    of_differences = is_differences(eeg)
    filled = filled_rows(eeg, LONGITUDINAL_PAIRS) if of_differences else fill_from_neighbours(eeg).T
    signals = np.ascontiguousarray(filled, np.float64)[:, : n_seconds * length]
    # By seconds, so that one absurd sample makes no more than its second flat.
    peak = np.abs(signals).reshape(len(signals), n_seconds, length).max(axis=-1)
    missing = np.isnan(eeg[: n_seconds * length]).T.reshape(eeg.shape[1], n_seconds, length).all(axis=-1)
    ranges = np.empty((len(LONGITUDINAL_PAIRS), n_seconds))
    for number, ends in enumerate(zip(first, second, strict=True)):
        if of_differences:
            pair, level, absent = signals[number], peak.max(axis=0), missing[number]
        else:
            pair = signals[ends[0]] - signals[ends[1]]
            level, absent = peak[list(ends)].max(axis=0), missing[list(ends)].all(axis=0)
        clean = np.convolve(np.pad(pair, 2, mode="edge"), _MAINS_NOTCH, "valid")
        spans = [np.ptp(rows.reshape(n_seconds, length), axis=-1) for rows in (pair, clean)]
        ranges[number] = np.where((spans[0] <= FLAT_SHARE * level) | absent, np.nan, spans[1])
    return ranges


def without_mains(signals: np.ndarray) -> np.ndarray:
    """Signals (n_samples, n) at 200 Hz without 50 and 60 Hz; beyond its ends a signal goes on as it is there."""
    padded = np.pad(signals, ((2, 2), (0, 0)), mode="edge")
    return np.sum([tap * padded[k : k + len(signals)] for k, tap in enumerate(_MAINS_NOTCH)], axis=0)


def _clipped_share(electrodes: np.ndarray) -> float:
    at_extremes = known = 0
    for values in electrodes.T:
        values = values[~np.isnan(values)]
        if len(values) and (top := values.max()) > (bottom := values.min()):
            at_extremes += int(np.count_nonzero((values == top) | (values == bottom)))
            known += len(values)
    return at_extremes / known if known else 0.0
