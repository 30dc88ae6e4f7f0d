"""What a notebook reads: the data and the stages before it, found or, where there are none, computed now.

In a run of the suite every stage finds its predecessors finished. Who opens a single notebook and runs all its cells
has none: then the missing ones are computed by the same library calls with their notebooks' defaults, and it is said.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any

from hbaclib.artefacts import MANIFEST, read_manifest, stage_lock
from hbaclib.dataset.synthetic.writer import is_set_of, make_synthetic_dataset, remove_set
from hbaclib.ensemble.store import ensemble_stage
from hbaclib.errors import ArtefactError, ConfigError, PlatformError, list_some
from hbaclib.outputs import stage_folder
from hbaclib.platform import COMPETITION, SYNTHETIC, find_data, find_mount, on_kaggle
from hbaclib.stages.eeg_products import store_eeg_products, stored_images
from hbaclib.stages.images import store_kaggle_images
from hbaclib.stages.names import EEG, EEG_IMAGES, ENSEMBLE, FIRST_ROUND, IMAGES, OOF_FILE, PORT, TRAINED
from hbaclib.stages.places import find_stage, find_trained, mounted_fits, mounted_stages
from hbaclib.stages.port import port_data
from hbaclib.suite.eeg_images import LEAST
from hbaclib.training.trained_folder import FITS, TrainedFolder

DEFAULT_PATIENTS = 40


def data_folder(
    data: str,
    out: str | Path,
    *,
    synthetic_patients: int = DEFAULT_PATIENTS,
    synthetic_recordings: float = 2.5,
    synthetic_seed: int = 1,
) -> Path:
    """Folder of the data: as named, the competition's mount, or a synthetic set that is made now below ``out``.

    Raises:
        PlatformError: a folder was named and is not there.
        HbacError: something else than a synthetic set lies where it would be made.
    """
    if data or find_mount("competitions", COMPETITION):
        found = source_of(data, out)
        print(f"data: {found}")
        return found
    print(f"no data named and no competition mount: a synthetic set of {synthetic_patients} patients is used")
    folder = Path(out) / SYNTHETIC
    arguments: dict[str, Any] = {
        "n_patients": synthetic_patients,
        "recordings_per_patient": synthetic_recordings,
        "seed": synthetic_seed,
    }
    with stage_lock(folder):
        # A set below the run's own folder is the run's own: of other arguments, or damaged, it is made anew.
        if not is_set_of(folder, **arguments):
            remove_set(folder)
        return make_synthetic_dataset(folder, **arguments)


def source_of(data: str, out: str | Path) -> Path:
    """Folder of the data that the first stage was made from.

    Raises:
        PlatformError: there is none; says what to do.
    """
    found = find_data(data, out)
    if found is None:
        raise PlatformError(f"no data: neither named, nor mounted, nor below {out}; run 01_port_data or name a folder")
    return found


def _announce(stage: str) -> None:
    print(f"{stage} has not run: computing it now with its defaults")


def _found_or_made(stage: str, out: str | Path, make: Callable[[], Path]) -> Path:
    if found := find_stage(stage, out):
        return found
    _announce(stage)
    return make()


def ported(out: str | Path, data: str = "") -> Path:
    """Folder of stage 01."""
    return _found_or_made(PORT, out, lambda: port_data(data_folder(data, out), out))


def eeg_products(out: str | Path, data: str = "", images: Collection[str] = ()) -> Path:
    """Folder of stage 02.

    Args:
        out: the run's output folder.
        data: folder in the competition's format; empty for the usual one.
        images: which images of the EEG are needed (a mapping names the recipe that sees each), and no other is computed
            where the stage has not run; a stage of this run that is found without them is made again, with them.

    Raises:
        ConfigError: another notebook's stage is attached, and lacks one of them.
    """
    check_attached(out, images)
    port = ported(out, data)
    found = _found_eeg(out, images)
    stored = stored_images(found) if found else ()
    if found and set(images) <= set(stored):
        return found
    wanted = {*images} or {*LEAST}
    if not found:
        _announce(EEG)
    elif on_kaggle():  # whose session has no room for both beside stages 01 and 03
        print(f"{found}: holds the images {', '.join(stored) or 'none'}; computing {', '.join(images)} in their place")
    else:
        print(f"{found}: holds the images {', '.join(stored) or 'none'}; computing {', '.join(images)} as well")
        wanted |= set(stored)
    return store_eeg_products(source_of(data, out), port, out, images=wanted)


def _found_eeg(out: str | Path, images: Collection[str]) -> Path | None:
    """Folder of a finished stage 02: this run's own, else of the attached ones one that holds the images."""
    first = find_stage(EEG, out)
    if first is None or first.parent == Path(out):
        return first
    return next((each for each in mounted_stages(EEG) if set(images) <= set(stored_images(each))), first)


