"""What a self-test says about a suite's settings: named where it is worth a change, and nowhere else."""

from __future__ import annotations

import re
from dataclasses import asdict, replace
from pathlib import Path

import pytest
from click.testing import CliRunner

from hbaclib.artefacts import write_json
from hbaclib.cli.main import main
from hbaclib.kaggle.advice import xla_advice
from hbaclib.kaggle.plan import Plan, PlannedKernel
from hbaclib.kaggle.speeds import Speeds
from hbaclib.selftest.form import SelfTest
from hbaclib.suite.table import Stage, Suite, SuiteTable
from tests.selftest.made import RATES, made, without

FULL = SuiteTable().suite("full")


def measured(**gains: dict[str, float]) -> SelfTest:
    """A self-test in which XLA gains this much: network -> way -> factor; where it is not named, nothing."""
    rows = [
        replace(row, images_per_second=RATES[row.network] * gains.get(row.network, {}).get(row.xla, 1.0))
        for row in made().speeds
    ]
    return made(speeds=tuple(rows))


def advice(found: SelfTest, **parameters: object) -> dict[str, str]:
    """Kernel -> what is said of it."""
    stages: list[Stage] = [
        replace(stage, parameters={**stage.parameters, **parameters}) if parameters else stage for stage in FULL.stages
    ]
    suite: Suite = replace(FULL, stages=tuple(stages))
    return dict(line.split(": ", 1) for line in xla_advice(suite, Speeds(found)))


@pytest.mark.parametrize(
    ("gains", "kernels", "words"),
    [
        ({}, [], ""),
        ({"efficientnet_b0": {"apply": 1.04}}, [], ""),  # measured again it may be the other way round
        ({"efficientnet_b0": {"apply": 1.3}}, ["04_train_efficientnet-b0"], '1.3 times as fast with xla = "apply"'),
        ({"efficientnet_b0": {"full": 1.5, "apply": 1.3}}, ["04_train_efficientnet-b0"], '1.5 times .* xla = "full"'),
        ({"efficientnet_b4": {"apply": 1.4}}, ["04_train_efficientnet-b4"], 'xla = "apply"'),
        ({"resnet1d_gru": {"apply": 1.2}}, ["06_raw_eeg"], "1.2 times as fast"),
        ({"wavenet": {"full": 2.0}}, ["06_wavenet"], 'xla = "full"'),
        ({"wavenet": {"apply": 0.4, "full": 0.1}, "resnet1d_gru": {"apply": 0.9}}, [], ""),
    ],
)
def test_what_is_worth_a_change(gains: dict[str, dict[str, float]], kernels: list[str], words: str) -> None:
    said = advice(measured(**gains))
    assert set(kernels) <= set(said) and (said == {}) == (not kernels)
    for name in kernels:
        assert re.search(words, said[name]), said[name]
        assert "set it in suite.toml, at this stage's parameters" in said[name] and " h in place of " in said[name]


@pytest.mark.parametrize(("xla", "lines"), [("apply", 0), ("off", 1), ("", 1), ("full", 1)])
def test_what_a_stage_has_already_is_not_named(xla: str, lines: int) -> None:
    found = measured(efficientnet_b0={"apply": 1.3}, efficientnet_b4={"apply": 1.0})
    said = advice(found, xla=xla)
    assert ("04_train_efficientnet-b0" in said) == bool(lines)


def test_a_way_that_failed_is_not_named() -> None:
    gone = without(measured(efficientnet_b0={"apply": 1.3}), "efficientnet_b0", "apply")
    assert "04_train_efficientnet-b0" not in advice(gone)
    assert xla_advice(FULL, Speeds()) == []


def test_the_build_says_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kernel = PlannedKernel("01_port_data", "01_port_data", "someone/port", (), gpu=False, bytes=1, digest="0")
    monkeypatch.setattr(
        "hbaclib.kaggle.build.build", lambda *given, **named: Plan("full", "someone", "", (), (kernel,))
    )
    write_json(tmp_path / "selftest.json", asdict(measured(resnet1d_gru={"apply": 1.3})))
    command = ["kaggle", "build", "--user", "someone", "--out", str(tmp_path / "out")]
    result = CliRunner().invoke(main, [*command, "--selftest", str(tmp_path / "selftest.json")])
    assert result.exit_code == 0 and "06_raw_eeg: steps of resnet1d_gru, " in result.output
    result = CliRunner().invoke(main, command)
    assert result.exit_code == 0 and "xla" not in result.output
