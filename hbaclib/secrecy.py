"""Keeps credentials out of every message: queries of signed addresses, passwords in them, the user's own keys.

Whoever holds the address of a download with its query may download; so of an address a message says no more than the
server and the path.
"""

from __future__ import annotations

import base64
import os
import re
from functools import cache

HIDDEN = "***"
VARIABLES = ("KAGGLE_KEY", "KAGGLE_API_TOKEN")
"""Environment variables that hold a key."""
_SHORTEST = 6
"""A shorter word is no key, and hiding it would make a riddle of every sentence."""
_STOP = r"\s\"'<>`"
_QUERY = re.compile(
    rf"(?:\?|%(?:25){{0,5}}3f|\\u003f)(?=[\w.\[\]%~-]+(?:=|%(?:25){{0,5}}3d|\\u003d))(?:[^{_STOP})]|\)(?=[^{_STOP})]))+",
    re.IGNORECASE,
)
"""From the question mark on, plain, percent-encoded or as JSON writes it, where a name and a value follow."""
_ADDRESS = re.compile(
    rf"(\b[a-z][a-z0-9+.-]{{0,20}}://[^{_STOP}?#]*)([?#](?:[^{_STOP})]|\)(?=[^{_STOP})]))*)?", re.IGNORECASE
)
"""An address, with what follows its path where something does: it matches either way, so that none is read twice."""
_USER = re.compile(
    rf"(\b[a-z][a-z0-9+.-]{{0,20}}:(?:/|\\/|%2f){{2}})[^{_STOP}/\\?#]*(?:@|%(?:25){{0,5}}40)", re.IGNORECASE
)
_HEADER = re.compile(
    rf"(\b(?:proxy-)?authorization\b[\"']?\s*[:=,]\s*[\"']?(?:[a-z]+\s+)?)[^{_STOP},;]{{6,}}", re.IGNORECASE
)
_SIGNATURE = re.compile(
    rf"(\b(?:x-(?:goog|amz)-[a-z-]+|access_token|refresh_token|id_token|api_?key|kaggle_key|kaggle_api_token)[\"']?\s*"
    rf"(?:=|:|%3d|\\u003d)\s*[\"']?)[^{_STOP}&,;)]+",
    re.IGNORECASE,
)
_known: dict[str, None] = {}


def remember(*secrets: str | None) -> None:
    """Hide these words from now on."""
    _known.update(dict.fromkeys(secret for secret in secrets if secret and len(secret) >= _SHORTEST))


def hide(text: str) -> str:
    """A text without the queries and passwords of addresses, and without any key of the user, in whatever coding."""
    for secret in dict.fromkeys([*_known, *(os.environ.get(name, "") for name in VARIABLES)]):
        if len(secret) >= _SHORTEST:
            text = _pattern(secret).sub(HIDDEN, text)
    text = _USER.sub(rf"\1{HIDDEN}@", text)
    text = _ADDRESS.sub(lambda found: found[1] + ("?..." if found[2] else ""), text)
    text = _QUERY.sub("?...", text)
    text = _HEADER.sub(rf"\1{HIDDEN}", text)
    return _SIGNATURE.sub(rf"\1{HIDDEN}", text)


@cache
def _pattern(secret: str) -> re.Pattern[str]:
    """Matches a key: as it is, percent-encoded or escaped in JSON or HTML, each letter or some; in base64; in hex."""
    data = secret.encode("utf-8", "surrogateescape")
    letters = "".join(_letter(letter) for letter in secret)
    codings = [data.hex()]
    for before in range(3):  # where the key begins within three bytes decides how it is written
        lead, rest = -(-before * 4 // 3), (before + len(data)) % 3
        for coded in (base64.b64encode(b"\0" * before + data), base64.urlsafe_b64encode(b"\0" * before + data)):
            # The last letters hang on what follows the key.
            end = coded.decode().rstrip("=")
            codings.append(re.escape(end[lead : len(end) - bool(rest)]) + r"[\w+/-]?={0,2}")
    return re.compile("|".join([letters, *dict.fromkeys(codings)]), re.IGNORECASE)


def _letter(letter: str) -> str:
    number = ord(letter)
    percent = "".join(f"%(?:25){{0,5}}{byte:02x}" for byte in letter.encode("utf-8", "surrogateescape"))
    forms = [rf"\\{{0,9}}{re.escape(letter)}", percent, rf"&#x?0*(?:{number}|{number:x});"]
    forms += [rf"\\{{1,9}}u{number:04x}"] if number < 0x10000 else []
    forms += [rf"\\{{1,9}}x{number:02x}"] if number < 0x100 else []
    if letter in "&<>\"'":
        forms += {"&": ["&amp;"], "<": ["&lt;"], ">": ["&gt;"], '"': ["&quot;"], "'": ["&apos;"]}[letter]
    if letter == " ":
        forms.append(r"\+")
    return f"(?:{'|'.join(forms)})"
