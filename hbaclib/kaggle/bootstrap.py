"""The first cell of every notebook, kept here once: `cell` in `suite.build` returns all that follows this text."""

# Makes hbaclib importable where only an attached data set of wheels holds it (Kaggle, internet off).
import importlib
import importlib.util
import os
import subprocess
import sys
from pathlib import Path

if not all(importlib.util.find_spec(name) for name in ("hbaclib", "efficientnet")):
    inputs = Path(os.environ.get("HBAC_INPUT_ROOT", "/kaggle/input"))
    found = [path for pattern in ("datasets/*/*", "*") for path in sorted(inputs.glob(f"{pattern}/hbaclib-*.whl"))]
    if not found:
        raise ImportError(f"hbaclib is not installed and no data set with its wheel is attached below {inputs}")
    wheels = [
        path for path in found[0].parent.glob("*.whl") if not importlib.util.find_spec(path.name.split("-")[0].lower())
    ]
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-index", "--no-deps"]
    subprocess.run([*pip, *map(str, wheels)], check=True)
    importlib.invalidate_caches()

from hbaclib.platform import describe

print(describe())
