"""Writes ``docs/python.md``, the page of the Python interface, out of its docstrings: ``python docs/interface.py``."""

from __future__ import annotations

import inspect
import re
import textwrap
from pathlib import Path
from typing import Any

import mdsgen
from mdsgen import errors, runtime

_LONGEST = 120  # characters, of a line
PAGE = Path(__file__).with_name("python.md")

_SHOWN: tuple[tuple[str, Any, tuple[str, ...]], ...] = (
    ("mdsgen.Pipeline", mdsgen.Pipeline, ("open", "__call__", "stream", "live", "engine", "providers", "close")),
    (
        "mdsgen.runtime.Live",
        runtime.Live,
        ("push", "pull", "end", "finish", "frame_size", "latency", "statistics", "close"),
    ),
    ("mdsgen.runtime.Statistics", runtime.Statistics, ()),
    ("mdsgen.Sound", mdsgen.Sound, ("duration",)),
    ("mdsgen.Sampling", mdsgen.Sampling, ("changed", "to_dict", "from_dict")),
    ("mdsgen.runtime.Progress", runtime.Progress, ("fraction",)),
    ("mdsgen.runtime.render", runtime.render, ()),
    ("mdsgen.runtime.Rendered", runtime.Rendered, ("real_time_factor", "to_dict")),
)


def page() -> str:
    """The whole page, in Markdown."""
    parts = [
        "# The Python interface",
        "<!-- Written by docs/interface.py out of the docstrings. -->",
        "What a program needs to give videos their sound; `examples/` has whole programs. The library says what it\n"
        "does through `logging`, under the name `mdsgen`: a warning where something is not as asked for, at `INFO`\n"
        "every window.",
    ]
    for name, thing, members in _SHOWN:
        parts += [f"## `{name}`", _signature(thing), _text(thing)]
        for member in members:
            found = inspect.getattr_static(thing, member)
            if isinstance(found, property):
                parts += [f"### `{member}`", _text(found)]
            else:
                parts += [f"### `{member}`", _signature(getattr(thing, member)), _text(getattr(thing, member))]
    parts += ["## Errors", _text(errors)]
    parts.append("\n".join(f"- `mdsgen.errors.{kind.__name__}`: {_text(kind)}" for kind in _kinds()))
    return "\n\n".join(part for part in parts if part) + "\n"


def _kinds() -> list[type]:
    return [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, errors.MdsgenError)]


def _signature(thing: Any) -> str:
    parameters = [
        str(parameter).partition(":")[0].strip() + (f"={parameter.default!r}" if _has_default(parameter) else "")
        for parameter in inspect.signature(thing).parameters.values()
        if parameter.name != "self"
    ]
    kinds = [parameter.kind for parameter in inspect.signature(thing).parameters.values() if parameter.name != "self"]
    if inspect.Parameter.KEYWORD_ONLY in kinds:
        parameters.insert(kinds.index(inspect.Parameter.KEYWORD_ONLY), "*")
    call = f"{thing.__name__}({', '.join(parameters)})".replace("'", '"')
    if len(call) > _LONGEST:
        call = f"{thing.__name__}(\n    " + ",\n    ".join(parameters).replace("'", '"') + ",\n)"
    return f"```python\n{call}\n```"


def _has_default(parameter: inspect.Parameter) -> bool:
    return parameter.default is not parameter.empty and "factory" not in repr(parameter.default)


def _text(thing: Any) -> str:
    """A docstring as Markdown: names in single backticks, without Sphinx's roles."""
    text = re.sub(
        r":\w+:`~?(?:[^`<]*<)?([^`>]*)>?`", lambda found: f"`{found[1].split('.')[-1]}`", inspect.getdoc(thing) or ""
    )
    text = text.replace("``", "`")
    head, example, behind = text.partition("::\n")
    if not example:
        return text
    lines = behind.strip("\n").splitlines()
    ends = next((number for number, line in enumerate(lines) if line and not line.startswith(" ")), len(lines))
    code, rest = textwrap.dedent("\n".join(lines[:ends])).strip(), "\n".join(lines[ends:])
    return f"{head}:\n\n```python\n{code}\n```\n\n{rest}".rstrip()


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
