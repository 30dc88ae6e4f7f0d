"""Memory does not grow with an EDF or BDF file: an hour and half a day, each in a process of its own."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.recordings.edf_files import write_edf

MORE_AT_MOST = 30e6
HOURS = (1, 12)
CHILD = """
import json, sys
from hbaclib import open_recording
with open_recording(sys.argv[1]) as recording:
    for start in range(0, recording.n_samples, 120_000):
        recording.read_differences(start, min(start + 120_000, recording.n_samples))
# Not ru_maxrss, which a process inherits from the one that starts it.
lines = open("/proc/self/status").read().splitlines()
print(json.dumps([recording.seconds, next(1024 * int(line.split()[1]) for line in lines if line.startswith("VmHWM:"))]))
"""


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="the peak of a process is read from /proc")
@pytest.mark.parametrize("bits", [16, 24])
def test_memory_is_that_of_a_block(tmp_path: Path, bits: int) -> None:
    peaks = []
    for hours in HOURS:
        path = write_edf(tmp_path / "a.edf", np.zeros((256, 20), np.int32), rate=256, bits=bits, n_records=-1)
        with open(path, "r+b") as file:  # sparse: zeros that take no disk
            file.truncate(256 * 21 + hours * 3600 * 256 * 20 * bits // 8)
        done = subprocess.run([sys.executable, "-c", CHILD, str(path)], capture_output=True, text=True, timeout=600)
        assert done.returncode == 0, done.stderr
        seconds, peak = json.loads(done.stdout)
        assert seconds == 3600 * hours
        peaks.append(peak)
    assert peaks[1] - peaks[0] < MORE_AT_MOST, peaks
