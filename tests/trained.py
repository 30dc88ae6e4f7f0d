"""Tiny trained networks that many tests ask and none changes: made once a session, whatever the number of processes."""

from __future__ import annotations

import os
from pathlib import Path

from filelock import FileLock

SHORT = {"stages": [{"epochs": 1, "rates": [1e-2]}], "ema": 0.0, "augmentation": {}}
"""The shortest training."""


def make_tiny_run(folder: Path) -> Path:
    """Folders ``both`` and ``eeg`` of tiny networks in `folder`, and ``07_ensemble`` of both (.4 and .6)."""
    from hbaclib.ensemble.store import ensemble_stage  # networks take seconds to import
    from hbaclib.training.cross_validate import train
    from tests.training.tiny import TinyArrays, register_tiny, tiny_recipe

    register_tiny()  # another process may have made them
    with FileLock(f"{folder}.lock"):
        if not folder.is_dir():
            made = folder.with_name(f"{folder.name}-{os.getpid()}")
            trained = [
                train(tiny_recipe(name=kind, inputs=kind, **SHORT), TinyArrays(), made / kind, progress=False)
                for kind in ("both", "eeg")
            ]
            ensemble_stage(trained, made / "07_ensemble", weights={"both": 0.4, "eeg": 0.6})
            made.rename(folder)
    return folder
