"""The READMEs' numbers of bytes are the code's, and everything that runs in one session of Kaggle fits it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from hbaclib.stages.names import EEG, EEG_IMAGES, RAW, TRAINING_PREFIXES
from hbaclib.suite import sizes
from tests.readme.sizes import COUNTS, TEXTS, alone, bytes_of, kernels, session, shown, stages


@pytest.mark.parametrize("path", TEXTS, ids=lambda path: path.parent.name)
def test_the_readmes_show_the_sizes_as_the_code_has_them(path: Path) -> None:
    assert shown(path) == TEXTS[path](), "write it anew: python -m tests.readme.sizes"


def test_every_kernel_and_every_notebook_by_itself_fits_a_session() -> None:
    for name, size in {**kernels(), **alone()}.items():
        print(f"{name:<36} {size / 1e9:6.2f} GB")
        assert size < sizes.LIMIT, name
    print(f"{'hbac run full':<36} {sum(kernels().values()) / 1e9:6.2f} GB")
    assert set(alone()) > set(kernels()) == {stage.name for stage in stages()}


def test_it_fits_whichever_image_the_recipes_see() -> None:
    """The recipes may change: with both images stage 02 fits, and no notebook by itself needs more than one."""
    both, image = bytes_of(EEG, images=list(EEG_IMAGES)), 20_180 * 128 * 256 * 4 * 2
    assert both - bytes_of(EEG, images=["pair"]) == image == bytes_of(EEG) - bytes_of(EEG, images=["absolute"])
    assert both < sizes.LIMIT and alone()[EEG] == both + bytes_of("01_port_data") < sizes.LIMIT
    for stage in stages():
        if stage.notebook.name.startswith(TRAINING_PREFIXES):
            assert session(stage.notebook.name, {**stage.parameters, "folds": []}) == alone()[stage.name]
    assert session(RAW, {"crop_seconds": 10.0}) < sizes.LIMIT  # with the signals at 200 Hz
    assert sizes.stage_bytes(replace(stages()[0], parameters={}), COUNTS) == kernels()["01_port_data"]
