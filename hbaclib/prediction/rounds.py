"""Where two rounds of training lie: the networks of the first make the pseudo-labels that the second trains on."""

from __future__ import annotations

from pathlib import Path


def round_folders(folder: str | Path) -> tuple[Path, Path]:
    """Folders of the first round and of the pseudo-labels that belong to a trained folder.

    Args:
        folder: as ``06_train_wavenet``; its like are ``06_first_round_wavenet`` and ``06_pseudo_labels_wavenet``,
            which their manifests say are none that an ensemble takes for members.
    """
    folder = Path(folder).resolve()
    number, _, name = folder.name.rpartition("_train_")
    first, labels = (
        f"{number}_{kind}_{name}" if number else f"{kind}_{name}" for kind in ("first_round", "pseudo_labels")
    )
    return folder.with_name(first), folder.with_name(labels)
