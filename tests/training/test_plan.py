"""Plans: which job stands where, and what a session has no time for."""

from __future__ import annotations

import itertools

import pytest

from hbaclib.training.plan import Job, Place, fitting, lay_out, seconds_of


def job(name: str, seconds: float, *needs: str) -> Job:
    return Job(name, lambda device: None, name[0], frozenset(needs), seconds)


def fits(network: str, number: int, seconds: float, *needs: str) -> list[Job]:
    return [job(f"{network}{fold}", seconds, *needs) for fold in range(number)]


def names(jobs: list[Job]) -> list[str]:
    return [each.name for each in jobs]


def test_five_fits_of_four_networks_are_ten_full_rounds_of_two_devices() -> None:
    jobs = [each for network in "abcd" for each in fits(network, 5, 60)]
    places = lay_out(jobs, 2)
    assert seconds_of(places) == 10 * 60  # network by network it were twelve
    for device in (0, 1):
        own = [place for place in places if place.device == device]
        assert len(own) == 10
        assert all(first.end == second.begin for first, second in itertools.pairwise(own))
    # A network begins with the last fit of the one before it.
    assert {place.name for place in places if place.begin == 120} == {"a4", "b0"}


@pytest.mark.parametrize(
    ("jobs", "devices", "expected"),
    [
        (fits("a", 5, 10), 1, 50),
        (fits("a", 5, 10), 2, 30),
        (fits("a", 5, 10), 5, 10),
        (fits("a", 5, 10), 8, 10),
        ([], 2, 0),
        ([job("a0", 30), job("b0", 10), job("b1", 10), job("b2", 10)], 2, 30),
        # The second round waits for the first one's labels, and others do not wait with it.
        ([*fits("a", 2, 10), job("al", 1, "a0", "a1"), *fits("z", 2, 10, "al")], 2, 21),
        ([*fits("a", 3, 10), job("al", 1, "a0", "a1", "a2"), *fits("z", 2, 10, "al"), job("b0", 9)], 2, 31),
        # What is needed and is no job is over.
        ([job("a0", 10, "earlier")], 1, 10),
    ],
)
def test_how_long_a_plan_takes(jobs: list[Job], devices: int, expected: float) -> None:
    assert seconds_of(lay_out(jobs, devices)) == expected


def test_a_device_that_would_wait_takes_the_next_network() -> None:
    jobs = [*fits("a", 3, 10), job("al", 1, "a0", "a1", "a2"), *fits("z", 1, 10, "al"), job("b0", 9), job("b1", 20)]
    assert lay_out(jobs, 2) == [
        Place("a0", 0, 0, 10),
        Place("a1", 1, 0, 10),
        Place("a2", 0, 10, 20),
        Place("b0", 1, 10, 19),
        Place("b1", 1, 19, 39),
        Place("al", 0, 20, 21),
        Place("z0", 0, 21, 31),
    ]


def test_jobs_that_need_each_other() -> None:
    with pytest.raises(ValueError, match="need each other: a0, b0"):
        lay_out([job("a0", 1, "b0"), job("b0", 1, "a0")], 1)


@pytest.mark.parametrize(
    ("seconds", "kept"),
    [
        (None, 10),
        (100, 10),
        (50, 10),
        (49, 8),
        (20, 4),
        (19, 2),
        (9, 0),
        (0, 0),
        (-5, 0),
    ],
)
def test_what_does_not_fit_is_left_out_from_the_end(seconds: float | None, kept: int) -> None:
    jobs = [*fits("a", 5, 10), *fits("b", 5, 10)]
    assert names(fitting(jobs, 2, seconds)) == names(jobs)[:kept]


def test_a_short_job_does_not_pass_a_long_one() -> None:
    jobs = [*fits("a", 2, 10), job("b0", 100), job("c0", 1)]
    assert names(fitting(jobs, 1, 30)) == ["a0", "a1"]
    # Beside it, it may.
    assert names(fitting(jobs, 2, 110)) == ["a0", "a1", "b0", "c0"]
