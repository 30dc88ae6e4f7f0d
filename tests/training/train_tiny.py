"""Trains the tiny network in a process of its own, slowly if asked to, so that a test can kill it; notes its epochs."""

import os
import sys
import time
from pathlib import Path

import numpy as np

from hbaclib.training import trainer
from hbaclib.training.cross_validate import train
from tests.training.tiny import TinyArrays, tiny_recipe


class SlowArrays(TinyArrays):
    delay = float(os.environ.get("TINY_DELAY") or 0)

    def gather(self, rows, inputs="both", dtype=np.float32):
        time.sleep(self.delay)
        return super().gather(rows, inputs, dtype)


def note_epochs(path):
    """Append a line "stage epoch" to a file whenever an epoch's training batches are made."""
    batches = trainer.training_batches

    def noted(inputs, order, targets, weights, recipe, key, shapes):
        if len(key) == 4:  # those that estimate batch-norm statistics have a longer one
            with path.open("a") as file:
                print(*key[2:], file=file)
        return batches(inputs, order, targets, weights, recipe, key, shapes)

    trainer.training_batches = noted


if __name__ == "__main__":
    note_epochs(Path(sys.argv[1]) / "epochs.txt")
    train(tiny_recipe(), SlowArrays(), sys.argv[1], folds=[0], progress=False)
