"""Memory stays flat: stages 01 and 02 on 200 and on 2,000 recordings."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from tests.dataset.tiny import link_copies, write_tiny

_STAGE = {
    "01": "port_data(sys.argv[1], sys.argv[2], n_jobs=2)",
    "02": "store_eeg_products(sys.argv[1], sys.argv[2] + '/01_port_data', sys.argv[2], n_jobs=2)",
}


def anonymous_bytes(process: psutil.Process) -> int:
    """RssAnon of a process and its children: mapped pages of files do not count."""
    total = 0
    for member in [process, *process.children(recursive=True)]:
        try:
            for line in Path(f"/proc/{member.pid}/status").read_text().splitlines():
                if line.startswith("RssAnon:"):
                    total += 1024 * int(line.split()[1])
        except (OSError, psutil.NoSuchProcess):
            continue
    return total


def peak_of(stage: str, data: Path, out: Path) -> int:
    code = f"import sys\nfrom hbaclib.stages.port import port_data, store_eeg_products\n{_STAGE[stage]}"
    with subprocess.Popen(
        [sys.executable, "-c", code, str(data), str(out)], stderr=subprocess.DEVNULL, start_new_session=True
    ) as process:
        watched, peak = psutil.Process(process.pid), 0
        while process.poll() is None:
            peak = max(peak, anonymous_bytes(watched))
            time.sleep(0.01)
    assert process.returncode == 0
    return peak


@pytest.mark.evidence
def test_peak_memory_does_not_grow_with_the_recordings(tmp_path: Path) -> None:
    write_tiny(tmp_path / "few", n_eegs=20, rows_per_eeg=2)
    peaks: dict[str, list[int]] = {stage: [] for stage in _STAGE}
    for copies in (10, 100):
        data, out = tmp_path / f"data{copies}", tmp_path / f"out{copies}"
        link_copies(tmp_path / "few", data, copies)
        for stage, found in peaks.items():
            found.append(peak_of(stage, data, out))
    for stage, (few, many) in peaks.items():
        print(f"\nstage {stage}: {few / 1e6:.0f} MB on 200 recordings, {many / 1e6:.0f} MB on 2,000 ({many / few:.3f})")
    assert all(many <= 1.15 * few for few, many in peaks.values())
