"""The plan of hours for suite ``full``, from `hbaclib.kaggle.hours`: the tables, and the words around them.

``python -m tests.readme.hours`` writes it into the guide to Kaggle; `tests.kaggle.test_hours` compares.
"""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from hbaclib.conventions import MANY_VOTES
from hbaclib.kaggle.hours import LONGEST, SAMPLES, SESSION_START, KernelHours, fit_images, suite_hours, total_hours
from hbaclib.kaggle.speeds import FROM_B0, GRU, START_SECONDS, WAVENET
from hbaclib.stages.names import EFFICIENTNET, KERASCV, RAW
from hbaclib.suite.plans import IMAGE_NETWORKS, Plans, plans_of
from hbaclib.suite.table import Stage, SuiteTable
from hbaclib.training.recipe import load_recipe
from tests.readme.between import between, write_between
from tests.readme.sizes import ROOT, stages

BEGIN, END = "<!-- hours: written by python -m tests.readme.hours -->\n", "<!-- end of the hours -->\n"


_STEP = " times B0's step"
_WORDS = dict(enumerate(("none", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")))


def _hours_of(some: Sequence[Stage]) -> tuple[KernelHours, ...]:
    return suite_hours(replace(SuiteTable(ROOT).suite("full"), stages=tuple(some)))


def former() -> tuple[KernelHours, ...]:
    """The kernels of the set that trained more: all image networks with WaveNet, too, and WaveNet as the others."""
    changed = []
    for stage in stages():
        name, values = stage.notebook.name, dict(stage.parameters)
        if name == KERASCV:
            alone = [each for each in values["backbones"] if not each.endswith(f"_{WAVENET}")]
            values |= {"backbones": alone, "fusions": True}
        if name == RAW and values["backbones"] == [WAVENET]:
            continue
        if name == RAW:
            values |= {"backbones": [WAVENET, *values["backbones"]]}
        changed.append(replace(stage, parameters=values))
    return _hours_of(changed)


def _plans(notebook: str) -> dict[str, Plans]:
    """Kernel -> what it trains."""
    return {
        s.name: plans for s in stages() if s.notebook.name == notebook and (plans := plans_of(notebook, s.parameters))
    }


def _paragraph(words: str) -> str:
    return textwrap.fill(words, 120, break_long_words=False, break_on_hyphens=False) + "\n\n"


def _span(names: Sequence[str]) -> str:
    return f"{names[0]} to {names[-1]}" if len(names) > 2 else " and ".join(names)


def assumptions() -> str:
    """What a fit is made of, in words."""
    gold, share = load_recipe("gold"), 0.8
    parts = [f"{stage.epochs} x {int(share * SAMPLES[max(stage.min_votes, 1)]):,}" for stage in gold.stages]
    batches = {name[-2:].upper(): plans.first.batch for name, plans in _plans(EFFICIENTNET).items()}
    large = [name for name, batch in batches.items() if batch != gold.batch]
    (batch,) = {batches[name] for name in large}
    (gru,) = {plan.batch for plans in _plans(RAW).values() for plan in plans.recipes.values() if plan.backbone == GRU}
    first = (
        f"A fit of recipe `gold` sees {parts[0]} images in its first stage and {parts[1]} in its second (four fifths "
        f"of {SAMPLES[1]:,} samples, and of the {SAMPLES[MANY_VOTES]:,} with at least {_WORDS[MANY_VOTES]} votes), in "
        f"whole batches {fit_images(gold)[0]:,}; validation and batch-norm statistics are added by their forward "
        f"passes, {START_SECONDS:.0f} s for a process that starts and traces its network, and "
        f"{60 * SESSION_START:.0f} minutes a session for everything else. Speeds are lower ends of ranges; of what "
        "makes training faster only what the code does is counted, at its lower end."
    )
    second = (
        f"{_span(large)} take steps of {batch} rows (`batch = {batch}` in their parameters cells; recipe `gold` has "
        f"{gold.batch}, as {_span([name for name in batches if name not in large])} keep them), and the recurrent "
        f"network of {gru}; the rates grow as the square root. Where a step does not fit the GPU's memory, a smaller "
        "`batch` does."
    )
    return _paragraph(first) + _paragraph(second)


def cut(kernels: Sequence[KernelHours]) -> str:
    """What is not trained for the sake of the hours, in words."""
    networks = {network.name: network for kernel in kernels for network in kernel.networks}
    alone = [name for name in IMAGE_NETWORKS if name in networks]
    joined = [name for name in networks if name.endswith(f"_{WAVENET}")]
    left = {"resnet50_v2": "ResNet50V2", "densenet201": "DenseNet201"}
    assert not left.keys() & networks.keys() and len(alone) + len(left) == len(IMAGE_NETWORKS)
    steps = [f"{FROM_B0[name][0]:g}" for name in left]
    others = [f"{title} ({step}{more})" for title, step, more in zip(left.values(), steps, (_STEP, ""), strict=True)]
    wave = next(plan for plans in _plans(RAW).values() for name, plan in plans.recipes.items() if name == WAVENET)
    whole = load_recipe("s3")
    words = (
        f"05 trains {_WORDS[len(alone)]} of its notebook's {_WORDS[len(IMAGE_NETWORKS)]} backbones, and WaveNet joined "
        f"with {_WORDS[len(joined)]}: {' and '.join(others)}, which the notebook trains as well when it is opened by "
        "hand, take sessions of their own. WaveNet alone, the slowest, is trained in "
        f"{_WORDS[networks[WAVENET].rounds]} round and {_WORDS[wave.stages[0].epochs]} epochs; the recurrent network "
        f"in {_WORDS[networks[GRU].rounds]}, on pseudo-labels of the first."
    )
    before = former()
    longer = (
        "So part of the total is training that is left out. With MobileNetV3 joined with WaveNet as well, and WaveNet "
        f"in two rounds of {whole.stages[0].epochs} epochs, as the suite had them, the same function adds up "
        f"{total_hours(before):.1f} h in place of {total_hours(kernels):.1f}."
    )
    return "\n" + _paragraph(words) + _paragraph(longer).rstrip("\n") + "\n"


def text() -> str:
    """The part of the guide: assumptions, the tables of kernels and of the speeds behind them, and what is left out."""
    kernels = _hours_of(stages())
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
    return assumptions() + "\n".join([*rows, ""]) + cut(kernels)


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
