"""``mdsgen-info``: what a bundle holds, for people and for programs."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Sized
from dataclasses import asdict
from pathlib import Path
from typing import Any, TypeVar

import click

from mdsgen import __version__
from mdsgen.bundle import DENOISER, Bundle, Graph, Manifest, default_bundle
from mdsgen.command import command
from mdsgen.engines.choice import Choice, choices_for, forget
from mdsgen.geometry import SAMPLE_RATE, Geometry
from mdsgen.integrations import GSTREAMER_PATH
from mdsgen.sampling import ALWAYS, Sampling
from mdsgen.schedule import NoiseSchedule
from mdsgen.table import aligned

T = TypeVar("T")

_MEGABYTE = 1_000_000
_WORST_LAYERS = 3  # of those that bear INT8 worst


@command("mdsgen-info", short_help="Show what a bundle holds.")
@click.argument("bundle", required=False, type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document instead, for programs.")
@click.option("--verify/--no-verify", default=True, help="Check the SHA-256 of every file.", show_default=True)
@click.option("--forget-engine", is_flag=True, help="Forget which engine was the fastest: the next run tries again.")
@click.option("--gstreamer", is_flag=True, help="Print the folder for GST_PLUGIN_PATH instead.")
def main(bundle: Path | None, as_json: bool, verify: bool, forget_engine: bool, gstreamer: bool) -> None:
    """Show what BUNDLE holds: geometry, graphs, precision, parity, and where its weights came from.

    Without one: $MDSGEN_BUNDLE, or the demo model.
    """
    if gstreamer:
        click.echo(GSTREAMER_PATH)
        return
    opened = Bundle.open(bundle or default_bundle(), verify=verify)
    if forget_engine:
        forget(opened.path(DENOISER))
    if as_json:
        click.echo(json.dumps(_document(opened, verify), indent=2))
    else:
        click.echo("\n".join(_page(opened, verify)))


def _document(bundle: Bundle, verified: bool) -> dict[str, Any]:
    geometry = bundle.manifest.geometry
    return {
        "mdsgen": __version__,
        "bundle": str(bundle.folder),
        "bundle_sha256": bundle.sha256,
        "verified": verified,
        "bytes": sum(part.bytes for part in bundle.manifest.files),
        "window": {
            "seconds": geometry.duration,
            "samples": geometry.samples,
            "sample_rate": SAMPLE_RATE,
            "video_frames": geometry.video_frames,
            "tokens": geometry.tokens,
        },
        "engines": [
            {**asdict(choice), "provisional": choice.provisional} for choice in _choices(bundle) if choice.holds
        ],
        "manifest": bundle.manifest.to_dict(),
    }


def _page(bundle: Bundle, verified: bool) -> Iterator[str]:
    manifest = bundle.manifest
    total = sum(part.bytes for part in manifest.files)
    checked = "every SHA-256 is right" if verified else "SHA-256 not checked"
    yield aligned(
        [
            ("bundle", str(bundle.folder)),
            ("files", f"{len(manifest.files)}, {_megabytes(total)}, {checked}"),
            ("created by", f"{manifest.created_by}, schema {manifest.schema}"),
            ("geometry", _geometry(manifest.geometry)),
            ("window", _window(manifest.geometry)),
            ("precision", manifest.precision),
            ("model", _pairs(manifest.model)),
            ("sampling", _sampling(manifest.sampling)),
            ("noise schedule", _schedule(manifest.schedule)),
            *_provenance(manifest.provenance, manifest.geometry.to_dict()),
            ("licence", manifest.licence),
            *_engines(bundle),
        ]
    )
    for name, graph in manifest.graphs.items():
        yield ""
        yield f"{name}: {', '.join(f'{part.file} {_megabytes(part.bytes)}' for part in graph.files)}"
        yield from _tensors(graph)
    yield ""
    yield from _parity(manifest)


def _choices(bundle: Bundle) -> list[Choice]:
    return list(choices_for(bundle.path(DENOISER)).values())


def _engines(bundle: Bundle) -> Iterator[tuple[str, str]]:
    """What ``--engine auto`` takes here, by the options that it was tried with."""
    choices = [choice for choice in _choices(bundle) if choice.holds]
    for choice in choices:
        yield "engine auto", f"{choice}, for {choice.options}"
    if choices:
        yield "", "mdsgen-info --forget-engine has the engines tried again"


def _schedule(schedule: NoiseSchedule) -> str:
    return (
        f"{schedule.kind}, betas {schedule.beta_start:g} to {schedule.beta_end:g} in {schedule.train_steps} timesteps"
    )


def _sampling(sampling: Sampling) -> str:
    words = (
        f"{sampling.steps} steps, guidance {sampling.guidance:g}, power {sampling.guidance_power:g}, {sampling.solver}"
    )
    if sampling.guidance_interval != ALWAYS:
        low, high = sampling.guidance_interval
        words += f", guided at timesteps {low:g} to {high:g}"
    if sampling.unconditional_every > 1:
        words += f", unconditional every {sampling.unconditional_every} steps"
    return words


def _geometry(geometry: Geometry) -> str:
    latent = "×".join(map(str, geometry.latent_shape))
    axis = ("height", "width")[geometry.time_axis]
    return f"{geometry.name}: latent {latent}, time along the {axis}, {geometry.tokens} tokens"


def _window(geometry: Geometry) -> str:
    return (
        f"{geometry.duration:.3f} s: {geometry.video_frames} video frames, "
        f"{geometry.samples} samples at {SAMPLE_RATE} Hz"
    )


def _provenance(provenance: dict[str, Any], own: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Where the weights came from, without the bundle's ``own`` geometry. What INT8 was calibrated on, and what was
    heard of it, have rows of their own.

    A provenance may hold anything: what is not as expected is shown as it is.
    """
    rows = {"calibration": _calibration, "evaluation": _evaluation}
    yield from _tree("provenance", {name: value for name, value in provenance.items() if name not in rows}, own)
    for name, row in rows.items():
        if name in provenance:
            found = provenance[name]
            yield from row(found) if isinstance(found, dict) else [(name, _pair_value(found))]


