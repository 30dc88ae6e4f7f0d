"""Images against plain re-computations, edge cases, and the swaps."""

from __future__ import annotations

import numpy as np
import pytest

from hbaclib import assemble_input, eeg_spectrogram, spectrogram_image, swap_left_right, swap_left_right_raw
from hbaclib.conventions import ELECTRODE_SWAP, RAW_PAIRS
from hbaclib.errors import DataError
from hbaclib.signal.images import starter_layout, tile_layout
from hbaclib.signal.raw import raw_signals
from tests.dataset.tiny import random_eeg, random_spectrogram


@pytest.fixture
def rows() -> np.ndarray:
    rows = random_spectrogram(np.random.default_rng(1))
    rows[30:40, 50:250] = np.nan
    rows[100:120, 350] = 0
    rows[5, 5] = 206_415
    return rows


def test_spectrogram_image_follows_the_recipe(rows: np.ndarray) -> None:
    image = spectrogram_image(rows)
    assert image.shape == (128, 256, 4) and image.dtype == np.float32
    for channel in range(4):
        plane = rows[:, 100 * channel : 100 * channel + 100].T.astype(np.float64)
        plane = np.log(np.clip(plane, np.exp(-4), np.exp(8)))
        plane = np.nan_to_num((plane - np.nanmean(plane)) / (np.nanstd(plane) + 1e-6))
        expected = np.zeros((128, 256))
        expected[14:-14] = plane[:, 22:-22] / 2
        np.testing.assert_allclose(image[..., channel], expected, atol=1e-5)


@pytest.mark.parametrize("value", [np.nan, 0.0, 3.7, 1e6])
def test_a_region_without_data_or_constant_is_zero(rows: np.ndarray, value: float) -> None:
    full = spectrogram_image(rows)
    rows[:, 100:200] = value
    image = spectrogram_image(rows)
    assert not image[..., 1].any()
    np.testing.assert_array_equal(image[..., [0, 2, 3]], full[..., [0, 2, 3]])
    assert not starter_layout(np.full((300, 400), value)).any()


def test_input_is_both_halves(rows: np.ndarray) -> None:
    eeg = random_eeg(np.random.default_rng(2))
    image = assemble_input(rows, eeg)
    assert image.shape == (128, 256, 8) and image.dtype == np.float32
    np.testing.assert_array_equal(image[..., :4], spectrogram_image(rows))
    np.testing.assert_array_equal(image[..., 4:], eeg_spectrogram(eeg))


def test_wrong_shapes_are_named(rows: np.ndarray) -> None:
    for call in (spectrogram_image, starter_layout):
        with pytest.raises(DataError, match=r"\(299, 400\), expected \(300, 400\)"):
            call(rows[1:])
    with pytest.raises(DataError, match=r"\(9999, 20\), expected \(10000, 20\)"):
        assemble_input(rows, np.zeros((9_999, 20), np.float32))
    with pytest.raises(DataError, match=r"expected \(\.\.\., 128, 256, 8\)"):
        swap_left_right(np.zeros((128, 256, 5)))
    with pytest.raises(DataError, match=r"expected \(\.\.\., n, 8\)"):
        swap_left_right_raw(np.zeros((2_000, 7)))
    with pytest.raises(DataError, match=r"images have shape"):
        tile_layout(np.zeros((2, 256, 128, 8)))


@pytest.mark.parametrize("shape", [(128, 256, 8), (128, 256, 4), (3, 128, 256, 8)])
def test_swap_is_an_involution_that_moves_channels_only(shape: tuple[int, ...]) -> None:
    image = np.random.default_rng(0).random(shape)
    swapped = swap_left_right(image)
    np.testing.assert_array_equal(swap_left_right(swapped), image)
    np.testing.assert_array_equal(swapped[..., :4], image[..., [1, 0, 3, 2]])
    if shape[-1] == 8:
        np.testing.assert_array_equal(swapped[..., 4:], image[..., [5, 4, 7, 6]])


def test_swapping_electrodes_swaps_the_images() -> None:
    eeg = random_eeg(np.random.default_rng(3))
    mirrored = eeg[:, list(ELECTRODE_SWAP)]
    np.testing.assert_allclose(eeg_spectrogram(mirrored), swap_left_right(eeg_spectrogram(eeg)), atol=1e-6)
    np.testing.assert_allclose(raw_signals(mirrored), swap_left_right_raw(raw_signals(eeg)), atol=1e-6)


def test_raw_swap_is_that_of_the_names() -> None:
    signals = np.arange(8.0)[None]
    np.testing.assert_array_equal(swap_left_right_raw(signals)[0], [6, 7, 4, 5, 2, 3, 0, 1])
    assert RAW_PAIRS[0] == ("Fp1", "T3") and RAW_PAIRS[6] == ("Fp2", "T4")


def test_tiles_lie_where_the_layout_says() -> None:
    image = np.random.default_rng(0).random((2, 128, 256, 8)).astype(np.float32)
    tiles = tile_layout(image)
    assert tiles.shape == (2, 512, 512, 3)
    for channel in range(8):
        top, left = 128 * (channel % 4), 256 * (channel // 4)
        for colour in range(3):
            np.testing.assert_array_equal(tiles[:, top : top + 128, left : left + 256, colour], image[..., channel])
    assert tile_layout(image[0, ..., :4]).shape == (512, 256, 3)


def test_starter_layout_standardises_the_whole_image(rows: np.ndarray) -> None:
    image = starter_layout(rows)
    assert image.shape == (400, 300, 3) and image.dtype == np.float32
    plane = np.log(np.clip(rows.T.astype(np.float64), np.exp(-4), np.exp(8)))
    expected = np.nan_to_num((plane - np.nanmean(plane)) / (np.nanstd(plane) + 1e-6))
    for colour in range(3):
        np.testing.assert_allclose(image[..., colour], expected, atol=1e-5)
