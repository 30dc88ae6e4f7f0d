"""The library asks for no module that only some systems have; its public names and light commands work without."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from hbaclib import platform
from tests.dataset.tiny import write_tiny

ROOT = Path(__file__).parents[1]
WITHOUT = """
import builtins, importlib, json, math, pkgutil, sys
from pathlib import Path

own, asked = builtins.__import__, []


def refuse(name, globals=None, *rest, **named):
    importer = (globals or {}).get("__name__", "")
    if name in ("fcntl", "resource") and importer.partition(".")[0] == "hbaclib":
        asked.append(f"{importer}: {name}")
        raise ModuleNotFoundError(f"No module named {name!r}", name=name)
    return own(name, globals, *rest, **named)


builtins.__import__ = refuse
import hbaclib

for name in hbaclib.__all__:
    getattr(hbaclib, name)
modules = [module.name for module in pkgutil.walk_packages(hbaclib.__path__, "hbaclib.")]
for name in modules:
    importlib.import_module(name)

from hbaclib.cli.main import main

folder = Path(sys.argv[1])
made = ["synth", str(folder / "made"), "--patients", "2", "--test-rows", "1", "--jobs", "1"]
for command in (["check", str(folder / "tiny"), "--jobs", "1"], made, ["predict", "--help"]):
    main(command, standalone_mode=False)
asked_on_import = list(asked)
assert math.isnan(hbaclib.platform.peak_megabytes())
print(json.dumps({"modules": len(modules), "asked": asked_on_import}))
"""


def test_nothing_needs_a_module_that_other_systems_lack(tmp_path: Path) -> None:
    write_tiny(tmp_path / "tiny")
    done = subprocess.run([sys.executable, "-c", WITHOUT, str(tmp_path)], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert any(line.endswith("no fault found") for line in lines)
    assert (tmp_path / "made" / "train.csv").is_file()
    told = json.loads(lines[-1])
    assert told["modules"] > 90
    assert told["asked"] == []


@pytest.mark.parametrize(("system", "unit"), [("linux", 1 << 10), ("darwin", 1 << 20)])
def test_peak_memory_is_in_the_unit_of_the_system(system: str, unit: int, monkeypatch: pytest.MonkeyPatch) -> None:
    import resource

    class Usage:
        ru_maxrss = 300 * unit

    monkeypatch.setattr(sys, "platform", system)
    monkeypatch.setattr(resource, "getrusage", lambda who: Usage)
    assert platform.peak_megabytes() == 300


def test_peak_memory_is_not_a_number_where_the_system_does_not_tell(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "resource", None)
    assert platform.peak_megabytes() != platform.peak_megabytes()
