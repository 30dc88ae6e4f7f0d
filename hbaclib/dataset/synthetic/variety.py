"""The wide population: more kinds of patients, pathologies, artefacts and amplifiers than the synthetic set has.

Every recording begins as a plain one; ideas are then drawn for it from a generator of their own, each so rarely that an
ordinary recording stays the rule: wide, not weird.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import replace

import numpy as np

from hbaclib.dataset.synthetic import wide_lesions as lesions
from hbaclib.dataset.synthetic import wide_states as states
from hbaclib.dataset.synthetic.artefact_noise import (
    add_common,
    add_electrode_faults,
    add_eyes,
    add_heart,
    add_losses,
    add_muscle,
    add_wild,
)
from hbaclib.dataset.synthetic.background import Traits, background
from hbaclib.dataset.synthetic.draws import log_uniform
from hbaclib.dataset.synthetic.patterns import Pattern
from hbaclib.dataset.synthetic.recording import Scene
from hbaclib.dataset.synthetic.waveforms import pattern_signal
from hbaclib.dataset.synthetic.wide_amplifier import FAULTS, HARMLESS, device_line
from hbaclib.dataset.synthetic.wide_features import FEATURES, Rendered
from hbaclib.dataset.synthetic.wide_mimics import MIMICS, heart_beats
from hbaclib.dataset.synthetic.wide_patterns import WideScene, widen_scene
from hbaclib.dataset.synthetic.wide_reading import Reading, as_present

State = Callable[[Traits, np.random.Generator], Traits]

STATES: tuple[tuple[float, str, State], ...] = (
    (0.14, "diffuse slowing", states.diffuse_slowing),
    (0.07, "young", states.young),
    (0.08, "old", states.old),
    (0.07, "benzodiazepine", states.benzodiazepine),
    (0.05, "propofol", states.propofol),
    (0.02, "spindle coma", states.spindle_coma),
    (0.02, "alpha coma", states.alpha_coma),
)
"""How often, name, and what is done to a patient, who is in one such state at most."""
VOLTAGES: tuple[tuple[float, str, State], ...] = (
    (0.06, "low amplitude", states.low_amplitude),
    (0.06, "high amplitude", states.high_amplitude),
    (0.02, "attenuated", states.attenuated),
)
"""The same for amplitudes out of the ordinary."""
SLOW_SHARE = {"LPD": 0.5, "GPD": 0.5, "LRDA": 0.6, "GRDA": 0.6, "Seizure": 0.3, "Other": 0.3}
"""How often a brain has none of the rhythms of the healthy or the medicated, by what its recording shows."""
LESIONS = (
    (0.12, "asymmetry", lambda eeg, sd, rng: lesions.asymmetry(eeg, rng)),
    (0.07, "focal attenuation", lambda eeg, sd, rng: lesions.focal_attenuation(eeg, rng)),
    (0.10, "focal slowing", lesions.focal_slowing),
    (0.06, "breach", lambda eeg, sd, rng: lesions.breach(eeg, rng)),
)
"""How often, name, and what is done to the ongoing activity; each comes for itself."""
MIMIC_SHARE = {"Other": 0.16}
"""How often a recording without an artefact gets one that mimics a pattern, .03 in the classes that are not named."""
HEART_SHARE = {"Other": 0.03}
"""How often the heart is loud enough to mimic discharges, .005 in the others."""


def _one_of(table: tuple[tuple[float, str, State], ...], rng: np.random.Generator) -> tuple[tuple[str, State], ...]:
    """One entry of a table by the shares in it, or none."""
    at = rng.random()
    for share, name, idea in table:
        at -= share
        if at < 0:
            return ((name, idea),)
    return ()


class Recording:
    """One recording of the wide population: what is drawn for it, and how it is made.

    Attributes:
        traits: the patient.
        scene: what is there; its labels follow by the same rules as those of the plain population.
        ideas: names of what it has beyond a plain recording.
    """

    def __init__(self, traits: Traits, scene: Scene, rng: np.random.Generator) -> None:
        names: list[str] = []
        # Real neighbouring chains are less alike than the plain ones: sources of the ongoing activity are narrower.
        traits = replace(traits, patch_widths=traits.patch_widths * rng.uniform(0.6, 1.05))
        slow = rng.random() < SLOW_SHARE[scene.meant]
        states_of = ((1.0, "slow background", states.slow_background),) if slow else STATES
        for table in (states_of, VOLTAGES):
            for name, idea in _one_of(table, rng):
                traits = idea(traits, rng)
                names.append(name)
        self.bursts = ""
        at = rng.random() * (1 if scene.meant == "Other" else 3)
        if at < 0.16:
            # The plain patient's bursts, which may be there already, would come on top.
            self.bursts = "burst suppression" if at < 0.10 else "discontinuous"
            names.append(self.bursts)
            traits = replace(traits, burst_suppression=False, bipolar_sd=max(traits.bipolar_sd, 5.0))
        self.lesions = [(name, put) for share, name, put in LESIONS if rng.random() < share]
        wide = widen_scene(scene, rng)
        # Loud patterns of loud brains: no brain gives more than this, µV rms.
        highest = log_uniform(rng, 80, 250) / traits.bipolar_sd
        capped = tuple(replace(one, ratio=min(one.ratio, highest)) for one in wide.scene.patterns)
        wide = replace(wide, scene=replace(wide.scene, patterns=capped))
        self.mimic = ""
        if wide.scene.artefact == "mimic" or (
            not wide.scene.artefact and rng.random() < MIMIC_SHARE.get(scene.meant, 0.03)
        ):
            self.mimic = str(rng.choice(list(MIMICS)))
        self.loud_heart = rng.random() < HEART_SHARE.get(scene.meant, 0.005)
        self.mains = 50.0 if rng.random() < 0.3 else 60.0
        self.device = rng.random() < 0.03
        self.faults = [(name, put) for share, name, put in FAULTS if rng.random() < share]
        self.traits, self.wide, self.scene = traits, wide, wide.scene
        if self.mimic:
            self.scene = replace(self.scene, artefact="mimic")
        names += [name for name, _ in self.lesions]
        names += wide.ideas
        names += [self.mimic.replace("_", " ")] * bool(self.mimic) + ["heart beats"] * self.loud_heart
        names += ["50 Hz"] * (self.mains == 50) + ["device line"] * self.device + [name for name, _ in self.faults]
        self.ideas = tuple(names)

    def render(self, n: int, base: np.random.Generator, rng: np.random.Generator) -> tuple[np.ndarray, Scene, float]:
        """Make the 20 channels.

        Args:
            n: samples at 200 Hz.
            base: source of what a plain recording has too.
            rng: source of what only the wide population has.

        Returns:
            (n, 20) float32 µV, rounded to 2 decimals as the files are; the scene as readers find it, patterns that
            pause with the coverage that they have in the labelled ten seconds; and how much of these artefacts hide.
        """
        sd = self.traits.bipolar_sd
        eeg = background(self.traits, n, base)
        if self.bursts == "burst suppression":
            states.burst_suppression(eeg, sd, rng)
        elif self.bursts:
            states.discontinuous(eeg, rng)
        for _, put in self.lesions:
            put(eeg, sd, rng)
        waves = np.zeros_like(eeg)
        found = [
            _add_pattern(eeg, waves, pattern, sd, self.wide, rng, plain=number > 0)
            for number, pattern in enumerate(self.scene.patterns)
        ]
        reading = Reading(eeg, self.scene.centre, waves)
        with reading.hiding():
            if self.mimic:
                MIMICS[self.mimic](eeg, self.scene.centre, max(sd, 4.0), rng)
            elif self.scene.artefact == "wild":
                add_wild(eeg, self.scene.centre, base)
            add_eyes(eeg, base)
            add_muscle(eeg, base)
            ekg = add_heart(eeg, self.traits, base)
            if self.loud_heart:
                heart_beats(eeg, ekg, max(sd, 4.0), rng)
            add_electrode_faults(eeg, base)
            if self.device:
                device_line(eeg, rng)
            add_common(eeg, base, self.mains)
        for name, spoil in self.faults:
            with nullcontext() if name in HARMLESS else reading.hiding():
                spoil(eeg, rng)
        with reading.hiding():
            add_losses(eeg, ekg, base)
        hidden = 1 - self.wide.clarity * (1 - reading.hidden())
        recording = np.ascontiguousarray(np.round(np.vstack([eeg, ekg]), 2).T.astype(np.float32))
        return recording, replace(self.scene, patterns=tuple(found)), hidden


def _add_pattern(
    eeg: np.ndarray,
    waves: np.ndarray,
    pattern: Pattern,
    sd: float,
    wide: WideScene,
    rng: np.random.Generator,
    *,
    plain: bool,
) -> Pattern:
    """Add one pattern to the EEG and to the patterns' waves, with its features unless it is a companion's.

    Returns:
        The pattern as readers find it.
    """
    stretch, wave, gain = pattern_signal(pattern, eeg.shape[1], sd)
    if not wave.shape[1]:
        return pattern
    found = as_present(pattern, wave, stretch.start, sd)
    if not plain and wide.features:
        if "after the seizure" in wide.features and stretch.stop < eeg.shape[1]:
            more = eeg.shape[1] - stretch.stop
            wave, gain = np.pad(wave, ((0, 0), (0, more))), np.pad(gain, (0, more), constant_values=1)
            stretch = slice(stretch.start, eeg.shape[1])
        made = Rendered(pattern, stretch.start, wave, gain, sd)
        for name, put in FEATURES.items():
            if name in wide.features:
                put(made, rng)
        wave, gain = made.wave, made.gain
    eeg[:, stretch] *= gain
    eeg[:, stretch] += wave
    waves[:, stretch] += wave
    return found
