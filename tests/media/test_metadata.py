"""What a container says of its film, and what of it is missed."""

from __future__ import annotations

from fractions import Fraction
from types import SimpleNamespace

import pytest

from mdsgen.media.metadata import facts, missing, stream_metadata


def container(metadata, *streams):
    return SimpleNamespace(metadata=metadata, streams=[SimpleNamespace(metadata=stream) for stream in streams])


def test_facts_of_the_film_but_not_of_the_file():
    said = {"title": "a", "ENCODER": "b", "major_brand": "qt", "location": "c", "location-eng": "c", "Software": "d"}
    assert facts(container(said)) == {"title", "location"}
    assert facts(container({}, {"language": "ger"}, {"TIMECODE": "01:00:00:00"})) == {"timecode"}


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        ({"title"}, {"title", "date"}, []),
        ({"title", "date"}, set(), ["date", "title"]),
        ({"title", "uid", "product_name"}, {"title"}, ["2 other tags"]),
        ({"chapters", "uid"}, set(), ["chapters", "1 other tag"]),
    ],
)
def test_what_a_person_would_miss_is_named_and_the_rest_counted(before, after, said):
    assert missing(before, after) == said


def test_counts_of_a_stream_stay_behind():
    said = {"language": "ger", "title": "a", "BPS-eng": "5", "DURATION": "1", "NUMBER_OF_FRAMES": "3", "encoder": "x"}
    stream = SimpleNamespace(metadata={**said, "_STATISTICS_TAGS": "BPS"})
    assert stream_metadata(stream, Fraction(25)) == {"language": "ger", "title": "a"}


@pytest.mark.parametrize(
    ("code", "rate", "is_kept"),
    [
        ("01:00:00:00", Fraction(25), True),
        ("01:00:00;00", Fraction(30_000, 1001), True),
        ("01:00:00;00", Fraction(25), False),
        ("01:00:00:00", Fraction(1, 3), False),
        ("01:00:00:00", Fraction(1000), False),
        ("an hour", Fraction(25), False),
    ],
)
def test_a_time_code_that_quicktime_cannot_count_stays_behind(code, rate, is_kept):
    stream = SimpleNamespace(metadata={"title": "a", "timecode": code})
    assert stream_metadata(stream, rate) == ({"title": "a", "timecode": code} if is_kept else {"title": "a"})
