"""What a suite needs, checked before its first stage: recipes, weights, shipped starts, disk, memory, a GPU.

Whoever starts a run learns of everything that is missing at once, and not after the hours of the stages before.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from hbaclib.artefacts import MANIFEST
from hbaclib.compat.keras_settings import check_keras
from hbaclib.errors import ConfigError, HbacError, PlatformError, list_some
from hbaclib.files import whole_path
from hbaclib.models.registry import Published, family_of
from hbaclib.platform import (
    SYNTHETIC,
    accelerators,
    available_memory,
    cpu_is_asked_for,
    find_data,
    on_kaggle,
    output_root,
    unseen_gpus,
)
from hbaclib.stages.names import EEG, IMAGES, PORT, TRAINING_PREFIXES
from hbaclib.stages.places import stage_rows
from hbaclib.suite import sizes
from hbaclib.suite.parameters import all_values
from hbaclib.suite.plans import Plans, plans_of
from hbaclib.suite.table import Stage, Suite
from hbaclib.training.gpus import PATIENCE, ask_tensorflow
from hbaclib.training.shipped_start import check_shipped_starts

_PATIENCE = PATIENCE


def check_prerequisites(
    suite: Suite,
    parameters: Mapping[str, Mapping[str, Any]],
    out: str | Path,
    data: str | Path | None,
    *,
    cpu: bool = False,
    tell: Callable[[str], None] = lambda line: None,
) -> str:
    """Check everything that a suite needs before any of it is computed.

    Stages that were finished with the same parameters, as were those that they read, are not asked for weights or a
    GPU.

    Args:
        suite: the suite.
        parameters: stage -> parameter -> value, as `hbaclib.suite.parameters.fill_parameters` gives them.
        out: output folder.
        data: folder in the competition's format, None where the first notebook finds or makes one.
        cpu: the CPU is asked for, whatever the suite needs and the machine has.
        tell: gets the sum of what the stages that are not finished write at most, beside what is free, where nothing is
            missing.

    Returns:
        What the caller is to be told, though the suite runs: that the CPU has to be used in place of a GPU; else empty.

    Raises:
        ConfigError: recipes or weights, and whatever else is missing: one line for each fault, with what mends it.
        PlatformError: the same, where only disk, memory or the GPU do not suffice.
    """
    out = whole_path(out)
    rows, due = stage_rows(out), list[Stage]()
    for stage in suite.stages:  # each behind those that it reads
        row = rows.get(stage.name)
        if {each.name for each in due} & set(stage.after) or not _finished(stage, row, parameters[stage.name], out):
            due.append(stage)
    plans, config = _plans(suite, parameters)
    config += _lacking_weights(suite, {stage.name: plans[stage.name] for stage in due if stage.name in plans})
    sums: list[str] = []
    platform = list(_lacking_disk(suite, due, parameters, out, data, config, sums.append))
    trains = any(stage.notebook.name.startswith(TRAINING_PREFIXES) for stage in due)
    platform += _lacking_memory(suite) if trains else ()
    platform += _unfit_keras() if due else ()
    unseen = list(_lacking_gpu(suite)) if trains and not cpu else []
    platform += unseen if suite.needs_gpu else ()
    if config or platform:
        lines = "\n".join(f"- {fault}" for fault in [*dict.fromkeys(config), *platform])
        raise (ConfigError if config else PlatformError)(f"suite {suite.name} cannot run here:\n{lines}")
    for line in sums:
        tell(line)
    return unseen[0] if unseen else ""


def _finished(stage: Stage, row: Mapping[str, Any] | None, parameters: Mapping[str, Any], out: Path) -> bool:
    """Whether a run has finished a stage with these parameters, as its row of ``stages.json`` says."""
    if row is None or not (out / stage.name / MANIFEST).is_file():
        return False
    return bool(row.get("parameters") == json.loads(json.dumps(dict(parameters))))


def _plans(suite: Suite, parameters: Mapping[str, Mapping[str, Any]]) -> tuple[dict[str, Plans], list[str]]:
    """What each training stage trains, and why some cannot."""
    plans, faults = {}, []
    for stage in suite.stages:
        try:
            found = plans_of(stage.notebook.name, parameters[stage.name])
            for recipe in found.recipes.values() if found else ():
                # The network and its options alone: weights are looked for together.
                recipe.override({"weights": ""}).find_weights()
                check_shipped_starts(recipe)
        except HbacError as error:
            faults.append(f"{stage.name}: {error}")
        except (TypeError, ValueError, AttributeError) as error:
            faults.append(f"{stage.name}: a parameter has a value of the wrong kind ({error})")
        else:
            if found:
                plans[stage.name] = found
    return plans, faults


@dataclass(frozen=True)
class _Missing:
    """Weights of one recipe that are not to be had."""

    stage: str
    reason: str
    source: Published | None
    from_parameter: bool


def _lacking_weights(suite: Suite, plans: Mapping[str, Plans]) -> list[str]:
    """One line for the recipes of a notebook that ask for the same weights and do not find them."""
    missing: dict[tuple[str, str], list[_Missing]] = {}
    for stage in suite.stages:
        if (found := plans.get(stage.name)) is None:
            continue
        for name, recipe in found.recipes.items():
            if name == found.image and not found.image_named:
                continue  # it takes what is at hand
            try:
                recipe.find_weights()
            except ConfigError as error:
                published = family_of(recipe.backbone).published
                source = published(recipe.weights) if published else None
                fault = _Missing(stage.name, str(error), source, name != found.image)
                missing.setdefault((stage.notebook.name, recipe.weights), []).append(fault)
    return [_weights_line(suite, notebook, faults) for (notebook, _), faults in missing.items()]


def _weights_line(suite: Suite, notebook: str, faults: list[_Missing]) -> str:
    stages = list(dict.fromkeys(fault.stage for fault in faults))
    # All stages of a notebook are named by it.
    every = stages == [stage.name for stage in suite.stages if stage.notebook.name == notebook]
    targets = [notebook] if len(stages) > 1 and every else stages
    reasons = list(dict.fromkeys(fault.reason for fault in faults))
    more = f" (and {len(reasons) - 1} more like it)" if len(reasons) > 1 else ""
    line = f"{', '.join(targets)}: {reasons[0]}{more}"
    files: dict[str, list[str]] = {}
    for source in dict.fromkeys(fault.source for fault in faults if fault.source):
        files.setdefault(source.address, []).append(source.name)
    if files:
        line += ". Needed: " + "; ".join(f"{list_some(names)} from {address}" for address, names in files.items())

    def option(setting: str) -> str:
        return " ".join(f"-p {target}.{setting}" for target in targets)

    if not all(fault.from_parameter for fault in faults):
        own = f"Name their folder in a recipe of your own: {option('image_half=FILE.toml')}"
        return f"{line}. {own}; or leave the image half out: {option('image_half=')}"
    begin = f"Name the folder that holds them: {option('weights=FOLDER')}; or train" if files else "Train"
    return f"{line}. {begin} from random weights: {option('weights=')}"


def _lacking_disk(
    suite: Suite,
    due: list[Stage],
    parameters: Mapping[str, Mapping[str, Any]],
    out: Path,
    data: str | Path | None,
    told: list[str],
    tell: Callable[[str], None],
) -> Iterator[str]:
    """Whether what the unfinished stages write finds room; faults of the data go to those that are told."""
    unfinished = [stage for stage in suite.stages if not (out / stage.name / MANIFEST).is_file()]
    # Arrays that this run has made and makes anew lie beside the new ones until these are whole.
    again = [stage for stage in due if stage not in unfinished and stage.notebook.name in (PORT, EEG, IMAGES)]
    again = [stage for stage in again if stage.name in stage_rows(out)]
    try:
        first = next((stage for stage in suite.stages if stage.notebook.name == PORT), None)
        values = all_values(first, parameters[first.name]) if first else {}
        found = find_data(data or "", out)
        told += _lacking_data(suite, found)
        # A set that this run has made lies there already; it is no other folder's copy.
        own = found is not None and found == out / SYNTHETIC
        counts = sizes.suite_counts(replace(suite, competition=""), values, None if own else found, quickly=True)
        if own:
            counts = replace(counts, synthetic_bytes=0)
    except HbacError as error:
        told.append(str(error))
        return
    needed = beside = 0
    for stage in [*unfinished, *again]:
        try:
            size = sizes.stage_bytes(replace(stage, parameters=dict(parameters[stage.name])), counts)
        except (HbacError, TypeError, ValueError, AttributeError):
            continue  # told as the stage's own fault
        old = sum(path.stat().st_size for path in (out / stage.name).glob("*.npy")) if stage in again else 0
        needed, beside = needed + max(size - old, 0), max(beside, min(size, old))
    needed += beside
    place = next((folder for folder in (out, *out.parents) if folder.exists()), out)
    try:
        free = shutil.disk_usage(place).free
    except OSError as error:
        yield f"{place}: {error.strerror}; name another output folder: --out FOLDER"
        return
    if on_kaggle() and output_root() in (out, *out.parents):  # the host's disk has more than a session keeps
        free = min(free, sizes.LIMIT)
    line = f"the stages that are not finished write up to {sizes.show_bytes(needed)}, and {sizes.show_bytes(free)} are "
    if needed > free:
        yield f"{line}free at {place}; make room, or name a folder on another disk: --out FOLDER"
    elif unfinished or again:
        tell(f"{line}free at {place}")


def _lacking_data(suite: Suite, found: Path | None) -> Iterator[str]:
    """Whether the data are there, and their parts that the stages read."""
    if found is None:
        if suite.competition:
            yield (
                f"suite {suite.name} is for the competition's files or such of your own, and there are none: "
                "--data FOLDER (suite demo makes a synthetic set)"
            )
        return
    for part in sorted({part for stage in suite.stages for part in stage.notebook.reads}):
        table = found / f"{part}.csv"
        if not _has_rows(table):
            yield f"{table}: missing or without rows; name another folder: --data FOLDER"


def _has_rows(table: Path) -> bool:
    try:
        with table.open("rb") as file:
            return sum(bool(line.strip()) for line, _ in zip(file, range(2), strict=False)) == 2
    except OSError:
        return False


def _lacking_memory(suite: Suite) -> Iterator[str]:
    free = available_memory()
    if free < suite.memory_gb * 1e9:
        yield (
            f"the suite takes up to {suite.memory_gb:g} GB of memory, and {sizes.show_bytes(free)} are free; end other "
            "programs, or run it on a machine with more"
        )


def _unfit_keras() -> list[str]:
    """Whether the notebooks' processes would compute with another Keras than the networks are built for."""
    try:
        check_keras()
    except PlatformError as error:
        return str(error).splitlines()
    return []


def _lacking_gpu(suite: Suite) -> Iterator[str]:
    """Whether the GPU that is there is seen, and whether one is there where the suite needs it."""
    if cpu_is_asked_for():
        return
    gpus = accelerators()
    seen, reason = tensorflow_gpus() if gpus else (0, "")
    if gpus and not seen:
        yield f"{unseen_gpus(reason)}, or train on the CPU: --cpu"
    elif suite.needs_gpu and not gpus:
        yield (
            f"suite {suite.name} trains for days on a CPU, and the driver lists no GPU; run it on a machine with an "
            "NVIDIA GPU, or take the days: --cpu"
        )


def tensorflow_gpus() -> tuple[int, str]:
    """Number of the GPUs that TensorFlow sees, asked in another process, and why it could not be asked."""
    return ask_tensorflow(_PATIENCE)
