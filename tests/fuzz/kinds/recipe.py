"""Damaged recipes: every stage of them is built, or they are refused."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path
from random import Random

import torch

from mdsgen.training.recipe import load_recipe
from tests.fuzz.kind import Kind
from tests.fuzz.mutations import mutated

VALUES = (
    *("0", "-1", "1", "3", "7", "10000000", str(1 << 62), "9" * 400, "1e-3", "-2.5", "1e308", "nan", "inf", "true"),
    *('""', '"text"', '"tiny"', '"base"', '"columns"', "[]", "{}", "[0]", "[1, 2, 3]", "[[1]]", '["a"]', "1979-05-27"),
    *("[" * 3000 + "]" * 3000, "[" + "1," * 3000 + "]", "{a = " * 200 + "1" + "}" * 200, json.dumps("x" * 100_000)),
)


class Fuzz(Kind):
    """The built-in recipes with bytes changed, or other values for some of their keys."""

    count = 600

    def open(self, folder: Path) -> None:
        torch.set_num_threads(1)
        recipes = files("mdsgen.training") / "recipes"
        self._texts = [(recipes / name).read_text("utf-8") for name in ("toy.toml", "demo.toml")]

    def make(self, random: Random, scratch: Path) -> Path:
        text, path = random.choice(self._texts), scratch / "mine.toml"
        if random.random() < 0.3:
            path.write_bytes(mutated(text.encode(), random))
            return path
        lines = text.splitlines()
        places = [number for number, line in enumerate(lines) if re.match(r"\w+ = ", line)]
        for number in random.sample(places, random.choice((1, 1, 1, 2, 4))):
            key = lines[number].split(" = ")[0]
            lines[number] = f"{key} = {random.choice(VALUES)}"
        path.write_text("\n".join(lines), "utf-8")
        return path

    def use(self, path: Path, random: Random, scratch: Path) -> Sequence[Path]:
        recipe = load_recipe(path)
        for name in random.sample(sorted(recipe.sections), min(2, len(recipe.sections))):
            recipe.section(name).build(recipe.geometry)
        return []
