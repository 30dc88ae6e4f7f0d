"""Compare what two runs of a suite have computed, bit for bit: ``python -m tests.evidence.same_numbers RUN OTHER``.

Arrays and tables of the stages, the trained networks' weights, the ensemble and the submission count; manifests, pages
and executed notebooks, which name versions, times and code, do not.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd

NOT_COMPARED = ("manifest.json", "fit.json", "stages.json", "results.json", ".digests.json")


def content(path: Path) -> dict[str, Any]:
    """What a file holds, as name -> array or text."""
    if path.suffix == ".h5":
        found: dict[str, Any] = {}
        with h5py.File(path) as file:
            file.visititems(
                lambda name, item: found.update({name: item[()]}) if isinstance(item, h5py.Dataset) else None
            )
        return found
    if path.suffix == ".npy":
        return {"array": np.load(path, mmap_mode="r")}
    table = pd.read_parquet(path) if path.suffix == ".parquet" else pd.read_csv(path) if path.suffix == ".csv" else None
    if table is not None:
        return {name: table[name].to_numpy() for name in table}
    return {
        "text": json.dumps(json.loads(path.read_text()), sort_keys=True) if path.suffix == ".json" else path.read_text()
    }


def same(one: Any, two: Any) -> bool:
    """Whether two contents are equal, bit for bit; NaN equals NaN."""
    if isinstance(one, str) or isinstance(two, str):
        return bool(one == two)
    one, two = np.asarray(one), np.asarray(two)
    if one.dtype != two.dtype or one.shape != two.shape:
        return False
    return bool(np.array_equal(one, two)) if one.dtype == object else one.tobytes() == two.tobytes()


def compared_files(run: Path) -> Iterator[Path]:
    """Files of a run that hold numbers, relative to it."""
    for path in sorted(run.rglob("*")):
        hidden = any(part.startswith(".") for part in path.relative_to(run).parts)
        named = path.name in NOT_COMPARED or path.name.endswith(".fit.json")
        if (
            path.is_file()
            and path.suffix in {".npy", ".parquet", ".csv", ".h5", ".json", ".toml"}
            and not hidden
            and not named
        ):
            yield path.relative_to(run)


def differences(run: Path, other: Path) -> tuple[int, list[str]]:
    """Number of files that were compared, and names of those that differ or that one run lacks."""
    names = sorted({*compared_files(run), *compared_files(other)})
    differing = []
    for name in names:
        if not (run / name).is_file() or not (other / name).is_file():
            differing.append(f"{name}: in one run alone")
            continue
        one, two = content(run / name), content(other / name)
        wrong = [key for key in {*one, *two} if key not in one or key not in two or not same(one[key], two[key])]
        if wrong:
            differing.append(f"{name}: {', '.join(sorted(wrong)[:4])}")
    return len(names), differing


if __name__ == "__main__":
    count, differing = differences(Path(sys.argv[1]), Path(sys.argv[2]))
    print(f"{count} files compared, {len(differing)} differ")
    print("\n".join(differing))
    sys.exit(bool(differing))
