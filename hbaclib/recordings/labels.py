"""What the name of a channel says: which electrode, against what.

The grammar is ``[type] electrode [separator reference]``. Electrodes and references are names of nodes: electrodes as
in EEG_COLUMNS (T7 is T3), 10-10 names beside them, and references that are no electrode in parentheses, as ``(REF)``.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache

from hbaclib.conventions import EEG_COLUMNS, SCALP_ELECTRODES

EKG = EEG_COLUMNS[-1]
EKG_NAMES = ("ekg", "ecg", "ekg1", "ecg1")
"""What the EKG is called where a name stands alone, in small letters."""
UNNAMED = "(unnamed)"
"""The reference of channels that name none."""

SYNONYMS = {"t7": "T3", "t8": "T4", "p7": "T5", "p8": "T6", "m1": "A1", "m2": "A2"}
"""Other names of electrodes, in small letters."""

_TEN_TEN = """
    Nz Fpz AFz AF1 AF2 AF3 AF4 AF5 AF6 AF7 AF8 AF9 AF10 F1 F2 F5 F6 F9 F10 FCz FC1 FC2 FC3 FC4 FC5 FC6 FT7 FT8 FT9 FT10
    C1 C2 C5 C6 T1 T2 T9 T10 CPz CP1 CP2 CP3 CP4 CP5 CP6 TP7 TP8 TP9 TP10 P1 P2 P5 P6 P9 P10 POz PO1 PO2 PO3 PO4 PO5 PO6
    PO7 PO8 PO9 PO10 Oz O9 O10 Iz I1 I2 A1 A2 Pg1 Pg2 Sp1 Sp2
