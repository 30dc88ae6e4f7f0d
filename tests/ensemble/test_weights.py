import pytest

from hbaclib.ensemble.weights import check_weights
from hbaclib.errors import ConfigError

MEMBERS = ["whole", "delta", "theta", "alpha"]


@pytest.mark.parametrize("weights", [[], [1, 1, 1, 1], [0.5, 0, 0, 0.2]])
def test_right_weights(weights):
    check_weights("band_weights", weights, MEMBERS)


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ([1, 1, 1], r"band_weights has 3 weights, expected one for each of 4 members \(whole, delta, theta, alpha\)"),
        ([1, 1, 1, -1], "at least 0"),
        ([0, 0, 0, 0], "not all 0"),
        ([1, 1, 1, float("nan")], "at least 0"),
    ],
)
def test_wrong_weights_are_named(weights, message):
    with pytest.raises(ConfigError, match=message):
        check_weights("band_weights", weights, MEMBERS)


def test_weights_for_nobody():
    with pytest.raises(ConfigError, match=r"1 weights, expected one for each of 0 members \(none\)"):
        check_weights("half_weights", [1], [])
