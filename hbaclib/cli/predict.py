"""``hbac predict``: trained networks on any EEG files, as one table."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from itertools import islice
from pathlib import Path
from typing import Any

import click
import numpy as np

from hbaclib.cli.modules import MODULES, import_modules
from hbaclib.conventions import VOTE_COLUMNS
from hbaclib.errors import ArtefactError, ConfigError, DataError, HbacError, list_some, unknown_name
from hbaclib.prediction.windows import (
    FROM_EEG,
    NONE,
    Recording,
    Row,
    competition_recordings,
    cut_windows,
    find_recordings,
)

FILE_COLUMNS = ("file", "start_second")
_CHUNK = 128
_STEP = 10


def _window(ctx: click.Context, option: click.Parameter, given: str) -> str | float:
    if given in ("centre", "sliding"):
        return given
    try:
        seconds = float(given)
    except ValueError:
        seconds = math.nan
    if not 0 <= seconds < math.inf:
        raise click.BadParameter(f"{given!r}; expected centre, sliding, or the second at which the window starts")
    return seconds


@click.command()
@click.argument("artefacts", type=click.Path(path_type=Path))
@click.argument("inputs", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="INPUT...")
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path), default=None,
              help="CSV file to write; standard output without it.")  # fmt: skip
@click.option("--window", default="centre", show_default=True, callback=_window, metavar="centre|START|sliding",
              help="Which 50 s: the middle, from second START on, or one after the other.")  # fmt: skip
@click.option("--step", type=click.IntRange(min=1), default=None, help="Seconds between sliding windows; 10 without.")
@click.option("--spectrogram", default=None, metavar="PATH|from_eeg|none",
              help="Ten-minute spectrograms: a file, a folder of files named as the EEG files, from_eeg to compute "
                   "them (as is done without this option), none for networks that see the EEG alone.")  # fmt: skip
@click.option("--eeg-begins", type=float, default=None, metavar="SECONDS",
              help="Where in the spectrogram file the EEG file begins; without it both have one centre.")  # fmt: skip
@MODULES
def predict(
    artefacts: Path,
    inputs: tuple[Path, ...],
    out: Path | None,
    window: str | float,
    step: int | None,
    spectrogram: str | None,
    eeg_begins: float | None,
    modules: tuple[str, ...],
) -> None:
    """Predict the six classes for every INPUT with ARTEFACTS, a trained network's or an ensemble's folder.

    INPUT is an EEG file (Parquet, as in the competition), a folder of such files, or a folder in the competition's
    format, whose test.csv then says what is predicted. A file that cannot be read is named and left out; the exit code
    is 1 then.
    """
    competition = len(inputs) == 1 and (inputs[0] / "test.csv").is_file()
    if step is not None and window != "sliding":
        raise click.UsageError("--step goes with --window sliding")
    if eeg_begins is not None and (spectrogram in (None, FROM_EEG, NONE) or not math.isfinite(eeg_begins)):
        raise click.UsageError("--eeg-begins SECONDS goes with --spectrogram PATH")
    if competition and (window != "centre" or spectrogram not in (None, FROM_EEG, NONE)):
        raise click.UsageError("test.csv names windows and spectrograms: --window and --spectrogram PATH do not apply")
    recordings = competition_recordings(inputs[0], spectrogram) if competition else find_recordings(inputs, spectrogram)
    faults: list[str] = []
    try:
        import_modules(modules)
        _run(artefacts, recordings, out, (window, step or _STEP), spectrogram != NONE, eeg_begins, faults)
    except KeyboardInterrupt:
        if out:
            click.echo(f"hbac: {out} was not written", err=True)
        raise
    if faults:
        click.echo(f"hbac: {len(faults)} of {len(recordings)} recordings could not be predicted", err=True)
        sys.exit(1)


def _run(
    artefacts: Path,
    recordings: Sequence[Recording],
    out: Path | None,
    window: tuple[str | float, int],
    with_spectrograms: bool,
    begins: float | None,
    faults: list[str],
) -> None:
    import pandas as pd
    from tqdm import tqdm

    from hbaclib.artefacts import atomic_path

    # Opened before the networks are loaded: a folder that cannot be written shows at once.
    with atomic_path(out) if out else nullcontext() as partial:
        network, wanted = _load(artefacts, with_spectrograms)
        if wanted and any(recording.spectrogram is None for recording in recordings):
            note = "spectrograms are computed from the EEG; what of their ten minutes lies outside it stays empty"
            click.echo(f"hbac: {note}", err=True)
        bar = tqdm(recordings, "predicting", unit="recording", disable=None if out else True)
        rows, header = _rows(bar, window, wanted, begins, faults, len(recordings)), True
        columns = FILE_COLUMNS if recordings[0].eeg_id is None else ("eeg_id",)
        while chunk := list(islice(rows, _CHUNK)):
            names, eegs, power = zip(*chunk, strict=True)
            shares = network(np.stack(eegs), np.stack(power) if wanted else None)
            table = pd.concat(
                [pd.DataFrame(names, columns=list(columns)), pd.DataFrame(shares, columns=list(VOTE_COLUMNS))], axis=1
            )
            if partial:
                table.to_csv(partial, mode="a", header=header, index=False)
            else:
                click.echo(table.to_csv(header=header, index=False), nl=False)
            header = False
        if header:
            raise DataError(f"none of {len(recordings)} recordings could be predicted")


def _load(artefacts: Path, with_spectrograms: bool) -> tuple[Callable[..., np.ndarray], bool]:
    """What `hbaclib.predict` computes, the networks loaded once for all chunks; and whether they see spectrograms."""
    from hbaclib.ensemble.store import open_members
    from hbaclib.inputs.pipeline import input_kinds
    from hbaclib.models.registry import model_names
    from hbaclib.prediction.members import TrainedNetwork
    from hbaclib.prediction.predictor import WITH_SPECTROGRAMS
    from hbaclib.training.trained_folder import TrainedFolder

    ensemble, folders = open_members(artefacts)
    recipes = {name: TrainedFolder.open(path).recipe for name, path in folders.items()}
    for name, recipe in recipes.items():
        if recipe.backbone not in model_names():
            raise ConfigError(
                f"{folders[name]}: {unknown_name('model', recipe.backbone, model_names())}; a network of your own is "
                "known once --module FILE.py has imported what registers it"
            )
    sees = {name: bool(WITH_SPECTROGRAMS & set(input_kinds(recipe))) for name, recipe in recipes.items()}
    names = [name for name in folders if with_spectrograms or not sees[name]]
    if not names:
        raise DataError(f"{artefacts}: {list_some(folders)} see spectrograms; expected networks of the EEG alone")
    try:
        members = {name: TrainedNetwork(folders[name]) for name in names}
    except HbacError:
        raise
    except (OSError, ValueError) as error:
        raise ArtefactError(
            f"{artefacts}: weights cannot be loaded ({(str(error) or 'no reason given').splitlines()[0]})"
        ) from error

    def network(eeg: np.ndarray, power: np.ndarray | None) -> np.ndarray:
        shared: dict[str, Any] = {}
        shares = np.stack([member(eeg, power, shared) for member in members.values()])
        return shares[0] if ensemble is None else ensemble.predict(shares, names).astype(np.float32)

    return network, any(sees[name] for name in names)


def _rows(
    recordings: Any,
    window: tuple[str | float, int],
    wanted: bool,
    begins: float | None,
    faults: list[str],
    total: int,
) -> Iterator[Row]:
    """Every window of every recording; recordings with a fault are named and left out."""
    for recording in recordings:
        try:
            yield from cut_windows(recording, window, wanted, begins)
        except HbacError as error:
            if total == 1:
                raise
            faults.append(str(error))
            recordings.write(f"hbac: {error}", file=sys.stderr)