"""
ELECTRODES: dict[str, str] = {
    **{name.casefold(): name for name in (*SCALP_ELECTRODES, *_TEN_TEN.split())},
    **SYNONYMS,
}
"""Name in small letters -> electrode."""

_WORDS = {
    "(REF)": "ref reference",
    "(AVG)": "avg av ave average car ar",
    "(LE)": "le a1a2 a1+a2 a12 a1/a2 m1m2 m1+m2 m12 m1/m2 a2a1 a2+a1 a2/a1 linkedears linkedear lm aa",
    "(COM)": "com",
    "(ORG)": "org",
    "(G1)": "g1",
    "(G2)": "g2",
    "(0V)": "0v",
    "(CS2)": "cs2",
}
REFERENCES = {word: node for node, words in _WORDS.items() for word in words.split()}
"""Word for a reference that is no electrode, in small letters and without blanks -> its node."""

_BLANKS = re.compile(r"[\s_-]+")
_TYPE = re.compile(r"(?:eeg|pol)[\s_.:\-]*", re.IGNORECASE)
_EKG = re.compile(
    r"(?P<part>(?:ekg|ecg)[\s_]*(?:\d{0,2}|[lr]|i{1,3}|v[1-6]|[+-])|ek[\s_]*(?:\d|[lr]|i{1,3}|v[1-6])?)"
    r"(?:[\s_]*[-–—:/][\s_]*(?P<reference>.*)|[\s_:.].*)?",
    re.IGNORECASE,
)
_NAMES = "|".join(sorted(map(re.escape, ELECTRODES), key=len, reverse=True))
_PAIR = re.compile(rf"(?P<electrode>{_NAMES})(?:\s*[-–—:/]\s*(?P<reference>\S.*))?", re.IGNORECASE)
_LOOSE = re.compile(rf"(?P<electrode>{_NAMES})[\s_.]+(?P<reference>\S.*)", re.IGNORECASE)
_NUMBERED = re.compile(r"(.+)-\d", re.DOTALL)
_CAP = re.compile(r"[AB](?:[1-9]|[12]\d|3[0-2])", re.IGNORECASE)
_POSITION, _CONTACT = re.compile(r"[A-H]\d+", re.IGNORECASE), re.compile(r"([A-Z])'?(\d{1,2})", re.IGNORECASE)
_TWO_LETTERS = re.compile(r"(?:af|fc|ft|cp|tp|po)\d{1,2}", re.IGNORECASE)
_RUN = 9
_MOST_SPARE = 8
"""Different positions of a cap beside the ears that may be spare inputs, as A3 or B1; a cap has A1 to A16 at least."""
_MOST_TEN_TEN = 10
"""The 10-10 system has F1 to F10 and P1 to P10."""


@dataclass(frozen=True)
class Label:
    """What a name says.

    Attributes:
        anode: the electrode, EKG, or "" where it says none.
        cathode: what it is recorded against: an electrode, or a reference in parentheses.
        known: whether the word for the reference is known.
    """

    anode: str
    cathode: str = UNNAMED
    known: bool = True


NONE = Label("")
"""Of a name that says no electrode."""


def read_label(name: str) -> Label:
    """What the name of a channel says by itself; `read_labels` also sees the others.

    Args:
        name: as ``EEG Fp1-REF``, ``T7-P7``, ``fp1.``, ``EKG1``; type, case, blanks, trailing dots do not matter.
    """
    text = _bare(name)
    if ekg := _EKG.fullmatch(text):
        return Label(EKG, _reference(ekg["reference"] or "")[0])
    pair = _PAIR.fullmatch(text)
    if pair is None:
        # A blank or a line may stand before a word for a reference alone: Fp1_ref, Fp1 LE.
        pair = _LOOSE.fullmatch(text)
        if pair is None or _plain(pair["reference"]) not in REFERENCES:
            return NONE
    anode = ELECTRODES[pair["electrode"].casefold()]
    cathode, known = _reference(pair["reference"] or "")
    return NONE if cathode == anode else Label(anode, cathode, known)


def read_labels(names: Sequence[str]) -> list[Label]:
    """What the names of all channels say.

    Where they are positions of a cap (more than eight of A3 to A32 and B1 to B32, as BioSemi has them) or contacts of
    depth electrodes (more than eight of one letter in a row), a letter with a number is no electrode.
    """
    trap = _trap([_first_part(name) for name in names])
    labels = []
    for name in names:
        parts = [_first_part(name), *re.split(r"\s*[-–—:/]\s*", _bare(name))]
        labels.append(NONE if trap and any(trap.fullmatch(part) for part in parts) else read_label(name))
    return labels


def electrode_node(name: str) -> str | None:
    """The electrode that a name alone says (``t7`` is T3, ``ECG`` is EKG), None for other words."""
    text = name.strip().casefold()
    return ELECTRODES.get(text) or (EKG if text in EKG_NAMES else None)


def reference_node(name: str) -> str:
    """The node of a reference that somebody names: an electrode, a known word or a word of its own; "" is UNNAMED."""
    return _reference(name)[0]


def _reference(text: str) -> tuple[str, bool]:
    text = _bare(text)
    if numbered := _NUMBERED.fullmatch(text):
        # Whoever writes two channels of one name may number them: T8-P8-0, T8-P8-1.
        text = numbered[1].strip()
    plain = _plain(text)
    if not plain or (len(plain) == 1 and plain.isdigit()):
        return UNNAMED, True
    if plain in ELECTRODES:
        return ELECTRODES[plain], True
    return REFERENCES.get(plain) or f"({text})", plain in REFERENCES


def _plain(text: str) -> str:
    return _BLANKS.sub("", text).casefold()


@cache
def _bare(name: str) -> str:
    """A name without type, NUL, blanks around, and dots and lines at its end."""
    text = name.replace("\0", " ").strip().rstrip("._ \t")
    kind = _TYPE.match(text)
    return text[kind.end() :].strip() if kind else text


def _first_part(name: str) -> str:
    return re.split(r"[\s\-–—:/]", _bare(name), maxsplit=1)[0]


def _trap(parts: Iterable[str]) -> re.Pattern[str] | None:
    """The form of names that are no electrodes though they look so; None where the names set no trap."""
    parts = list(parts)
    # A1 and A2 are the ears.
    positions = {part.casefold() for part in parts if _CAP.fullmatch(part)} - {"a1", "a2"}
    if len(positions) > _MOST_SPARE:
        return _POSITION
    contacts: dict[str, set[int]] = {}
    for part in parts:
        if contact := _CONTACT.fullmatch(part):
            contacts.setdefault(contact[1].casefold(), set()).add(int(contact[2]))
    ten_ten = any(_TWO_LETTERS.fullmatch(part) for part in parts)
    long = [
        letter
        for letter, numbers in contacts.items()
        if next(k for k in range(1, 101) if k not in numbers)
        > (_MOST_TEN_TEN + 1 if ten_ten and letter in "fp" else _RUN)
    ]
    # Spare inputs of an amplifier are X1 to X32; depth electrodes come in several letters, or in one of the scalp's.
    depth = [letter for letter in long if letter != "x"]
    return _CONTACT if len(depth) > 1 or any(letter in "fcpto" for letter in depth) else None
