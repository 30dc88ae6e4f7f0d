"""Classify harmful brain activity in EEG: signals to images, networks, training, honest scores.

The public names are loaded on first use, so that ``import hbaclib`` is quick and works where TensorFlow is absent.
"""

from __future__ import annotations

from importlib import import_module

__version__ = "0.1.0"

_PUBLIC = {
    "conventions": ("CLASSES", "EEG_COLUMNS", "SPECTROGRAM_COLUMNS", "VOTE_COLUMNS"),
    "recordings.opened": ("open_recording",),
    "recordings.parquet": ("read_eeg", "read_spectrogram"),
    "dataset.samples": ("non_overlapping_samples", "vote_group_samples"),
    "dataset.folds": ("audit_folds", "patient_folds"),
    "dataset.synthetic": ("make_synthetic_dataset",),
    "stages.port": ("port_data",),
    "signal.differences": ("to_differences",),
    "signal.mel": ("eeg_spectrogram",),
    "signal.short": ("place_short",),
    "signal.multitaper": ("kaggle_spectrogram",),
    "signal.images": ("assemble_input", "spectrogram_image", "swap_left_right", "swap_left_right_raw"),
    "inputs.store": ("open_inputs",),
    "models.registry": ("build_model", "model_names", "register_model"),
    "training.cross_validate": ("train",),
    "prediction.ensemble_predictor": ("predict",),
    "prediction.explain": ("explain",),
    "prediction.mne_raw": ("from_mne",),
    "training.recipe": ("load_recipe",),
    "evaluation.metric": ("kl_divergence",),
    "evaluation.tiers": ("score_by_tier",),
    "evaluation.oof": ("load_oof",),
    "ensemble.fit": ("fit_ensemble",),
    "ensemble.runs": ("compare_runs", "open_runs", "pair_runs"),
    "prediction.submission_check": ("validate_submission",),
}
_MODULE_OF = {name: module for module, names in _PUBLIC.items() for name in names}

__all__ = sorted([*_MODULE_OF, "__version__"])  # noqa: PLE0605 - computed from the table above


def __getattr__(name: str) -> object:
    """Import the module of a public name when it is first asked for."""
    if name not in _MODULE_OF:
        raise AttributeError(f"module 'hbaclib' has no attribute {name!r}")
    return getattr(import_module(f"hbaclib.{_MODULE_OF[name]}"), name)


def __dir__() -> list[str]:
    return __all__
