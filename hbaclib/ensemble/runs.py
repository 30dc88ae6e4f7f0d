"""Recipes side by side: trained folders of one or several runs, joined by recipe and told apart by seed."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from hbaclib.artefacts import MANIFEST, digest_json
from hbaclib.conventions import SAMPLE_ID
from hbaclib.errors import ArtefactError, ConfigError, DataError, list_some, unknown_name
from hbaclib.evaluation.oof import OutOfFold, align_oof, checked_table, refuse_moved_folds
from hbaclib.evaluation.seeds import pair_seeds, score_seeds
from hbaclib.files import FOLDER, NOTHING, kind_of
from hbaclib.outputs import REPORT, stage_of
from hbaclib.stages.places import trained_folders
from hbaclib.training.trained_folder import FITS, TrainedFolder, fit_name

Place = str | Path
_FORM = "the folder of a trained network, or the output folder of a run with some"
_SHOWN = 4


@dataclass(frozen=True)
class RecipeRun:
    """What one recipe predicted, from each of its seeds.

    Attributes:
        seeds: k seeds, in order.
        predictions: (k, n, 6) shares, out-of-fold.
        folders: the trained folders that they are from, in the order given.
    """

    seeds: tuple[int, ...]
    predictions: np.ndarray
    folders: tuple[Path, ...]


@dataclass(frozen=True)
class Runs:
    """Recipes that were trained on the same samples, votes and folds.

    Attributes:
        recipes: name -> what it predicted.
        rows: the aligned samples, with the predictions of every folder and seed.
        folds: the folds that all have in common; only their samples are there.
        notes: what a reader must know of how they were put together.
    """

    recipes: dict[str, RecipeRun]
    rows: OutOfFold
    folds: tuple[int, ...]
    notes: tuple[str, ...] = ()

    @property
    def predictions(self) -> dict[str, np.ndarray]:
        """Recipe -> (k, n, 6) shares."""
        return {name: recipe.predictions for name, recipe in self.recipes.items()}


@dataclass(frozen=True)
class _Member:
    """One seed of a trained folder."""

    given: str
    trained: TrainedFolder
    seed: int

    @property
    def name(self) -> str:
        several = len(self.trained.recipe.seeds) > 1
        return f"{self.trained.path}, seed {self.seed}" if several else str(self.trained.path)

    @property
    def recipe(self) -> str:
        """Digest of the recipe without its seeds and, where no name was given, of what it was trained on."""
        values = {key: value for key, value in self.trained.recipe.to_dict().items() if key != "seeds"}
        # Where these lie does not count; what they hold is told by the digests of the inputs.
        values |= {"weights": Path(values["weights"]).name, "start_from": [Path(p).name for p in values["start_from"]]}
        return digest_json([values, None if self.given else self.trained.manifest.inputs])

    @property
    def file_stem(self) -> str:
        return str(self.trained.path / fit_name(self.trained.recipe, 0, self.seed)).replace("fold-0", "fold-{}", 1)


def open_runs(paths: Place | Iterable[Place] | Mapping[str, Place | Iterable[Place]]) -> Runs:
    """Open trained folders, and those of whole runs, to compare their recipes.

    Folders of one recipe that were trained on the same inputs from different seeds are further seeds of it. A recipe is
    called by its own name; where several have that, by their folders, with the run's before it where need be. Rows are
    those of the folds that all folders have.

    Args:
        paths: trained folders (as `hbaclib.train` writes them) and output folders of runs, which stand for all trained
            folders in them. A mapping gives a recipe's name for one or several of them: its folders are joined even
            where their inputs differ.

    Returns:
        The recipes, with their samples aligned.

    Raises:
        ArtefactError: naming the first folder that is none of these, has not finished, or whose files are not what
            their training wrote.
        ConfigError: a folder named twice; a seed trained twice with different outcomes; no path at all.
        DataError: naming the folders whose samples or votes differ, and how many; no fold in common; predictions that
            are none.
        LeakError: samples that lie in other folds, with the folder's name and how many.
    """
    notes: list[str] = []
    members = [
        _Member(name, trained, seed)
        for name, folder in _folders(paths, notes)
        for trained in [TrainedFolder.open(folder)]
        for seed in trained.recipe.seeds
    ]
    tables, places = _tables(members), {member.name: member.name for member in members}
    refuse_moved_folds(tables, places)
    folds = _common_folds(members, notes)
    rows = align_oof({name: table[table["fold"].isin(folds)] for name, table in tables.items()}, places)
    predicted = dict(zip(rows.names, rows.predictions, strict=True))
    groups = [part for group in _by_recipe(members) for part in _by_outcome(group, predicted, notes)]
    recipes = {}
    for name, group in _named(groups).items():
        seeds = {member.seed: member for member in sorted(group, key=lambda member: member.seed)}
        shares = np.stack([predicted[member.name] for member in seeds.values()])
        recipes[name] = RecipeRun(tuple(seeds), shares, tuple(dict.fromkeys(m.trained.path for m in group)))
        notes += _mixture(name, group)
    return Runs(recipes, rows, folds, tuple(notes))


def compare_runs(runs: Runs) -> pd.DataFrame:
    """Score every recipe by vote tier over its seeds; see `hbaclib.evaluation.seeds.score_seeds`.

    Returns:
        One row per tier and recipe, the test set's tier first, the best recipe first in it.
    """
    return score_seeds(runs.rows.targets, runs.predictions, runs.rows.n_votes, runs.rows.patients)


def pair_runs(runs: Runs, first: str, second: str) -> pd.DataFrame:
    """Compare two recipes, paired by patient, over their seeds; see `hbaclib.evaluation.seeds.pair_seeds`.

    Returns:
        One row per tier; ``difference`` is first less second: negative, the first is better.

    Raises:
        ConfigError: there is no recipe of such a name, or both are one.
    """
    recipes = runs.predictions
    for name in (first, second):
        if name not in recipes:
            raise unknown_name("recipe", name, recipes)
    if first == second:
        raise ConfigError(f"recipe {first!r} is compared with itself; expected two")
    chosen = {first: recipes[first], second: recipes[second]}
    return pair_seeds(runs.rows.targets, chosen, second, runs.rows.n_votes, runs.rows.patients)


def pair_with(runs: Runs, over: str | None = None) -> pd.DataFrame:
    """`pair_runs` of every recipe with one.

    Args:
        runs: the recipes.
        over: its name; None takes the one that is best on the first tier that has samples, among those of more than
            one seed if there are any.

    Raises:
        ConfigError: there is no such recipe.
    """
    over = best_of(compare_runs(runs)) if over is None else over
    return pair_seeds(runs.rows.targets, runs.predictions, over, runs.rows.n_votes, runs.rows.patients)


def best_of(scores: pd.DataFrame) -> str:
    """The recipe that others are compared with unless one is named, from the table of `compare_runs`."""
    scored = scores[scores["kl"].notna()]
    scored = scored[scored["tier"] == scored["tier"].iloc[0]]
    ranked = scored[scored["rank"].notna()]
    return str((ranked if len(ranked) else scored)["recipe"].iloc[0])


def _folders(
    paths: Place | Iterable[Place] | Mapping[str, Place | Iterable[Place]], notes: list[str]
) -> list[tuple[str, Path]]:
    """Name (empty where none was given) and path of every trained folder, each once."""
    given = paths.items() if isinstance(paths, Mapping) else [("", paths)]
    found: dict[str, Path] = {}
    folders = []
    for name, places in given:
        several = isinstance(places, Iterable) and not isinstance(places, str | os.PathLike)
        for place in places if several else [places]:  # type: ignore[union-attr]
            for folder in _trained(place, notes):
                if (known := found.setdefault(os.path.realpath(folder), folder)) is not folder:
                    also = "" if str(known) == str(folder) else f" (as {known}, too)"
                    raise ConfigError(f"{folder}: is named twice{also}; a fit counts once, name it once")
                folders.append((str(name), folder))
    if not folders:
        raise ConfigError(f"nothing to compare; expected {_FORM}")
    return folders


def _trained(place: object, notes: list[str]) -> list[Path]:
    """The trained folders that a path stands for.

    Raises:
        ArtefactError: there are none.
    """
    if not isinstance(place, str | os.PathLike):
        raise ConfigError(f"{place!r} is no path; expected {_FORM}")
    path = Path(place)
    if (kind := kind_of(path)) != FOLDER:
        raise ArtefactError(f"{path}: {'no such folder' if kind == NOTHING else f'is {kind}'}; expected {_FORM}")
    if (path / MANIFEST).exists() and stage_of(path) != REPORT:
        return [path]
    begun = [folder for folder in (path, *sorted(path.iterdir())) if _is_begun(folder)]
    if path in begun:
        raise ArtefactError(f"{path}: the training there has not finished; run it to its end, it resumes")
    folders = trained_folders(path)
    unfinished = f"not finished there: {list_some(folder.name for folder in begun)}" if begun else ""
    if not folders:
        seen = sorted(part.name for part in path.iterdir() if not part.name.startswith("."))
        held = unfinished or f"found {list_some(seen) or 'nothing'}"
        raise ArtefactError(f"{path}: holds no trained network ({held}); expected {_FORM}")
    if unfinished:
        notes.append(f"{path}: {unfinished}")
    return folders


def _is_begun(folder: Path) -> bool:
    return not (folder / MANIFEST).exists() and any(any(folder.glob(pattern)) for pattern in FITS)


def _tables(members: Iterable[_Member]) -> dict[str, pd.DataFrame]:
    """Every member's out-of-fold table, checked."""
    tables: dict[str, pd.DataFrame] = {}
    faults: list[str] = []
    read: dict[tuple[Path, int], dict[int, pd.DataFrame]] = {}
    for member in members:
        parts = []
        for fold in member.trained.folds:
            at = member.trained.path, fold
            if at not in read:
                read[at] = member.trained.oof_by_seed(fold)
            table, found = checked_table(read[at][member.seed])
            if not found and (strange := int((table["fold"] != fold).sum())):
                found = [f"{strange} of {len(table)} samples are of other folds"]
            faults += [f"{member.file_stem.format(fold)}.oof.parquet: {fault}" for fault in found]
            parts.append(table)
        if faults:
            continue
        whole = pd.concat(parts, ignore_index=True).sort_values(list(SAMPLE_ID), kind="stable", ignore_index=True)
        if twice := int(whole.duplicated(list(SAMPLE_ID)).sum()):
            faults.append(f"{member.name}: {twice} samples lie in two folds")
        tables[member.name] = whole
    if faults:
        raise DataError("; ".join(faults[:_SHOWN]) + (f" and {len(faults) - _SHOWN} more" * (len(faults) > _SHOWN)))
    return tables


