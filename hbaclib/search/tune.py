"""A small seeded search over recipe keys; what its best score is worth, `hbaclib.search.score` says.

The search is Optuna's; what a trial is trained to lies in a folder named by its recipe, as training leaves it. So equal
recipes are trained once, a trial that was stopped is resumed, and the best recipe's networks are there in the end.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd

from hbaclib.artefacts import digest_json, read_manifest, write_table
from hbaclib.compat.optuna import reopened
from hbaclib.conventions import MANY_VOTES
from hbaclib.errors import ArtefactError, ConfigError, MemoryShortage, PlatformError, TrainingError
from hbaclib.inputs.store import InputArrays
from hbaclib.outputs import stage_folder
from hbaclib.platform import session_hours_left
from hbaclib.search.score import counted_rows, nested_choice, row_losses, tier_scores
from hbaclib.search.space import Choice, Space, change, corners, show_changes
from hbaclib.source import callable_digest, code_digest
from hbaclib.training.cross_validate import check_training, train
from hbaclib.training.recipe import Recipe
from hbaclib.training.trained_folder import TrainedFolder

if TYPE_CHECKING:
    import optuna

Method = Literal["grid", "tpe"]

BEST, TRIALS, NESTED, STUDY = "best.toml", "trials.csv", "nested.csv", "study.log"
FEW_TRIALS = 20
"""Trials of a ``tpe`` search for which no number was named."""

_RANDOM_FIRST = 5  # random trials before the sampler has something to learn from


@dataclass(frozen=True)
class Search:
    """What a search found.

    Attributes:
        folder: holds ``best.toml``, ``trials.csv``, ``nested.csv`` and the trained trials.
        best: the recipe with the least score over all folds.
        trained: the folder in which it is trained already.
        trials: one row per trial: trial, state, the searched keys, kl (what is searched by), n (rows behind it), one kl
            for each vote tier, seconds (of training), digest (of the recipe), folder, problem (why a trial failed).
            Digest and folder are empty where the values make no recipe.
        nested: one row per outer fold: fold, chosen (trial), kl_inner (by which it was chosen), kl_outer (the fold's
            own rows), n (of these).
        score: kl of the best trial over the rows by which it was chosen: it flatters.
        nested_score: kl over the same rows, each judged by a recipe that other folds chose.
        tier: which rows count, ``>=10`` where there are any, else ``all``.
        keys: the searched keys.
    """

    folder: Path
    best: Recipe
    trained: Path
    trials: pd.DataFrame
    nested: pd.DataFrame
    score: float
    nested_score: float
    tier: str
    keys: tuple[str, ...]


def tune(
    recipe: Recipe,
    inputs: InputArrays,
    space: Space,
    out_folder: str | Path,
    *,
    method: Method | None = None,
    trials: int | None = None,
    seed: int = 0,
    folds: Iterable[int] | None = None,
    pseudo_labels: str | Path | None = None,
    progress: bool = True,
) -> Search:
    """Search for the values of some recipe keys.

    A search that was stopped resumes where it stopped: finished trials are read back, and of the trial that was under
    way only what is missing is trained. A trial's values depend on the seed, its number and the trials before it, so a
    search in two parts makes the trials of one that was never stopped. Another question (recipe, space, method, seed,
    folds, data or code) in the same folder is another search; networks that both need are trained once.

    A trial whose own values are at fault (a loss that is not a number, a network too large for the memory, a recipe or
    network that cannot be made) is noted as failed, with the reason, and not tried again.

    Args:
        recipe: the recipe that is varied.
        inputs: samples, folds and arrays, as `hbaclib.inputs.store.open_inputs` gives them.
        space: recipe key -> what it may take; see `hbaclib.search.space.parse_keys`.
        out_folder: where everything goes; made if missing.
        method: ``grid`` trains every combination, in a seeded order; ``tpe`` draws from lists and ranges, towards what
            did well. None is ``grid`` where the space has no range.
        trials: how many in all, those of an earlier run included; None is the whole grid, or FEW_TRIALS.
        seed: of the search (the recipe's own seeds are keys of the recipe).
        folds: folds to train and choose by, at least two; None is all.
        pseudo_labels: folder of pseudo-labels, for a recipe that mixes them in.
        progress: print a line per trial, and show a bar for its training.

    Returns:
        The search.

    Raises:
        ConfigError: any key, value or range end that a recipe does not take; a range in a grid; fewer than two folds.
            All of it before any training starts.
        PlatformError: Optuna is not installed; a trial would not end in the session (the next one resumes it).
        DataError, LeakError: as `hbaclib.training.cross_validate.train` says.
        TrainingError: no trial could be trained; their reasons are in ``trials.csv``.

    Source: Bergstra et al., Algorithms for hyper-parameter optimization (2011), as Optuna implements it; for nesting,
    Cawley and Talbot, On over-fitting in model selection (2010).
    """
    _optuna()
    ranges = [key for key, domain in space.items() if not isinstance(domain, Choice)]
    method = method or ("tpe" if ranges else "grid")
    if method == "grid" and ranges:
        raise ConfigError(f"{ranges[0]} is a range, which a grid cannot take; list its values, or choose method tpe")
    if trials is not None and trials < 1:
        raise ConfigError(f"trials is {trials}, expected at least 1")
    possible = corners(recipe, space)
    chosen = tuple(folds) if folds is not None else None
    for candidate in possible:
        chosen = check_training(candidate, inputs, chosen, pseudo_labels, out_folder)
    assert chosen is not None
    if len(chosen) < 2:
        raise ConfigError(f"folds {list(chosen)}: at least two are needed, one to judge what the others chose")
    count = min(trials or len(possible), len(possible)) if method == "grid" else trials or FEW_TRIALS
    folder = Path(out_folder).resolve()
    with stage_folder(folder, own=[STUDY]):
        folder.mkdir(parents=True, exist_ok=True)
        runner = _Runner(recipe, inputs, space, folder, method, seed, chosen, pseudo_labels, progress)
        return _finish(runner, runner.run(count))


@dataclass(frozen=True)
class _Runner:
    """Asks Optuna for trials and trains them."""

    recipe: Recipe
    inputs: InputArrays
    space: Space
    folder: Path
    method: Method
    seed: int
    folds: tuple[int, ...]
    pseudo_labels: str | Path | None
    progress: bool

    def run(self, count: int) -> optuna.Study:
        """Train until there are ``count`` finished trials."""
        study = self.study()
        done = [trial for trial in study.get_trials(deepcopy=False) if trial.state.is_finished()]
        for number in range(len(done), count):
            trial = self._next(study, number)
            changes = self.changes(trial)
            if self.progress:
                print(f"trial {number + 1} of {count}: {show_changes(changes)}", flush=True)
            try:
                table = self.attempt(changes)
            except (TrainingError, ConfigError, MemoryShortage) as error:
                # The values' own fault, so that trying them again would fail again; of what the platform lacks only
                # memory is one, as time is there again in the next session. An answer, not the end of the search: a
                # trial left under way would be the first of every later run.
                trial.set_user_attr("problem", str(error))
                study.tell(trial, state=_optuna().trial.TrialState.FAIL)
                result = f"failed: {error}"
            else:
                score = tier_scores(table)["kl"]
                study.tell(trial, score)
                result = f"kl {score:.4f}"
            if self.progress:
                print(f"trial {number + 1} of {count}: {result}", flush=True)
        return study

    def study(self) -> optuna.Study:
        """The stored search of this question, empty where it is new."""
        optuna = _optuna()
        storage = optuna.storages
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        question = {
            "recipe": self.recipe.digest,
            "space": {key: repr(domain) for key, domain in self.space.items()},
            "method": self.method,
            "seed": self.seed,
            "folds": self.folds,
            "data": self.inputs.digest,
            "pseudo_labels": "" if self.pseudo_labels is None else read_manifest(self.pseudo_labels).digest,
            "code": [code_digest(__name__), callable_digest(self.recipe.family.features)],
        }
        path = self.folder / STUDY
        try:
            return optuna.create_study(
                storage=storage.JournalStorage(storage.journal.JournalFileBackend(str(path))),
                study_name=digest_json(question),
                sampler=self._sampler(0),
                load_if_exists=True,
            )
        except (ValueError, KeyError, TypeError) as error:
            raise ArtefactError(f"{path}: not a readable record of a search ({error}); remove it") from error

    def _sampler(self, number: int) -> optuna.samplers.BaseSampler:
        optuna = _optuna()
        if self.method == "grid":
            grid = {key: [json.dumps(value) for value in domain.ends] for key, domain in self.space.items()}
            sampler = optuna.samplers.GridSampler(grid, seed=self.seed)
            # Behind the last trial it would stop Optuna's loop; here there is none to stop, which it takes ill.
            sampler.after_trial = lambda *arguments, **options: None
            return sampler
        # Seeded anew for every trial: a search that resumes after a stop does not draw its first numbers again.
        seed = int(np.random.SeedSequence([self.seed, number]).generate_state(1)[0])
        return optuna.samplers.TPESampler(seed=seed, n_startup_trials=_RANDOM_FIRST)

    def _next(self, study: optuna.Study, number: int) -> optuna.Trial:
        """The trial that a stopped run left under way, else a new one."""
        optuna = _optuna()
        study.sampler = self._sampler(number)
        running = study.get_trials(deepcopy=False, states=(optuna.trial.TrialState.RUNNING,))
        return reopened(study, running[0]) if running else study.ask()

    def changes(self, trial: optuna.trial.BaseTrial) -> dict[str, Any]:
        """A trial's values as the recipe takes them, drawn where it has none yet."""
        return {key: domain.suggest(trial, key) for key, domain in self.space.items()}

    def folder_of(self, recipe: Recipe) -> Path:
        """Where a trial is trained: named by its content, so that equal recipes are trained once."""
        return self.folder / "trials" / recipe.digest[:12]

    def attempt(self, changes: dict[str, Any]) -> pd.DataFrame:
        """Train the recipe that a trial's values make; its out-of-fold rows.

        Raises:
            HbacError: the values make no recipe or no network, or as `hbaclib.training.cross_validate.train` says.
        """
        recipe = change(self.recipe, changes)
        try:
            return self.train(recipe)
        except ConfigError as error:
            raise ConfigError(f"{show_changes(changes)}: {error}") from error

    def train(self, recipe: Recipe) -> pd.DataFrame:
        """Train what is missing of a recipe; its out-of-fold rows."""
        folder = train(
            recipe,
            self.inputs,
            self.folder_of(recipe),
            self.folds,
            progress=self.progress,
            # Asked anew for each trial: the ones before it used a part of the session.
            session_hours=session_hours_left(),
            pseudo_labels=self.pseudo_labels,
        )
        return TrainedFolder.open(folder).oof(self.folds)


def _finish(runner: _Runner, study: optuna.Study) -> Search:
    """Score all finished trials from their stored predictions, choose, and write the tables."""
    rows: list[dict[str, Any]] = []
    tables: list[pd.DataFrame] = []
    recipes: list[Recipe] = []
    for trial in study.get_trials(deepcopy=False):
        if not trial.state.is_finished():
            continue
        changes = runner.changes(trial)
        plain = {key: json.dumps(value) if isinstance(value, list | dict) else value for key, value in changes.items()}
        row = {"trial": trial.number + 1, "state": "finished", **plain, "problem": trial.user_attrs.get("problem", "")}
        try:
            recipe = change(runner.recipe, changes)
        except ConfigError:  # told in the problem: ends of ranges are checked before the search, what lies between not
            rows.append(row | {"state": "failed", "digest": "", "folder": ""})
            continue
        folder = runner.folder_of(recipe)
        if row["problem"]:
            row["state"] = "failed"
        else:
            # Read back; made again where its files were removed.
            tables.append(runner.train(recipe))
            recipes.append(recipe)
            row |= tier_scores(tables[-1]) | {"seconds": read_manifest(folder).facts["seconds"]}
        rows.append(row | {"digest": recipe.digest, "folder": folder.relative_to(runner.folder).as_posix()})
    scores = [*tier_scores(tables[0]), "seconds"] if tables else []
    trials = pd.DataFrame(rows)[["trial", "state", *runner.space, *scores, "digest", "folder", "problem"]]
    if not tables:
        write_table(runner.folder / TRIALS, trials)
        raise TrainingError(
            f"none of {len(rows)} trials could be trained; the last one: {rows[-1]['problem']}; "
            f"all are in {runner.folder / TRIALS}"
        )
    scored = trials[trials["state"] == "finished"].reset_index(drop=True)
    folds, votes = (tables[0][name].to_numpy() for name in ("fold", "n_votes"))
    counted, losses = counted_rows(votes), np.stack([row_losses(table) for table in tables])
    nested = nested_choice(losses, folds, votes)
    nested["chosen"] = scored["trial"].to_numpy()[nested["chosen"]]
    best = int(losses[:, counted].mean(axis=1).argmin())
    write_table(runner.folder / TRIALS, trials)
    write_table(runner.folder / NESTED, nested)
    winner = recipes[best].override({"name": f"{runner.recipe.name}-tuned"})
    winner.save(runner.folder / BEST)
    judged = nested[nested["n"] > 0]
    return Search(
        folder=runner.folder,
        best=winner,
        trained=runner.folder_of(recipes[best]),
        trials=trials,
        nested=nested,
        score=float(scored["kl"].iloc[best]),
        nested_score=float(np.average(judged["kl_outer"], weights=judged["n"])),
        tier=f">={MANY_VOTES}" if (votes >= MANY_VOTES).any() else "all",
        keys=tuple(runner.space),
    )


def _optuna() -> Any:
    try:
        import optuna
        import optuna.storages.journal
    except ImportError as error:
        raise PlatformError(
            f"hbac tune needs the package optuna ({error}); install it with: pip install 'optuna>=4,<6'"
        ) from None
    return optuna
