"""Columns line up, and Markdown is a table."""

from __future__ import annotations

from mdsgen.table import aligned, markdown

ROWS = [("graph", "dB"), ("denoiser", "81.5"), ("clip", "")]


def test_words_start_where_their_column_starts() -> None:
    assert aligned(ROWS) == "graph     dB\ndenoiser  81.5\nclip"


def test_figures_end_where_their_column_ends() -> None:
    assert aligned(ROWS, figures=True) == "graph       dB\ndenoiser  81.5\nclip"


def test_nothing_is_nothing() -> None:
    assert aligned([]) == ""


def test_markdown_has_a_head() -> None:
    assert markdown(ROWS) == "| graph | dB |\n|---|---|\n| denoiser | 81.5 |\n| clip |  |"
