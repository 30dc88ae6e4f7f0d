from __future__ import annotations

import numpy as np
import pytest

from hbaclib.errors import ConfigError, DataError
from hbaclib.signal.short import place_short

EEG = np.random.default_rng(0).standard_normal((2, 2000, 20)).astype(np.float32)


def test_it_lies_in_the_middle_with_nothing_around():
    placed = place_short(EEG, "nan")
    assert placed.shape == (2, 10000, 20)
    assert placed.dtype == np.float32
    np.testing.assert_array_equal(placed[:, 4000:6000], EEG)
    assert np.isnan(placed[:, :4000]).all()
    assert np.isnan(placed[:, 6000:]).all()


def test_its_reflection_goes_on_without_a_jump():
    placed = place_short(EEG[0], "reflect")
    np.testing.assert_array_equal(placed[4000:6000], EEG[0])
    np.testing.assert_array_equal(placed[6000:7998], EEG[0][-2:0:-1][:1998])
    np.testing.assert_array_equal(placed[3999], EEG[0][1])
    assert not np.isnan(placed).any()


@pytest.mark.parametrize("n", [2000, 2001, 5555, 9999, 10000])
@pytest.mark.parametrize("how", ["nan", "reflect"])
def test_any_length_of_ten_to_fifty_seconds(n, how):
    placed = place_short(np.zeros((n, 20)), how)
    assert placed.shape == (10000, 20)
    assert np.isfinite(placed).sum() == 20 * (n if how == "nan" else 10000)


@pytest.mark.parametrize("shape", [(1999, 20), (10001, 20), (2000, 19), (2000,), (1, 1, 2000, 20)])
def test_other_shapes_are_refused(shape):
    with pytest.raises(DataError, match="expected"):
        place_short(np.zeros(shape), "nan")


def test_other_ways_are_refused():
    with pytest.raises(ConfigError, match="'wrap'"):
        place_short(EEG, "wrap")