def check_attached(out: str | Path, images: Collection[str]) -> None:
    """Check that an attached stage 02 of another notebook, which cannot be made again here, holds images of the EEG.

    Args:
        out: the run's output folder; a stage 02 that lies in it is this run's own.
        images: which are needed; a mapping names the recipe that sees each.

    Raises:
        ConfigError: it lacks one; names the folder, what it holds, and the way out.
    """
    found = _found_eeg(out, images)
    if found is None or found.parent == Path(out):
        return
    stored = stored_images(found)
    lacking = [image for image in images if image not in stored]
    if lacking:
        recipes = images if isinstance(images, Mapping) else {}
        who = [f"recipe {recipes[image]!r} sees" if image in recipes else "needed is" for image in lacking]
        why = " and ".join(f"{start} image {image!r}" for start, image in zip(who, lacking, strict=True))
        needed = [image for image in EEG_IMAGES if image in {*stored, *images}]
        raise ConfigError(
            f"{why}, and {found} holds {list_some(list(stored)) or 'none'} alone; run {EEG} with images = {needed} and "
            "attach its output, or detach it: then the image is computed here"
        )


def images(out: str | Path, data: str = "") -> Path:
    """Folder of stage 03."""
    port = ported(out, data)
    return _found_or_made(IMAGES, out, lambda: store_kaggle_images(port, out))


def adopt_fits(stage: str, out: str | Path) -> None:
    """Take over the fits of a training stage that attached kernels have finished, or begun.

    Its folds were split over them, or the session of one of them had no time for all. Each fit carries a digest of its
    recipe, data and code, by which training recognises it or does it again.

    Args:
        stage: name of the stage's folder.
        out: this run's output folder.
    """
    target = Path(out).resolve() / stage
    if not (folders := mounted_fits(stage)):
        return
    with stage_folder(target, TRAINED, FIRST_ROUND, own=FITS):
        for folder in folders:
            # Of a folder whose run has not ended, what lies beside a fit's record or its checkpoint is whole.
            begun = {file.name.partition(".")[0] for pattern in FITS for file in folder.glob(pattern)}
            whole = (folder / MANIFEST).is_file()
            for file in sorted(folder.glob("fold-*")):
                if (whole or file.name.partition(".")[0] in begun) and not (target / file.name).exists():
                    target.mkdir(parents=True, exist_ok=True)
                    shutil.copyfile(file, target / file.name)


def stage_name(backbone: str) -> str:
    """Name of the training stage of a backbone, as in the suite table."""
    return f"04_train_{backbone.replace('_', '-')}"


def trained(out: str | Path, data: str = "") -> list[Path]:
    """Folders of all networks that are trained on all folds, one trained now where there is none at all.

    A network of which a session trained some folds has no out-of-fold table to compare with the others': it is left
    out, and told.

    Raises:
        ArtefactError: networks were begun, and none is trained on all folds.
    """
    if found := find_trained(out):
        whole = [folder for folder in found if OOF_FILE in read_manifest(folder).outputs]
        partial = [f"{folder.name} ({_folds_told(folder)})" for folder in found if folder not in whole]
        if not whole:
            raise ArtefactError(
                f"no network is trained on all folds: {list_some(partial)}; run the notebook that trains it again, "
                "with what it has left there or attached"
            )
        if partial:
            print(f"left out of the ensemble: {list_some(partial)}")
        return whole
    from hbaclib.suite.family import open_family
    from hbaclib.suite.plans import efficientnet_plans

    plans = efficientnet_plans()
    stage = stage_name(plans.first.backbone)
    _announce(stage)
    return list(open_family(plans, out, data, stage=stage).train().values())


def _folds_told(folder: Path) -> str:
    """Which folds of a network are trained, in words."""
    network = TrainedFolder.open(folder)
    folds = sorted(network.folds)
    in_a_row = len(folds) > 2 and folds[-1] - folds[0] == len(folds) - 1
    which = f"{folds[0]} to {folds[-1]}" if in_a_row else list_some(folds)
    if len(folds) == 1:
        return f"fold {which} of {network.recipe.folds} is trained"
    return f"folds {which} of {network.recipe.folds} are trained"


def model_places(out: str | Path) -> list[Path]:
    """Folders in which trained stages lie: on Kaggle each is another mount, which an ensemble does not know."""
    return list(dict.fromkeys(folder.parent for folder in find_trained(out)))


def ensembled(out: str | Path, data: str = "") -> Path:
    """Folder of stage 07."""
    return _found_or_made(ENSEMBLE, out, lambda: ensemble_stage(trained(out, data), Path(out) / ENSEMBLE))
