"""Trains the tiny network in a process of its own, slowly if asked to, so that a test can kill it."""

import os
import sys
import time

import numpy as np

from hbaclib.training.cross_validate import train
from tests.training.tiny import TinyArrays, tiny_recipe


class SlowArrays(TinyArrays):
    delay = float(os.environ.get("TINY_DELAY") or 0)

    def gather(self, rows, inputs="both", dtype=np.float32):
        time.sleep(self.delay)
        return super().gather(rows, inputs, dtype)


if __name__ == "__main__":
    train(tiny_recipe(), SlowArrays(), sys.argv[1], folds=[0], progress=False)
