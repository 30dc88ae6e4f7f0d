"""Takes from a kernel's output the stage that was asked for, and what of the rest is known; nothing else.

What a kernel writes was written by code that ran elsewhere. Its manifest names a stage's files and their digests; files
that it does not name are not taken, and none leads out of the stage's folder or is hidden in it.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path, PurePosixPath

import click

from hbaclib.artefacts import MANIFEST, Manifest, read_manifest, verify
from hbaclib.errors import ArtefactError, PlatformError, list_some
from hbaclib.kaggle.client import Kaggle
from hbaclib.kaggle.ledger import Ledger
from hbaclib.kaggle.plan import PlannedKernel
from hbaclib.outputs import stage_of, working_folder
from hbaclib.platform import SYNTHETIC
from hbaclib.stages.names import COMPARISON, TRAINED
from hbaclib.suite.sizes import LIMIT
from hbaclib.suite.table import NOTEBOOKS

TRUTH = f"{SYNTHETIC}-truth.parquet"
BESIDE = ("submission.csv", TRUTH, f"{SYNTHETIC}-summary.json")
"""Files that a run has in its output folder itself."""
NOTES = ("__notebook__.ipynb", "__results__.html")
"""What Kaggle keeps of a kernel's notebook; it goes to the executed notebooks."""
_LONGEST_NAME, _LARGEST_MANIFEST = 255, 1 << 26


class Download:
    """What one kernel wrote.

    Args:
        kaggle: the service.
        kernel: the kernel; its session is complete.
        ledger: of the folder that it goes to.
        stages: the stages of all kernels, none of which another may bring.
    """

    def __init__(self, kaggle: Kaggle, kernel: PlannedKernel, ledger: Ledger, stages: set[str]) -> None:
        self.kaggle, self.kernel, self.ledger, self.to = kaggle, kernel, ledger, ledger.folder
        self.foreign = stages - {kernel.stage}
        self.left = LIMIT  # no session keeps more
        files = kaggle.output_files(kernel.ref)
        self.listed = dict(files)
        for name in self.listed:
            if PurePosixPath(name).is_absolute() or ".." in PurePosixPath(name).parts or not name:
                raise PlatformError(f"output file {name!r}: leads out of its folder; not downloaded")
        if len(files) != len(self.listed):
            raise PlatformError(f"kernel {kernel.ref}: names an output file twice; nothing was downloaded")

    def run(self) -> int:
        """Download what is not here already.

        Returns:
            Number of files; 0 where the stage is here as it is there.

        Raises:
            PlatformError: a download failed, or a name leads elsewhere.
            ArtefactError: files are missing or differ from their digests, or something else lies in the way.
        """
        kernel = self.kernel
        if f"{kernel.stage}/{MANIFEST}" not in self.listed:
            raise ArtefactError(
                f"kernel {kernel.ref}: no stage with a manifest among its {len(self.listed)} output files; expected "
                f"{kernel.stage}/{MANIFEST}"
            )
        with working_folder(self.to / kernel.name) as new:
            manifest = self._manifest(kernel.stage, new)
            if self._is_here(kernel.stage, manifest):
                return 0
            taken = {kernel.stage: manifest}
            if manifest.stage == COMPARISON:
                taken |= self._networks(manifest, new)
            names = [f"{stage}/{name}" for stage, each in taken.items() for name in each.outputs]
            extras = {name: name for name in BESIDE if name in self.listed}
            extras |= {name: f"{NOTEBOOKS}/{kernel.name}-{name}" for name in NOTES if name in self.listed}
            marks = [f"{stage}/{MANIFEST}" for stage in taken]
            self.ledger.refuse_foreign([*marks, *names])  # before many gigabytes are downloaded
            if missing := [name for name in names if name not in self.listed]:
                raise ArtefactError(f"kernel {kernel.ref}: its manifest names what it has not: {list_some(missing)}")
            wanted = {name: name for name in names} | extras
            with click.progressbar(wanted.items(), label=kernel.name, item_show_func=_first) as bar:
                for name, target in bar:
                    self._fetch(name, new / target)
            for stage in taken:
                verify(new / stage)
            self.ledger.publish(kernel.name, new, last=marks)
            return len(wanted) + len(marks)

    def _manifest(self, stage: str, new: Path) -> Manifest:
        """Download a stage's manifest into the working folder; the names in it are safe then."""
        _check_name(stage, f"kernel {self.kernel.ref}: stage", single=True)
        self._fetch(f"{stage}/{MANIFEST}", new / stage / MANIFEST, _LARGEST_MANIFEST)
        manifest = read_manifest(new / stage)
        for name in manifest.outputs:
            _check_name(name, f"kernel {self.kernel.ref}: the manifest of {stage}: output file")
        counts = Counter(name.casefold() for name in [*manifest.outputs, MANIFEST])
        if twice := [name for name, count in counts.items() if count > 1]:
            raise PlatformError(f"kernel {self.kernel.ref}: the manifest of {stage} names {list_some(twice)} twice")
        return manifest

    def _networks(self, comparison: Manifest, new: Path) -> dict[str, Manifest]:
        """The networks that a kernel has trained and compares, each in a folder of its own."""
        found = {}
        for name, digest in comparison.inputs.items():
            if f"{name}/{MANIFEST}" in self.listed and name not in self.foreign and name != self.kernel.stage:
                manifest = self._manifest(name, new)
                if manifest.stage != TRAINED or manifest.digest != digest:
                    raise ArtefactError(f"kernel {self.kernel.ref}: {name} is not the network that it compares")
                found[name] = manifest
        return found

    def _is_here(self, stage: str, manifest: Manifest) -> bool:
        """Whether the stage here is whole and is the one that Kaggle holds."""
        if stage_of(self.to / stage) is None:
            return False
        try:
            return manifest == verify(self.to / stage)
        except ArtefactError:
            return False

    def _fetch(self, name: str, path: Path, limit: int | None = None) -> None:
        allowed = min(self.left, limit or self.left)
        self.kaggle.download(self.listed[name], path, limit=allowed)
        self.left -= path.stat().st_size


def _first(item: tuple[str, str] | None) -> str | None:
    return item[0] if item else None


def _check_name(name: str, what: str, *, single: bool = False) -> None:
    """Refuse a name that leads out of its folder, is hidden, or is none on some file system.

    Raises:
        PlatformError: naming it.
    """
    parts = name.split("/")
    plain = all(part and not part.startswith(".") and len(part.encode()) <= _LONGEST_NAME for part in parts)
    odd = not name.isprintable() or set(name) & set('\\:*?"<>|') or (single and len(parts) > 1)
    if odd or not plain:
        raise PlatformError(f"{what} {name!r}: leads out of its folder, or is hidden or odd; not downloaded")
