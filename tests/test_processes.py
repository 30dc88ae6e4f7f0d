"""The error stream: remarks of libraries are dropped, their last words are not."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from hbaclib.compat.tensorflow import REMARKS

ROOT = Path(__file__).parents[1]
DROPPED = [
    "WARNING: All log messages before absl::InitializeLog() is called are written to STDERR",
    "I0000 00:00:1795987561.304444   19004 port.cc:153] oneDNN custom operations are on. You may see slightly",
    "E0000 00:00:1732000000.123456     999 cuda_fft.cc:485] Unable to register cuFFT factory: Attempting to register",
    "W0000 00:00:1732000000.123456     999 gpu_device.cc:2344] Cannot dlopen some GPU libraries.",
    "2026-01-02 03:04:05.678901: I tensorflow/core/platform/cpu_feature_guard.cc:210] This TensorFlow binary is",
    "2026-01-02 03:04:05.678901: W external/local_xla/xla/tsl/framework/cpu_allocator_impl.cc:83] Allocation of",
    "To enable the following instructions: AVX2 FMA, in other operations, rebuild TensorFlow with the appropriate",
]
SHOWN = [
    "F0000 00:00:1732000000.123456     999 tensor.cc:12] Check failed: 1 == 2",
    "2026-01-02 03:04:05.678901: F tensorflow/core/framework/tensor.cc:12] Check failed: 1 == 2",
    "*** Check failure stack trace: ***",
    "terminate called after throwing an instance of 'std::bad_alloc'",
    "hbac: I0000 is a name",
    "",
]
SCRIPT = """
import os, sys
from hbaclib.processes import without_remarks
from hbaclib.compat.tensorflow import REMARKS
with without_remarks(REMARKS):
    for line in sys.argv[2:]:
        os.write(2, line.encode() + b"\\n")
    print("own words \\u20ac", file=sys.stderr)
    if sys.argv[1] == "abort":
        os.abort()
os.write(2, b"I0000 00:00:1.0   19 port.cc:153] afterwards\\n")
"""


@pytest.mark.parametrize("line", DROPPED)
def test_remarks(line: str) -> None:
    assert re.match(REMARKS, line)


@pytest.mark.parametrize("line", SHOWN)
def test_no_remarks(line: str) -> None:
    assert not re.match(REMARKS, line)


@pytest.mark.parametrize("end", ["well", "abort"])
def test_last_words_are_shown_however_a_process_ends(end: str) -> None:
    command = [sys.executable, "-c", SCRIPT, end, *DROPPED, *SHOWN]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, timeout=60)
    assert done.returncode == (0 if end == "well" else -6)
    lines = done.stderr.splitlines()
    if end == "well":
        assert lines.pop().endswith("afterwards")
    assert sorted(lines) == sorted([*SHOWN, "own words €"])


def test_a_process_without_an_error_stream_is_left_alone() -> None:
    code = "from hbaclib.processes import *\nwith without_remarks('x'), messages_aside():\n    print('whole')"
    command = f'exec {sys.executable} -c "{code}" 2>&-'
    done = subprocess.run(command, shell=True, capture_output=True, text=True, cwd=ROOT, timeout=60)
    assert (done.returncode, done.stdout) == (0, "whole\n")


def test_a_process_that_outlives_the_block_does_not_hold_it_up() -> None:
    code = (
        "import subprocess\nfrom hbaclib.processes import without_remarks\n"
        "with without_remarks('x'):\n    subprocess.Popen(['sleep', '30'], stdout=subprocess.DEVNULL)\n"
        "print('whole')"
    )
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", code], stdout=subprocess.PIPE, cwd=ROOT, timeout=25)
    assert (done.returncode, done.stdout) == (0, b"whole\n")
