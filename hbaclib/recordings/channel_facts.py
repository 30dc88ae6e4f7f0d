"""What is to be said of a file's channels: which can be used, in which unit, and what a reader should know of them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from hbaclib.errors import DataFileError, list_some
from hbaclib.recordings.columns import shown
from hbaclib.recordings.derivation import Derivation, Edge
from hbaclib.recordings.labels import EKG, Label
from hbaclib.recordings.resampling import HIGHEST_RATE, LOWEST_RATE
from hbaclib.recordings.source import Channel, Source
from hbaclib.recordings.units import MICROVOLTS, unit_named

SLOWEST_HIGH_PASS, FASTEST_LOW_PASS = 1.0, 20.0
"""Hz: filters beyond these leave out what the networks look at."""
_FILTER = re.compile(r"\b(?P<kind>HP|LP)\s*:?\s*(?P<number>\d+(?:[.,]\d+)?)\s*(?P<unit>k?Hz)?", re.IGNORECASE)


def sound_channels(source: Source, labels: Sequence[Label], path: Path) -> tuple[list[Edge], list[str]]:
    """The channels of electrodes and of the EKG that can be used.

    Args:
        source: the file.
        labels: what every channel is.
        path: the file, for messages.

    Returns:
        The channels, in the file's order, and names of those that are left out for their rate.

    Raises:
        DataFileError: the header's numbers of one of them are none, or the rates of all are out of range.
    """
    edges, wrong = list[Edge](), list[Channel]()
    for number, (channel, label) in enumerate(zip(source.channels, labels, strict=True)):
        if not label.anode or channel.fault:
            continue
        if channel.refusal:
            raise DataFileError(channel.refusal)
        if LOWEST_RATE <= channel.rate <= HIGHEST_RATE:
            edges.append(Edge(number, label.anode, label.cathode))
        else:
            wrong.append(channel)
    if wrong and not any(edge.anode != EKG for edge in edges):
        raise DataFileError(
            f"{path}: rate of {shown(wrong[0].label)}: found {wrong[0].rate:g} Hz; expected {LOWEST_RATE:g} to "
            f"{HIGHEST_RATE:,.0f} Hz"
        )
    return edges, [f"{shown(channel.label)} ({channel.rate:g} Hz)" for channel in wrong]


def channel_units(
    source: Source, edges: Iterable[Edge], given: str | None
) -> tuple[dict[int, float], dict[str, str], list[str]]:
    """The unit of every channel that is used.

    Args:
        source: the file.
        edges: the channels.
        given: the unit that the user says, of the channels of electrodes.

    Returns:
        Number of the channel -> µV in one of its units; its name -> its unit; notes.
    """
    factors, units = dict[int, float](), dict[str, str]()
    assumed, capital, overruled = dict[str, list[str]](), list[str](), list[str]()
    for edge in edges:
        channel = source.channels[edge.channel]
        name, text = shown(channel.label), channel.unit.strip()
        unit = unit_named(text)
        if given is not None and edge.anode != EKG:
            if unit not in (None, given):
                overruled.append(name)
            unit = given
        elif unit is None:
            assumed.setdefault(shown(text), []).append(name)
        elif text == "MV":
            capital.append(name)
        units[name] = unit or "µV"
        factors[edge.channel] = MICROVOLTS[units[name]]
    notes = [f"unit {text!r} of {list_some(names, 4)} is none of {', '.join(MICROVOLTS)}; taken as µV"
             for text, names in assumed.items()]  # fmt: skip
    if capital:
        notes.append(f"unit 'MV' of {list_some(capital, 4)} taken as mV")
    if overruled:
        notes.append(f"--unit {given} in the place of what the file says of {list_some(overruled, 4)}")
    return factors, units, notes


def channel_notes(source: Source, labels: Sequence[Label], found: Derivation, slow: Sequence[str]) -> list[str]:
    """What a reader should know of the channels."""
    notes = list[str]()
    named = list(zip(source.channels, labels, strict=True))
    out = [shown(channel.label) for channel, label in named if not label.anode and channel.fault != "annotations"]
    if out:
        notes.append(f"channels left out: {list_some(out, 24)}")
    if slow:
        notes.append(f"channels left out for their rate: {list_some(slow)}")
    if found.unused:
        repeated = [shown(source.channels[number].label) for number in found.unused]
        notes.append(f"channels that repeat another one, left out: {list_some(repeated)}")
    if words := list(dict.fromkeys(label.cathode.strip("()") for _, label in named if label.anode and not label.known)):
        notes.append(f"unknown words for a reference, each taken as one of its own: {list_some(map(shown, words))}")
    notes += _filters([channel for channel, label in named if label.anode and label.anode != EKG])
    if found.filled:
        notes.append(f"electrodes missing and filled from their neighbours: {', '.join(found.filled)}")
    if found.neutral:
        left = 4 - len(found.neutral)
        notes.append(f"regions that stay empty: {', '.join(found.neutral)} ({left} of 4 regions)")
    return notes


def _filters(channels: Iterable[Channel]) -> list[str]:
    notes = []
    edges: dict[str, dict[float, list[str]]] = {"HP": {}, "LP": {}}
    for channel in channels:
        for match in _FILTER.finditer(channel.prefilter):
            value = float(match["number"].replace(",", ".")) * (
                1000 if (match["unit"] or "")[:1] in "kK" and match["unit"] else 1
            )
            edges[match["kind"].upper()].setdefault(value, []).append(shown(channel.label))
    for value, names in edges["HP"].items():
        if value > SLOWEST_HIGH_PASS:
            notes.append(f"slow activity is missing: high pass at {value:g} Hz in {list_some(names, 4)}")
    for value, names in edges["LP"].items():
        if 0 < value < FASTEST_LOW_PASS:
            notes.append(f"fast activity is missing: low pass at {value:g} Hz in {list_some(names, 4)}")
    return notes
