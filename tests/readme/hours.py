"""The plan of hours for suite ``full``, from `hbaclib.kaggle.hours`.

``python -m tests.readme.hours`` writes it into the guide to Kaggle; `tests.kaggle.test_hours` compares.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from hbaclib.kaggle.hours import LONGEST, KernelHours, suite_hours, total_hours
from hbaclib.suite.table import SuiteTable
from tests.readme.between import between, write_between
from tests.readme.sizes import ROOT, stages

BEGIN, END = "<!-- hours: written by python -m tests.readme.hours -->\n", "<!-- end of the hours -->\n"


def _kernels() -> tuple[KernelHours, ...]:
    return suite_hours(replace(SuiteTable(ROOT).suite("full"), stages=stages()))


def text() -> str:
    """The two tables of the guide: kernels, and the speeds behind them."""
    kernels = _kernels()
    on_cpu = ", ".join(kernel.name[:2] for kernel in kernels if not kernel.gpu)
    rows = ["| kernel | fits | rounds of two | hours of its session |", "|---|---|---|---|"]
    for kernel in kernels:
        if kernel.gpu:
            fits = f"{kernel.fits} | {kernel.device_rounds}" if kernel.networks else " | "
            rows.append(f"| {kernel.name} | {fits} | {kernel.hours:.1f} |")
    rows.append(f"| {on_cpu}: CPU sessions | | | 0 |")
    total, longest = total_hours(kernels), max(kernel.hours for kernel in kernels)
    rows.append(f"| together | | | {total:.1f} |")
    rows += ["", f"The longest session takes {longest:.1f} h of the {LONGEST:g} that a kernel may plan with.", ""]
    rows += ["| network (kernel) | images/s | minutes a fit | where the speed is from |", "|---|---|---|---|"]
    for kernel in kernels:
        for network in kernel.networks:
            rate = f"{network.speed.images_per_second:.0f}"
            minutes = f"{60 * network.fit_hours:.0f}"
            rows.append(f"| {network.name} ({kernel.name[:2]}) | {rate} | {minutes} | {network.speed.source} |")
    return "\n".join([*rows, ""])


TEXTS = {ROOT / "kaggle" / "README.md": text}
"""File -> what stands in it between BEGIN and END."""


def shown(path: Path) -> str:
    """What stands in a file."""
    return between(path, BEGIN, END)


def main() -> None:
    """Write the plan."""
    write_between(TEXTS, BEGIN, END)


if __name__ == "__main__":
    main()
