"""Networks of the user's own reach every process: by ``--module``, by the environment, by an installed package."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from hbaclib.cli.main import main
from hbaclib.errors import ConfigError
from hbaclib.models import user_modules

OWN = "from hbaclib import register_model\nregister_model('{0}', lambda shape: None)\n"
NAMES = "from hbaclib import model_names; print([name for name in model_names() if name.startswith('own')])"


def names(**environment: str) -> str:
    """Names of the user's own networks in a new process."""
    done = subprocess.run(
        [sys.executable, "-c", NAMES], env={**os.environ, **environment}, capture_output=True, text=True
    )
    return done.stdout.strip() or done.stderr.strip().splitlines()[-1]


def test_a_new_process_knows_what_the_environment_names(tmp_path: Path) -> None:
    for name in ("own_a", "own_b"):
        (tmp_path / f"{name}.py").write_text(OWN.format(name))
    listed = os.pathsep.join([str(tmp_path / "own_a.py"), str(tmp_path / "own_b.py")])
    assert names(HBAC_MODULES=listed) == "['own_a', 'own_b']"
    assert names(HBAC_MODULES="") == "[]"
    told = names(HBAC_MODULES=str(tmp_path / "none.py"))
    assert "none.py: no such file" in told


def test_an_installed_package_announces_its_networks(tmp_path: Path) -> None:
    (tmp_path / "own_package.py").write_text(OWN.format("own_installed"))
    info = tmp_path / "own_package-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: own-package\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[hbaclib.models]\nown = own_package\n")
    path = os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])
    assert names(PYTHONPATH=path) == "['own_installed']"
    (tmp_path / "own_package.py").write_text("raise ValueError('broken')\n")
    assert "entry point own of hbaclib.models: own_package: cannot be imported (ValueError: broken)" in names(
        PYTHONPATH=path
    )


@pytest.mark.parametrize(
    "command", [["run", "smoke"], ["tune", "demo", "--run", "no run"], ["predict", "no folder", "no file"]]
)
def test_every_command_that_needs_networks_takes_modules(command: list[str], tmp_path: Path) -> None:
    missing = CliRunner().invoke(main, [*command, "--module", str(tmp_path / "missing.py")])
    assert missing.exit_code == 1
    assert "no such file" in missing.stderr and len(missing.stderr.splitlines()) == 1


def test_a_file_is_named_by_its_whole_path_and_imported_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "counted.py").write_text(
        "import pathlib\nwith pathlib.Path('count').open('a') as f:\n    f.write('x')\n"
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(user_modules, "_imported", set())
    user_modules.import_user_module("counted.py")
    monkeypatch.setenv(user_modules.VARIABLE, user_modules.whole_name("counted.py"))
    user_modules.import_all()
    user_modules.import_all()
    assert (tmp_path / "count").read_text() == "x"
    assert user_modules.named_modules() == [str(tmp_path / "counted.py")]
    with pytest.raises(ConfigError, match="no such file"):
        user_modules.import_user_module("counted2.py")


def test_installed_packages_are_looked_through_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """A recipe asks the registry for every batch."""
    from hbaclib import load_recipe, model_names

    model_names()
    monkeypatch.setattr(user_modules.importlib.metadata, "entry_points", lambda **group: pytest.fail("asked again"))
    assert not load_recipe("demo").reads_signals
