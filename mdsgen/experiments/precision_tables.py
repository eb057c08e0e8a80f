"""The comparison of precisions as Markdown: one table of everything, then networks, milliseconds and layers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from mdsgen.bundle import DENOISER, GRAPHS
from mdsgen.precision import CLIP, SPECTROGRAM
from mdsgen.table import markdown

Row = Mapping[str, Any]


def tables(document: Mapping[str, Any]) -> str:
    """All of a document of ``python -m mdsgen.experiments.precisions`` that people read."""
    rows: Mapping[str, Row] = document["precisions"]
    parts = [
        _said(document["settings"]),
        markdown(_overview(rows)),
        "Decibels of each network alone on the export's clip, against the reference:",
        markdown(_networks(rows)),
        f"One step of the denoiser{_branches(document)}; all precisions in turn in one run{_engines(document)}:",
        markdown(_steps(rows)),
        _conditions(document),
    ]
    for name, row in rows.items():
        if "calibration" in row:
            parts += [_calibrated(name, row["calibration"]), markdown(_layers(name, row["calibration"]))]
    return "\n\n".join(parts)


def _said(settings: Row) -> str:
    last = settings["seed"] + settings["clips"] - 1
    return (
        f"Bundle `{settings['bundle']}`, held-out scenes {settings['seed']} to {last}, {settings['steps']} steps of "
        f"`{settings['solver']}`, {_guidance(settings)}. Columns in dB are signal over "
        "error on the export's clip, but for *mel error*: the mean distance of the scenes' spectrograms from the "
        "reference's. In parentheses: the difference from the reference."
    )


def _guidance(settings: Row) -> str:
    distilled = settings.get("distilled")
    return (
        f"guidance {settings['guidance']:g}"
        if distilled is None
        else f"guidance {distilled['guidance']:g} in the weights"
    )


def _branches(document: Row) -> str:
    """A distilled denoiser has one, which needs no word."""
    return "" if document["settings"].get("distilled") else ", both branches of guidance"


def _engines(document: Row) -> str:
    """What is to be said where nobody named an engine."""
    chosen = document["settings"]["engine"]
    return ", each on the engine that `auto` found for it, which may not be the same" if chosen == "auto" else ""


def _overview(rows: Mapping[str, Row]) -> Iterator[Sequence[str]]:
    yield (
        *("precision", "MB", "denoiser MB", "noise dB, worst step", "spectrogram dB", "waveform dB", "mel error dB"),
        *("aligned", "kind", "onset F1", "Fréchet"),
    )
    reference = next(iter(rows.values()))
    for name, row in rows.items():
        first = row is reference
        parity = {} if first else _snr_db(row)
        figures, beside = row["figures"], None if first else reference["figures"]
        yield (
            f"{name}, the reference" if first else name,
            f"{row['bytes'] / 1e6:.1f}",
            f"{row['denoiser_bytes'] / 1e6:.1f}",
            *(parity.get(graph, "") for graph in (DENOISER, SPECTROGRAM, CLIP)),
            f"{figures['mel_error_db']:.2f}",
            *(_beside(figures, beside, share, 1, " %", 100) for share in ("aligned", "kind")),
            _beside(figures, beside, "onset_f1", 3),
            _beside(figures, beside, "frechet", 2),
        )


def _networks(rows: Mapping[str, Row]) -> Iterator[Sequence[str]]:
    _, *others = rows.items()
    yield "network", *(name for name, _ in others)
    for graph in GRAPHS:
        yield graph.replace("_", " "), *(_snr_db(row).get(graph, "") for _, row in others)


def _steps(rows: Mapping[str, Row]) -> Iterator[Sequence[str]]:
    yield "precision", "engine", "median ms", "p95", "min", "times faster"
    reference = next(iter(rows.values()))["step"]["median"]
    for name, row in rows.items():
        step = row["step"]
        times = (f"{1000 * step[time]:.1f}" for time in ("median", "p95", "min"))
        yield name, row["engine"], *times, f"{reference / step['median']:.2f}"


def _layers(name: str, calibration: Row) -> Iterator[Sequence[str]]:
    yield "layer", f"dB, this one alone in {name}", "computes in"
    for layer, snr_db in calibration["layers"].items():
        yield f"`{layer}`", _in_words(snr_db), "FP32" if layer in calibration["kept"] else "INT8"


def _calibrated(name: str, calibration: Row) -> str:
    return (
        f"The denoiser's linear layers in `{name}`, calibrated on {len(calibration['clips'])} clips in "
        f"{calibration['passes']} passes. Decibels are of the noise estimate, over all compared steps together; with "
        f"all layers that compute in INT8 they are {_in_words(calibration['decibels'])}:"
    )


def _conditions(document: Row) -> str:
    threads = document["settings"]["threads"] or "engine's choice"
    runs = next(iter(document["precisions"].values()))["step"]["runs"]
    facts = {"runs": runs, "threads": threads, **document["conditions"]}
    return "; ".join(f"{name} {_fact(value)}" for name, value in facts.items() if value is not None) + "."


def _fact(value: object) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def _snr_db(row: Row) -> dict[str, str]:
    """By graph, in words."""
    return {figure["graph"]: _in_words(figure["snr_db"]) for figure in row["parity"]}


def _in_words(snr_db: float | None) -> str:
    return "exact" if snr_db is None else f"{snr_db:.1f}"


def _beside(figures: Row, reference: Row | None, name: str, digits: int, unit: str = "", times: int = 1) -> str:
    """A figure, and how much more it is than the reference's; nothing where there was nothing to judge."""
    value = figures[name]
    if value is None:
        return ""
    shown = f"{times * value:.{digits}f}{unit}"
    if reference is None:
        return shown
    more = round(times * value, digits) - round(times * reference[name], digits)  # what a reader would subtract
    return f"{shown} ({more:+.{digits}f})" if round(more, digits) else f"{shown} (=)"
