"""One page of a whole recording: it opens from disk, asks nobody for anything, and runs no script but its own."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from importlib.resources import files
from pathlib import Path
from typing import Any, Final

import jinja2
import numpy as np

from hbaclib.conventions import CLASS_COLOURS, CLASSES, REGIONS
from hbaclib.timeline import page_data
from hbaclib.timeline.bins import NOT_EVALUATED, Bin
from hbaclib.timeline.page_data import Signals
from hbaclib.timeline.segments import DOUBTFUL, STATES, Segment, hourly_burden, status_criterion

MARK: Final = '<meta name="generator" content="hbac timeline">'
"""How a page of ours is told from another file."""
_HEAD = 4096


@dataclass(frozen=True)
class Facts:
    """What the head of the page says.

    Attributes:
        name: of the recording.
        seconds: its length.
        begun: date and time of its first sample.
        montage: what its channels are differences of, in words.
        model: what predicted.
        notes: what a reader must know: of the recording, of calibration and prior.
        doubt: on what doubt and sets were calibrated, or why there are none.
        doubt_limit: doubt above which a bin is doubtful; None where there is none.
    """

    name: str
    seconds: float
    begun: datetime | None
    montage: str
    model: str
    notes: tuple[str, ...]
    doubt: str = ""
    doubt_limit: float | None = None


def render_page(
    facts: Facts, bins: Sequence[Bin], states: Sequence[str], segments: Sequence[Segment], signals: Signals
) -> str:
    """Fill the page.

    Args:
        facts: for its head.
        bins: of the recording.
        states: of the bins, each one of STATES.
        segments: of the recording.
        signals: what is drawn of it.

    Returns:
        HTML.
    """
    script = _source("page.js")
    data = {**_constants(), **_of_bins(bins, states), **_of_signals(signals), "seconds": facts.seconds,
            "limit": facts.doubt_limit, "begun": "" if facts.begun is None else facts.begun.isoformat(),
            "segments": [[each.onset, each.duration, STATES.index(each.state)] for each in segments]}  # fmt: skip
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("hbaclib.timeline", ""),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    evaluated = sum(each.stop - each.start for each, state in zip(bins, states, strict=True) if state != NOT_EVALUATED)
    return environment.get_template("page.html").render(
        mark=jinja2.utils.markupsafe.Markup(MARK),
        digest=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
        script=jinja2.utils.markupsafe.Markup(script),
        style=jinja2.utils.markupsafe.Markup(_source("page.css")),
        # Within a script element nothing but its end tag is read.
        data=jinja2.utils.markupsafe.Markup(json.dumps(data, separators=(",", ":")).replace("<", "\\u003c")),
        facts=facts,
        length=clock_of(facts.seconds),
        evaluated=clock_of(evaluated),
        hours=hourly_burden(segments),
        status=[(clock_of(begin), clock_of(end)) for begin, end in status_criterion(segments)],
        segments=[(clock_of(each.onset), clock_of(each.duration), each) for each in segments],
        classes=CLASSES,
        colours=CLASS_COLOURS,
        doubtful=DOUBTFUL,
        whole=len(signals.details) == 1 and signals.details[0][0] == 0
        and signals.details[0][1].shape[1] >= (facts.seconds - 1) * page_data.DETAIL_RATE,
    )  # fmt: skip


def is_page(path: str | Path) -> bool:
    """Whether a file is a page that hbac wrote."""
    try:
        with open(path, "rb") as file:
            return MARK.encode() in file.read(_HEAD)
    except OSError:
        return False


def clock_of(seconds: float) -> str:
    """``h:mm:ss`` of a time or a duration."""
    whole = round(seconds)
    return f"{whole // 3600}:{whole // 60 % 60:02d}:{whole % 60:02d}"


def _source(name: str) -> str:
    return (files("hbaclib.timeline") / name).read_text(encoding="utf-8")


def _packed(values: np.ndarray) -> str:
    return base64.b64encode(np.ascontiguousarray(values).astype(values.dtype.newbyteorder("<")).tobytes()).decode()


def _constants() -> dict[str, Any]:
    return {
        "states": list(STATES),
        "classes": list(CLASSES),
        "colours": list(CLASS_COLOURS.values()),
        "regions": list(REGIONS),
        "channels": [f"{first}–{second}" for first, second in page_data.CHANNELS],
        "nothing": page_data.NOTHING,
        "envelopeNothing": page_data.ENVELOPE_NOTHING,
        "knee": page_data.ENVELOPE_KNEE,
        "top": page_data.ENVELOPE_TOP,
        "rate": page_data.DETAIL_RATE,
        "step": page_data.DETAIL_STEP,
        "power": list(page_data.POWER_RANGE),
        "rows": page_data.ROWS,
    }


def _of_bins(bins: Sequence[Bin], states: Sequence[str]) -> Mapping[str, Any]:
    shares = np.stack([each.shares for each in bins]) if bins else np.zeros((0, len(CLASSES)))
    quality, doubt = (np.array([getattr(each, name) for each in bins], np.float64) for name in ("quality", "doubt"))
    return {
        "bins": [[each.start, each.stop] for each in bins[:1]] + [[bins[-1].start, bins[-1].stop]] if bins else [],
        "shares": _packed(_as_bytes(shares)),
        "binStates": _packed(np.array([STATES.index(state) for state in states], np.uint8)),
        "quality": _packed(_as_bytes(quality)),
        "doubt": _packed(_as_bytes(doubt)),
        # A bit for each class, the first one the lowest.
        "sets": _packed(np.array([sum(1 << CLASSES.index(name) for name in each.classes) for each in bins], np.uint8)),
    }


def _as_bytes(parts: np.ndarray) -> np.ndarray:
    """Parts of one in 254 steps; what is no number is `NOTHING`."""
    return np.nan_to_num(np.round(254 * parts), nan=page_data.NOTHING).astype(np.uint8)


def _of_signals(signals: Signals) -> Mapping[str, Any]:
    return {
        "envelope": _packed(signals.envelope),
        "spectrogram": _packed(signals.spectrogram),
        "columnSeconds": signals.column_seconds,
        "details": [[start, values.shape[1], _packed(values)] for start, values in signals.details],
    }
