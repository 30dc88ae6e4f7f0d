"""What the stages will write at most, against what is drawn and built."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from hbaclib import build_model
from hbaclib.dataset.synthetic.plan import plan_dataset
from hbaclib.errors import ConfigError
from hbaclib.suite import sizes
from hbaclib.suite.plans import IMAGE_NETWORKS, RAW_NETWORKS
from hbaclib.suite.table import Stage, SuiteTable


@pytest.mark.parametrize(("patients", "recordings"), [(1, 1.0), (8, 2.5), (40, 2.5), (60, 6.0), (260, 1.2), (3, 0.0)])
@pytest.mark.parametrize("seed", [0, 1, 7])
def test_a_synthetic_set_is_counted_as_it_is_drawn(patients: int, recordings: float, seed: int) -> None:
    drawn = plan_dataset(patients, 20, recordings, 4.0, seed)
    made = [recording for patient in drawn for recording in patient.recordings]
    train = [recording for recording in made if recording.split == "train"]
    rows = sum(recording.seconds // 2 for recording in train)
    samples = sum(len(set(eeg.row_groups)) for recording in train for eeg in recording.eegs)
    size = sum(eeg.seconds * 200 * 20 * 4 for recording in made for eeg in recording.eegs)
    size += sum(recording.seconds // 2 * 401 * 4 for recording in made)
    counts = sizes.count_synthetic(patients, recordings, seed)
    assert (counts.spectrogram_rows, counts.samples) == (rows, samples)
    heads = sum(len(recording.eegs) for recording in made) * 10_000 + len(made) * 80_000
    assert size <= counts.synthetic_bytes - heads <= 1.01 * size


def test_more_recordings_mean_more_bytes() -> None:
    counts = [sizes.count_synthetic(50, number).synthetic_bytes for number in (1.0, 1.2, 2.5, 8.0)]
    assert counts == sorted(set(counts))
    suite = SuiteTable().suite("demo")
    few, many = (
        sizes.suite_counts(suite, {"synthetic_patients": 50, "synthetic_recordings": number, "n_folds": 3})
        for number in (1, 4)
    )
    assert few.synthetic_bytes < many.synthetic_bytes and few.folds == 3


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", ["efficientnet_b0", "convnet_small", "mobilenet_v3_large_wavenet", "efficientnet_v2_b0", *RAW_NETWORKS]
)
def test_networks_have_no_more_weights_than_stated(name: str) -> None:
    layout, inputs = ("raw", "raw") if name in RAW_NETWORKS else ("stem", "both")
    count = build_model(name, layout, inputs).count_params()
    assert count <= sizes._weight_bytes(name) / 4 < 1.5 * count


def stage(name: str, **values: Any) -> Stage:
    found = next(each for each in SuiteTable().suite("full").stages if each.name == name)
    return replace(found, parameters={**found.parameters, **values})


def test_every_network_fold_seed_and_round_counts() -> None:
    counts = sizes.COMPETITION["vote_groups"]
    assert set(IMAGE_NETWORKS) <= set(sizes.PARAMETERS)

    def bytes_of(name: str, **values: Any) -> int:
        return sizes.stage_bytes(stage(name, **values), counts)

    assert bytes_of("04_train_efficientnet-b0") < bytes_of("04_train_efficientnet-b4") < 2_000_000_000
    assert bytes_of("04_train_efficientnet-b0", backbone="of_my_own") > bytes_of("04_train_efficientnet-b4")
    assert bytes_of("05_kerascv", backbones=["densenet201"]) > bytes_of("05_kerascv", backbones=["mobilenet_v3_large"])
    alone, joined = (bytes_of("05_kerascv", backbones=["resnet50_v2"], fusions=fusions) for fusions in (False, True))
    assert joined > alone
    assert bytes_of("06_raw_eeg") > bytes_of("06_raw_eeg", bands=[])
    assert bytes_of("06_raw_eeg") > bytes_of("06_raw_eeg", recipe="smoke")  # without a second round
    assert bytes_of("06_raw_eeg", crop_seconds=10.0) - bytes_of("06_raw_eeg") == 20_180 * 10_000 * 8 * 2
    more = sizes.stage_bytes(stage("04_train_efficientnet-b0"), replace(counts, folds=10))
    assert more > 1.5 * bytes_of("04_train_efficientnet-b0")
    assert bytes_of("07_ensemble") == bytes_of("08_submit") == sizes.SMALL


def test_stage_02_by_its_images() -> None:
    counts, image = sizes.COMPETITION["vote_groups"], 20_180 * 128 * 256 * 4 * 2
    of = {len(images): sizes.stage_bytes(stage("02_eeg_spectrograms", images=images), counts)
          for images in (["pair"], ["absolute", "pair"], ["pair", "pair", "absolute"])}  # fmt: skip
    assert of[2] - of[1] == image and of[3] == of[2]
    assert sizes.stage_bytes(stage("02_eeg_spectrograms", images=["absolute"]), counts) == of[1]
    assert sizes.stage_bytes(stage("02_eeg_spectrograms"), counts) == of[2]  # the notebook's default


def test_kernels_that_write_too_much() -> None:
    sizes.check_kernels({"a": sizes.LIMIT}, "suite s")
    with pytest.raises(
        ConfigError, match=r"suite s: b 20\.1 GB written, .* 20\.0 GB \(computed for them\); draw fewer"
    ):
        sizes.check_kernels({"a": 1, "b": 20_100_000_000}, "suite s", "them")


def test_faulty_parameters_are_told() -> None:
    counts = sizes.COMPETITION["vote_groups"]
    with pytest.raises(ConfigError, match="recipe 'glod' is unknown"):
        sizes.stage_bytes(stage("04_train_efficientnet-b0", recipe="glod"), counts)
    with pytest.raises(ConfigError, match="sampling 'any', expected one of vote_groups"):
        sizes.suite_counts(SuiteTable().suite("full"), {"sampling": "any"})
