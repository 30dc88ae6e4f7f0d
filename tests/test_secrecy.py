"""No credential in a message, and nothing cut from messages that hold none."""

from __future__ import annotations

import pytest

from hbaclib.errors import ConfigError, HbacError
from hbaclib.secrecy import hide, remember


@pytest.mark.parametrize(
    "text",
    [
        "see https://www.kaggle.com/settings/api, then try again",
        "which is it? a = b or c",
        "what?=",
        "--key batch=16,32; expected KEY=VALUES",
        "https://github.com/qubvel/efficientnet/releases/download/v0.0.1/",
        "a.parquet: column time, expected Fp1; basic understanding, bearer of news",
        "mail someone@example.com, folder C:/data/x",
    ],
)
def test_what_holds_no_credential_stays(text: str) -> None:
    assert hide(text) == text


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("https://h/a?token=secret.", "https://h/a?..."),
        ("https://h/a#access_token=secret next", "https://h/a?... next"),
        ("(https://h/a?x=1)", "(https://h/a?...)"),
        ("s3://u:secret@h/a", "s3://***@h/a"),
        ('"https:\\/\\/h\\/a?b=1\\u0026X-Amz-Signature=secret"', '"https:\\/\\/h\\/a?..."'),
        ("url: /a/b?c=secret (Caused", "url: /a/b?... (Caused"),
        ("X-Goog-Signature=secret, more", "X-Goog-Signature=***, more"),
    ],
)
def test_addresses_are_cut(text: str, shown: str) -> None:
    assert hide(text) == shown


def test_every_error_of_ours_is_clean(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KAGGLE_KEY", "0123456789-the-key")
    assert str(HbacError("key 0123456789-the-key")) == "key ***"
    assert str(ConfigError("https://h/a?b=c")) == "https://h/a?..."
    remember("", None, "short")
    assert hide("short") == "short"
