"""The space of a search: recipe keys with the values, or the range of values, that each may take."""

from __future__ import annotations

import itertools
import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hbaclib.errors import ConfigError
from hbaclib.schema import parse_json, read_toml
from hbaclib.training.recipe import Recipe, look_up

if TYPE_CHECKING:
    import optuna

MOST_CORNERS = 1000
"""A larger space than this is not checked recipe by recipe before the search, and so it is refused."""

_NUMBER = r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?"
_RANGE = re.compile(rf"(log:)?\s*({_NUMBER})\s*\.\.\s*({_NUMBER})")


@dataclass(frozen=True)
class Choice:
    """A key that takes one of several values, of any kind that a recipe holds (lists and tables too).

    Attributes:
        ends: the values, all of which are checked before the search.
    """

    ends: tuple[Any, ...]

    def suggest(self, trial: optuna.trial.BaseTrial, key: str) -> Any:
        """A trial's value of the key, drawn where it has none yet."""
        # As JSON, because Optuna stores no lists or tables.
        return json.loads(trial.suggest_categorical(key, [json.dumps(value) for value in self.ends]))


@dataclass(frozen=True)
class Range:
    """A key that takes any number of a range, both ends included.

    Attributes:
        low, high: the ends; two whole numbers make a range of whole numbers.
        log: draw evenly along the logarithm.
    """

    low: float
    high: float
    log: bool = False

    @property
    def ends(self) -> tuple[float, float]:
        """Values that are checked before the search: the two ends."""
        return self.low, self.high

    def suggest(self, trial: optuna.trial.BaseTrial, key: str) -> float:
        """A trial's value of the key, drawn where it has none yet."""
        if isinstance(self.low, int) and isinstance(self.high, int):
            return int(trial.suggest_int(key, self.low, self.high, log=self.log))
        return float(trial.suggest_float(key, self.low, self.high, log=self.log))


Space = dict[str, Choice | Range]


def parse_domain(named: Any, key: str, current: Any = None) -> Choice | Range:
    """What a key may take.

    Args:
        named: a list of values; a text ``1e-4..3e-3`` (a range), ``log:1e-4..3e-3`` (along the logarithm) or ``a,b``
            (values, each read as JSON where it is JSON); anything else is one value, which fixes the key.
        key: the recipe's key, for messages.
        current: the key's value in the recipe; where it has a fraction, so has a range between whole numbers.

    Raises:
        ConfigError: an empty list, a value named twice, a range that is none.
    """
    if isinstance(named, str):
        found = _RANGE.fullmatch(named.strip())
        if found:
            return _range(named, key, current, *found.groups())
        if named.startswith("log:"):
            raise ConfigError(f"{key}={named}: expected two numbers behind log:, as in log:1e-4..3e-3")
        values = _values(named)
    else:
        values = list(named) if isinstance(named, list | tuple) else [named]
    texts = [json.dumps(value, sort_keys=True) for value in values]
    if not texts:
        raise ConfigError(f"{key}: no values to choose from")
    twice = [text for i, text in enumerate(texts) if text in texts[:i]]
    if twice:
        raise ConfigError(f"{key}: {twice[0]} is named twice")
    return Choice(tuple(values))


def parse_keys(pairs: Sequence[str], recipe: Recipe) -> Space:
    """Read ``KEY=VALUES`` texts as `parse_domain` does.

    Raises:
        ConfigError: a text without ``=``, a key named twice, or what `parse_domain` says.
    """
    space: Space = {}
    for pair in pairs:
        key, equals, values = pair.partition("=")
        key = key.strip()
        if not equals or not key:
            raise ConfigError(f"key {pair!r}, expected KEY=VALUES as in batch=16,32 or stages.0.peak=log:1e-4..3e-3")
        if key in space:
            raise ConfigError(f"key {key!r} is named twice")
        space[key] = parse_domain(values, key, _current(recipe, key))
    return space


def read_space(path: str | Path, recipe: Recipe) -> Space:
    """Read a space from a TOML file: each key with a list of values, or a range as text.

    Keys lead into the recipe with dots (``"stages.0.peak" = "log:1e-4..3e-3"``); with or without quotation marks.

    Raises:
        ConfigError: the file cannot be read, is not TOML, or what `parse_domain` says.
    """
    content = read_toml(Path(path), "space")
    try:
        return {key: parse_domain(named, key, _current(recipe, key)) for key, named in _flat(content)}
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from None


def change(recipe: Recipe, changes: Mapping[str, Any]) -> Recipe:
    """`Recipe.override`, its messages with the changes before them.

    Raises:
        ConfigError: an unknown key or a value that is not allowed.
    """
    return recipe.override(changes, show_changes(changes))


def show_changes(changes: Mapping[str, Any]) -> str:
    """Changes as they are written in ``KEY=VALUES``."""
    return ", ".join(f"{key}={show(value)}" for key, value in changes.items())


def show(value: Any) -> str:
    """A value as it is written in ``KEY=VALUES``."""
    if isinstance(value, str):
        return value
    return f"{value:.4g}" if isinstance(value, float) else json.dumps(value, separators=(",", ":"))


def corners(recipe: Recipe, space: Space) -> list[Recipe]:
    """The recipes of every combination of listed values and ends of ranges, each valid.

    Raises:
        ConfigError: a key or value that the recipe does not take, options that the network does not take, or more
            than MOST_CORNERS combinations.
    """
    if not space:
        raise ConfigError("nothing to search over: name at least one recipe key with its values")
    if "name" in space:
        raise ConfigError("key 'name' changes nothing in a trained network; search over another")
    for key in space:
        inside = [other for other in space if other.startswith(f"{key}.")]
        if inside:
            raise ConfigError(f"keys {key!r} and {inside[0]!r} name the same place; search over one of them")
    sizes = {key: len(domain.ends) for key, domain in space.items()}
    if math.prod(sizes.values()) > MOST_CORNERS:
        raise ConfigError(
            f"{math.prod(sizes.values())} combinations of values and ends of ranges "
            f"({', '.join(f'{key}: {size}' for key, size in sizes.items())}), at most {MOST_CORNERS} are searched; "
            "name fewer keys or values"
        )
    found = []
    for ends in itertools.product(*(domain.ends for domain in space.values())):
        found.append(change(recipe, dict(zip(space, ends, strict=True))))
        found[-1].override({"weights": ""}).find_weights()  # the network's options alone
    return found


def _current(recipe: Recipe, key: str) -> Any:
    try:
        return look_up(recipe.to_dict(), key)
    except ConfigError:
        return None


def _values(text: str) -> list[Any]:
    try:
        return list(parse_json(f"[{text}]"))
    except ValueError:
        return [_value(part.strip()) for part in text.split(",")]


def _value(text: str) -> Any:
    try:
        return parse_json(text)
    except ValueError:
        return text


def _range(named: str, key: str, current: Any, log: str | None, low_text: str, high_text: str) -> Range:
    whole = all(re.fullmatch(r"[+-]?\d+", text) for text in (low_text, high_text)) and not isinstance(current, float)
    low, high = (int(text) if whole else float(text) for text in (low_text, high_text))
    if not low < high or math.isinf(high) or math.isinf(low):
        raise ConfigError(f"{key}={named}: expected LOW..HIGH with LOW below HIGH")
    if log and low <= 0:
        raise ConfigError(f"{key}={named}: a range along the logarithm begins above 0")
    return Range(low, high, bool(log))


def _flat(content: Mapping[str, Any], before: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in content.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{before}{key}.")
        else:
            yield before + key, value
