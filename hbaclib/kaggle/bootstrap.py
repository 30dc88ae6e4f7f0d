"""The first cell of every notebook, kept here once: `cell` in `kaggle.build` returns all that follows this text."""

# Makes hbaclib importable where only an attached data set of wheels holds it (Kaggle, internet off).
import os
import subprocess
import sys
from importlib import invalidate_caches
from importlib.util import find_spec
from pathlib import Path

if not (find_spec("hbaclib") and find_spec("efficientnet")):
    inputs = Path(os.environ.get("HBAC_INPUT_ROOT", "/kaggle/input"))
    found = [*sorted(inputs.glob("datasets/*/*/hbaclib-*.whl")), *sorted(inputs.glob("*/hbaclib-*.whl"))]
    if not found:
        raise ImportError(f"hbaclib is not installed and no data set with its wheel is attached below {inputs}")
    wheels = [path for path in found[0].parent.glob("*.whl") if not find_spec(path.name.split("-")[0].lower())]
    subprocess.run([sys.executable, "-m", "pip", "install", "-q", "--no-index", "--no-deps", *wheels], check=True)
    invalidate_caches()

from hbaclib.platform import describe

print(describe())