def _common_folds(members: Iterable[_Member], notes: list[str]) -> tuple[int, ...]:
    """The folds that all have.

    Raises:
        DataError: there are none.
    """
    trained = {member.trained.path: member.trained for member in members}
    common = set.intersection(*(set(folder.folds) for folder in trained.values()))
    lacking = [folder for folder in trained.values() if set(range(folder.recipe.folds)) - set(folder.folds)]
    told = list_some((f"{folder.path} has {list_some(folder.folds)}" for folder in lacking), _SHOWN)
    if not common:
        raise DataError(f"no fold that all were trained on: {told}; train the missing ones")
    if lacking:
        notes.append(f"only rows of fold {list_some(sorted(common))} are compared, which all have: {told}")
    return tuple(sorted(common))


def _by_recipe(members: Iterable[_Member]) -> list[list[_Member]]:
    groups: dict[tuple[str, str], list[_Member]] = {}
    for member in members:
        groups.setdefault((member.given, member.recipe), []).append(member)
    return list(groups.values())


def _by_outcome(group: list[_Member], predicted: Mapping[str, np.ndarray], notes: list[str]) -> list[list[_Member]]:
    """A recipe's members with every seed once; apart by code where one seed led to different outcomes under two.

    Raises:
        ConfigError: it did under one code.
    """
    kept: dict[int, _Member] = {}
    once = []
    for member in group:
        other = kept.setdefault(member.seed, member)
        if other is member:
            once.append(member)
        elif np.array_equal(predicted[member.name], predicted[other.name]):
            notes.append(f"{member.name}: the same predictions as {other.name}, counted once")
        elif not member.given and len(codes := {each.trained.manifest.code for each in group}) > 1:
            parts = [[each for each in group if each.trained.manifest.code == code] for code in sorted(codes)]
            notes.append(f"{member.name}: other predictions than {other.name}, from other code: kept apart")
            return [part for each in parts for part in _by_outcome(each, predicted, notes)]
        else:
            raise ConfigError(
                f"{member.name}: seed {member.seed} of recipe {member.trained.recipe.name!r} was trained in "
                f"{other.trained.path}, too, and predicts otherwise there; name one of them"
            )
    return [once]


