"""Runs one measurement: ``python -m hbaclib.selftest.child MEASURE OPTIONS FOLDER``, which leaves ``result.json``.

What goes wrong is the last line of the error stream, in one sentence, and exit code 1.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

from hbaclib.artefacts import write_json


def main(measure: str, options: str, folder: str) -> None:
    """Run a measurement of `hbaclib.selftest.measures`.

    Args:
        measure: its name.
        options: its options, as JSON.
        folder: gets ``result.json``.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    from hbaclib.selftest.measures import MEASURES

    write_json(Path(folder) / "result.json", MEASURES[measure](json.loads(options), Path(folder)))


if __name__ == "__main__":
    try:
        main(*sys.argv[1:])
    except Exception as error:
        sys.stderr.write(f"\n{type(error).__name__}: {' '.join(str(error).split()) or 'no reason told'}\n")
        sys.exit(1)
