"""Puts into the wheel what the commands read beside the package: the notebooks and the table of suites.

All else about the build stands in ``pyproject.toml``. The copies are made in the build's own folder, never in the
checkout; an editable installation has none and reads the checkout.
"""

from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

ROOT = Path(__file__).parent
CARRIED = ("kaggle/suite.toml", "notebooks/*.ipynb", "notebooks/*.py")


class BuildWithProject(build_py):
    """Builds the package, and its copy of the project's files in ``hbaclib/_project``."""

    def _carried(self) -> dict[Path, Path]:
        """File of the build -> file of the project that it is a copy of."""
        if self.editable_mode or "hbaclib" not in (self.packages or ()):
            return {}
        folder = Path(self.build_lib) / "hbaclib" / "_project"
        files = [file for pattern in CARRIED for file in sorted(ROOT.glob(pattern))]
        return {folder / file.relative_to(ROOT): file for file in files}

    def run(self) -> None:
        """Build, then copy."""
        super().run()
        for target, source in self._carried().items():
            self.mkpath(str(target.parent))
            self.copy_file(str(source), str(target))

    def get_outputs(self, include_bytecode: bool = True) -> list[str]:
        """All files of the build."""
        return [*super().get_outputs(include_bytecode), *map(str, self._carried())]


setup(cmdclass={"build_py": BuildWithProject})
