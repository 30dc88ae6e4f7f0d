"""What every report's page must be like, whatever run it is of."""

from __future__ import annotations

import base64
import io
import json
import re
from html import unescape
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from hbaclib.conventions import VOTE_TIERS

SHOWN = re.compile(r'<span data-result="([^"]*)">([^<]*)</span>')
SECTIONS = (
    *("scores", "recipes", "ensemble", "classes", "calibration"),
    *("training", "data", "hardest", "submission", "run"),
)


def look_up(results: Any, path: list[str | int]) -> Any:
    for key in path:
        results = results[key]
    return results


def check_numbers(page: str, results: dict[str, Any]) -> int:
    """Every number on the page is the one in the results, and none stands outside; how many there are."""
    shown = [(json.loads(unescape(path)), text) for path, text in SHOWN.findall(page)]
    for path, text in shown:
        value = look_up(results, path)
        if value is None:
            assert text == "–", path
            continue
        digits = len(text.partition(".")[2])
        number = float(text.replace("−", "-").replace(",", ""))
        assert abs(number - value) <= 0.5001 * 10**-digits, path
    # Cells of tables hold numbers only in this form (else: names, digests, ids of recordings, patients and folds).
    bare = re.findall(r"<td[^>]*>([^<]*\d\.\d[^<]*)</td>", page)
    names = [*results.get("training", {}), *(stage["stage"] for stage in results["stages"])]
    for name in sorted(names, key=len, reverse=True):  # a band's network is named by its edges
        bare = [cell.replace(name, "") for cell in bare]
    assert [cell for cell in bare if re.search(r"\d\.\d", cell)] == []
    return len(shown)


def check_links(page: str) -> int:
    """Every link leads to a place on the page, every picture is one and is described; the number of pictures."""
    assert not re.search(r'(src|href)="(?!data:|#)', page) and "url(" not in page
    places = set(re.findall(r'id="([^"]+)"', page))
    links = re.findall(r'href="#([^"]*)"', page)
    assert links and set(links) <= places
    pictures = re.findall(r'<img src="data:image/(png|jpeg);base64,([^"]*)" alt="([^"]+)"', page)
    assert len(pictures) == page.count("<img ")
    for form, content, name in pictures:
        with Image.open(io.BytesIO(base64.b64decode(content, validate=True))) as image:
            assert image.format is not None and image.format.lower() == form, name
            image.load()
            assert min(image.size) > 100 and len(np.unique(np.asarray(image.convert("L")))) > 2, f"{name} is empty"
    return len(pictures)


def check_whole_report(folder: Path) -> dict[str, Any]:
    """The report of a run that has come to its end: every section, nothing missing, cards beside; its results."""
    page = (folder / "report.html").read_text(encoding="utf-8")
    results: dict[str, Any] = json.loads((folder / "results.json").read_text(encoding="utf-8"))
    assert results["missing"] == []
    for words in ("has not finished", "has not made it", "There is no ensemble", "No training stage"):
        assert words not in page
    assert re.findall(r'<h2 id="([^"]+)"', page) == list(SECTIONS)
    assert check_numbers(page, results) > 200
    networks = set(results["training"])
    assert networks and networks | {"ensemble", "class mean"} <= set(results["scores"])
    recipes = results["recipes"]
    assert {folder for recipe in recipes["members"].values() for folder in recipe["folders"]} == networks
    assert {row["recipe"] for row in recipes["scores"]} == set(recipes["members"])
    alone = [name for name, recipe in recipes["members"].items() if len(recipe["seeds"]) == 1]
    assert ("One seed ranks nothing" in page) == bool(alone)
    for row in recipes["scores"]:
        assert (row["rank"] is None) == (row["recipe"] in alone or not row["n"])
    assert len(recipes["pairs"]) == len(VOTE_TIERS) * (len(recipes["members"]) - 1)
    # Curves of every network, scores, weights, confusion, reliability, folds, and three pictures of a hard recording.
    assert check_links(page) >= len(networks) + 5 + 3
    for name in networks:
        assert f'alt="curves {name}"' in page
    for name in ("hardest votes 0", "hardest montage 0", "hardest input 0"):
        assert f'alt="{name}"' in page
    for name in ("model_card.md", "data_card.md"):
        card = (folder / name).read_text(encoding="utf-8")
        assert card.startswith("# ") and "has not finished" not in card and "None: no training" not in card
    return results