def _named(groups: list[list[_Member]]) -> dict[str, list[_Member]]:
    """The shortest names that tell all recipes apart."""
    candidates = []
    for group in groups:
        given, path = group[0].given, group[0].trained.path
        whole = Path(os.path.abspath(path))
        names = [group[0].trained.recipe.name, path.name or whole.name, f"{whole.parent.name}/{whole.name}", str(whole)]
        alone = sum(other[0].given == given for other in groups) == 1
        candidates.append([given] if given and alone else [f"{given}/{name}" if given else name for name in names])
    levels = [0] * len(groups)
    while True:
        names = [names[level] for names, level in zip(candidates, levels, strict=True)]
        same = [number for number, name in enumerate(names) if names.count(name) > 1]
        raised = [number for number in same if levels[number] + 1 < len(candidates[number])]
        if same and not raised:
            raise ConfigError(f"two recipes are called {names[same[0]]}; give them other names")
        if not raised:
            return dict(zip(names, groups, strict=True))
        for number in raised:
            levels[number] += 1


def _mixture(name: str, group: list[_Member]) -> list[str]:
    """What a reader must know of a recipe whose seeds were not trained all alike."""
    manifests = [member.trained.manifest for member in group]
    notes = []
    if len({digest_json(manifest.inputs) for manifest in manifests}) > 1:
        notes.append(f"{name}: its seeds were trained on different inputs")
    if len({manifest.code for manifest in manifests}) > 1:
        notes.append(f"{name}: its seeds were trained by different versions of the code")
    return notes