def _tree(name: str, values: dict[str, Any], own: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """A row with the plain values under this name, then, farther in, one for each object among them but ``own``."""
    plain = {key: _shortened(value) for key, value in values.items() if not isinstance(value, dict)}
    yield name, _pairs(plain)
    inner = " " * (len(name) - len(name.lstrip()) + 2)
    for key, value in values.items():
        if isinstance(value, dict) and value != own:
            yield from _tree(inner + str(key), value, own)


def _shortened(value: Any) -> Any:
    """The beginning of a SHA-256, which is enough for people; programs get all of it."""
    return f"{value[:12]}…" if isinstance(value, str) and re.fullmatch("[0-9a-f]{64}", value) else value


def _calibration(values: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """The clips and whatever else is said, the layers in FP32, and those that bear INT8 worst."""
    rest = dict(values)
    clips, kept, layers = _taken(rest, "clips", list), _taken(rest, "kept", list), _taken(rest, "layers", dict)
    said = [f"{_count(clips, 'clip')} ({_ends(clips)})"] if clips else []
    yield "calibration", ", ".join([*said, *([_pairs(rest)] if rest else [])])
    if kept is not None and (kept or layers):
        among = f"{len(kept)} of {_count(layers, 'linear layer')}" if layers else _count(kept, "linear layer")
        yield "in FP32", f"{among}: {', '.join(map(str, kept)) or 'none'}"
    measured = sorted((value, name) for name, value in (layers or {}).items() if isinstance(value, (int, float)))
    if measured:
        worst = ", ".join(f"{name} {value:.1f} dB" for value, name in measured[:_WORST_LAYERS])
        yield "worst layers", f"{worst}, each alone in INT8"


def _evaluation(values: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """How it was judged, then its figures and those of the reference."""
    rest = dict(values)
    figures, reference = _taken(rest, "figures", dict), _taken(rest, "reference", dict)
    yield "evaluation", _pairs(_rounded(rest))
    for name, found in (("figures", figures), ("reference", reference)):
        if found:
            yield f"  {name}", _pairs(_rounded(found))


def _taken(values: dict[str, Any], name: str, kind: type[T]) -> T | None:
    """What has this name, taken out of ``values``; None, and it stays there, where it is not of this kind."""
    return values.pop(name) if isinstance(values.get(name), kind) else None


def _rounded(value: Any) -> Any:
    """The same with all numbers in four digits, and without what is None."""
    if isinstance(value, dict):
        return {name: _rounded(found) for name, found in value.items() if found is not None}
    if isinstance(value, list):
        return [_rounded(found) for found in value]
    return f"{value:.4g}" if isinstance(value, float) else value


def _tensors(graph: Graph) -> Iterator[str]:
    for direction, specs in (("in", graph.inputs), ("out", graph.outputs)):
        for spec in specs:
            yield f"  {direction:<4}{spec}"


def _parity(manifest: Manifest) -> Iterator[str]:
    """The parity figures as a table."""
    if not manifest.parity:
        yield "parity: not measured"
        return
    rows = [("parity", "what", "dB", "at least", "")]
    for figure in manifest.parity:
        shown = "exact" if math.isinf(figure.snr_db) else f"{figure.snr_db:.1f}"
        rows.append((figure.graph, figure.what, shown, f"{figure.threshold:.1f}", "" if figure.passed else "BELOW"))
    yield aligned(rows)


def _pairs(values: dict[str, Any]) -> str:
    """``{"width": 192, "depth": 7}`` as ``width 192, depth 7``."""
    return ", ".join(f"{key} {_pair_value(value)}" for key, value in values.items())


def _pair_value(value: Any) -> str:
    if isinstance(value, dict):
        return f"({_pairs(value)})"
    if isinstance(value, list):
        return f"({', '.join(map(_pair_value, value))})" if value else "none"
    return f"{value:,}" if type(value) is int else str(value)


def _count(things: Sized, noun: str) -> str:
    return f"{len(things)} {noun}{'' if len(things) == 1 else 's'}"


def _ends(names: list[Any]) -> str:
    """The first and the last of some names."""
    return " … ".join(map(str, names if len(names) < 3 else [names[0], names[-1]]))


def _megabytes(count: int) -> str:
    return f"{count / _MEGABYTE:.1f} MB"


if __name__ == "__main__":
    main()
