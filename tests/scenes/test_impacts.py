"""Impacts are heard when they are seen, as hard as they are, and of what they are made of."""

from __future__ import annotations

import numpy as np
import pytest

from mdsgen.geometry import SAMPLE_RATE
from mdsgen.scenes import IMPACTS, sample_scene
from mdsgen.scenes.actor import GRAVITY, Place, draw_contact
from mdsgen.scenes.bounce import Bounce, Drop
from mdsgen.scenes.material import CERAMIC, GLASS, MATERIALS, METAL, RUBBER, WOOD
from mdsgen.scenes.pendulum import Metronome
from mdsgen.scenes.raster import Canvas
from mdsgen.scenes.strikes import Drum, Hammer
from mdsgen.scenes.truth import Event
from mdsgen.scenes.walk import GROUNDS, Walker

SECONDS = 2 * SAMPLE_RATE


def ball(material=METAL, radius=0.1, height=0.6):
    return Bounce(Place(), material, radius, (Drop(0.5, height, 0.5),))


def first_ring(actor, length=0.3):
    """The sound of the first event, until ``length`` seconds after it."""
    start = round(actor.source.events[0].time * SAMPLE_RATE)
    return actor.sound(SECONDS)[start : start + round(length * SAMPLE_RATE)]


def pitch(sound):
    """The mean frequency of a sound's power in Hz."""
    power = np.abs(np.fft.rfft(sound * np.hanning(sound.size))) ** 2
    return float(power @ np.fft.rfftfreq(sound.size, 1 / SAMPLE_RATE) / power.sum())


def fading(sound):
    """Seconds in which all but a hundredth of a sound's energy has passed."""
    energy = np.cumsum(sound.astype(float) ** 2)
    return float(np.searchsorted(energy, 0.99 * energy[-1])) / SAMPLE_RATE


def rises(sound, hop=40):
    """How much the spectrum grows at each hop of 2.5 ms, and the times of the hops."""
    starts = np.arange(0, sound.size - 4 * hop, hop)
    spectra = np.abs(np.fft.rfft(sound[starts[:, np.newaxis] + np.arange(4 * hop)] * np.hanning(4 * hop)))
    level = np.log(spectra + 0.1)  # what is softer than the room does not count
    return np.maximum(level[2:] - level[:-2], 0).sum(axis=1), (starts[2:] + 2 * hop) / SAMPLE_RATE


@pytest.mark.parametrize("kind", IMPACTS)
def test_every_event_is_an_onset(kind):
    errors, heard = [], []
    for seed in range(6):
        scene = sample_scene(seed, kind)
        rise, times = rises(scene.sound())
        events = np.array([event.time for event in scene.truth.events if 0.1 < event.time < 8.0])
        alone = np.array([np.sort(np.abs(events - time))[1:2].min(initial=9.0) > 0.1 for time in events])
        for time in events[alone]:
            near = np.abs(times - time) < 0.045
            heard.append(rise[near].max() > 3 * np.median(rise))
            errors.append(times[near][rise[near].argmax()] - time)
    assert len(errors) > 10
    assert np.mean(heard) > 0.95
    assert np.mean(np.abs(errors) < 0.02) > 0.95


@pytest.mark.parametrize("kind", IMPACTS)
def test_between_the_events_it_is_silent(kind):
    actor = next(a for seed in range(20) for a in sample_scene(seed, kind).actors if a.source.events[0].time > 0.4)
    before = actor.sound(SECONDS)[: int(0.35 * SAMPLE_RATE)]
    assert np.abs(before).max() < 1e-4


# A falling ball


def test_the_first_contact_is_when_a_free_fall_ends():
    fall = ball(height=0.8).source.events[0].time - 0.5
    assert GRAVITY / 2 * fall**2 == pytest.approx(0.8)


@pytest.mark.parametrize("material", MATERIALS.values(), ids=MATERIALS)
def test_bounces_follow_from_restitution(material):
    times, strengths = zip(*((event.time, event.strength) for event in ball(material).source.events), strict=True)
    np.testing.assert_allclose(np.divide(strengths[1:], strengths[:-1]), material.restitution)
    if len(times) > 2:
        flights = np.diff(times)
        np.testing.assert_allclose(flights[1:] / flights[:-1], material.restitution)


@pytest.mark.parametrize("seed", range(5))
def test_the_ball_touches_the_ground_at_its_events_and_not_before(seed):
    actor = sample_scene(seed, "bounce").actors[0]
    for event in actor.source.events:
        assert actor.height(event.time) == pytest.approx(0, abs=1e-9)
        assert actor.height(event.time - 0.02) > 0.001


def test_the_ball_moves_without_jumps():
    actor = sample_scene(4, "bounce").actors[0]
    heights = np.array([actor.height(time) for time in np.arange(0, 8, 0.002)])
    assert np.abs(np.diff(heights)).max() < 0.02


def lowest_red(actor, time):
    """The lowest row of a white picture in which something red is painted, as a share of its height."""
    canvas = Canvas(np.ones((160, 160, 3), dtype=np.float32))
    actor.draw(canvas, time)
    red = (canvas.pixels[..., 0] > 0.5) & (canvas.pixels[..., 1] < 0.35)
    return float(np.flatnonzero(red.any(axis=1)).max()) / 160


def test_the_pictures_show_the_ball_lowest_at_the_moment_of_contact():
    actor = ball(RUBBER, radius=0.12)
    contact = actor.source.events[0].time
    offsets = np.arange(-0.1, 0.101, 0.01)
    rows = [lowest_red(actor, contact + offset) for offset in offsets]
    assert abs(offsets[int(np.argmax(rows))]) <= 0.02
    assert max(rows) == pytest.approx(actor.place.ground, abs=0.03)


def dust(age, strength=1.0):
    """What a blow throws up on a dark picture: its brightness and its width in pixels."""
    canvas = Canvas(np.zeros((128, 128, 3), dtype=np.float32))
    draw_contact(canvas, Place(), (0.0, 0.3), (Event(1.0, strength, "wood", "bounce"),), 1.0 + age)
    columns = np.flatnonzero((canvas.pixels > 0.05).any(axis=(0, 2)))
    return float(canvas.pixels.max()), int(np.ptp(columns)) if columns.size else 0


def test_dust_tells_how_long_ago_it_was_by_its_width_and_how_hard_by_its_brightness():
    assert dust(-0.01) == dust(0.51) == (0.0, 0)
    widths = [dust(age)[1] for age in (0.1, 0.15, 0.2, 0.25, 0.3, 0.35)]
    assert min(np.diff(widths)) >= 3  # 5 pixels in 50 ms, of 128
    assert dust(0.2, strength=1.0)[0] > 1.5 * dust(0.2, strength=0.25)[0]


# How it sounds


def test_a_higher_fall_is_louder():
    low, high = first_ring(ball(height=0.3)), first_ring(ball(height=0.8))
    assert np.abs(high).max() > 1.3 * np.abs(low).max()


@pytest.mark.parametrize("material", MATERIALS.values(), ids=MATERIALS)
def test_a_bigger_ball_is_lower_and_louder(material):
    small, big = first_ring(ball(material, radius=0.07)), first_ring(ball(material, radius=0.14))
    assert pitch(big) < 0.75 * pitch(small)
    assert np.abs(big).max() > np.abs(small).max()


def test_materials_are_told_apart_by_how_fast_they_fade():
    wood, ceramic, glass, metal = (
        fading(first_ring(hammer(1.0, material=m), 0.95)) for m in (WOOD, CERAMIC, GLASS, METAL)
    )
    assert 2 * wood < ceramic < glass < 0.6 * metal


def test_rubber_is_the_dullest():
    assert pitch(first_ring(ball(RUBBER))) < 0.5 * min(pitch(first_ring(ball(m))) for m in (WOOD, GLASS, METAL))


def hammer(strength, size=0.5, material=METAL):
    return Hammer(Place(), material, size, (0.5, 1.5), (strength, strength))


def test_a_harder_blow_is_raised_higher_and_is_louder():
    soft, hard = hammer(0.3), hammer(1.0)
    assert hard.raised(1.2) == pytest.approx(soft.raised(1.2) / 0.3)
    assert np.abs(first_ring(hard)).max() == pytest.approx(np.abs(first_ring(soft)).max() / 0.3, rel=0.02)


def test_a_longer_bar_is_lower():
    assert pitch(first_ring(hammer(1.0, size=0.8))) < 0.7 * pitch(first_ring(hammer(1.0, size=0.4)))


def test_the_hammer_meets_the_bar_at_its_events_only():
    actor = hammer(0.8)
    assert [actor.raised(time) for time in actor.times] == pytest.approx([0, 0], abs=1e-9)
    assert min(actor.raised(time) for time in (0.3, 0.45, 0.55, 1.0, 1.4)) > 0.1


def test_the_sticks_of_a_drum_take_turns():
    drum = Drum(Place(), WOOD, 0.4, (0.5, 1.0, 1.5), (1.0, 1.0, 1.0))
    assert drum.raised(0.5, 0) == drum.raised(1.0, 1) == drum.raised(1.5, 0) == pytest.approx(0)
    assert drum.raised(1.0, 0) > 0.5
    assert drum.raised(0.5, 1) > 0.5


def above(sound, lowest):
    """What of a sound lies above ``lowest`` Hz: its energy."""
    power = np.abs(np.fft.rfft(sound)) ** 2
    return float(power[np.fft.rfftfreq(sound.size, 1 / SAMPLE_RATE) > lowest].sum())


def test_a_drum_s_blow_begins_with_the_slap_of_its_stick():
    def slap(strength):
        ring = first_ring(Drum(Place(), WOOD, 0.4, (0.5,), (strength,)), 0.2)
        assert above(ring[:480], 1000) > 100 * above(ring[1600:2080], 1000)
        return above(ring[:480], 1000) / above(ring[:480], 0)

    assert slap(1.0) > 1.5 * slap(0.4) > 0.001


@pytest.mark.parametrize("kind", ["bounce", "hammer", "bell", "drum", "metronome"])
def test_the_lowest_tone_of_what_is_struck_is_that_of_its_truth(kind):
    actors = (sample_scene(seed, kind).actors[0] for seed in range(6))
    for actor in (actor for actor in actors if actor.material is not RUBBER):  # whose tone is over at once
        sound = actor.sound(8 * SAMPLE_RATE).astype(float)
        spectrum = np.abs(np.fft.rfft(sound * np.hanning(sound.size)))
        frequency = np.fft.rfftfreq(sound.size, 1 / SAMPLE_RATE)
        (told,) = actor.source.pitch
        ringing = spectrum[np.abs(frequency / told - 1) < 0.03].max()
        assert ringing > 2 * spectrum[frequency < 0.9 * told].max()


def test_a_metronome_ticks_in_the_middle_until_it_is_stopped():
    actor = Metronome(Place(), WOOD, beat=0.5, first=0.2, stop=1.5, swing=0.5)
    assert [event.time for event in actor.source.events] == pytest.approx([0.2, 0.7, 1.2])
    assert [actor.angle(event.time) for event in actor.source.events] == pytest.approx([0, 0, 0], abs=1e-9)
    assert abs(actor.angle(0.45)) == pytest.approx(0.5)
    assert actor.angle(1.6) == actor.angle(2.5)


@pytest.mark.parametrize("ground", GROUNDS)
def test_feet_land_at_their_times_and_are_in_the_air_before(ground):
    walker = Walker(Place(), ground, (0.5, 1.0, 1.5, 2.0), (0.8,) * 4, 0.6, (0.5, 0.5, 0.5))
    for index, time in enumerate(walker.times):
        assert walker.foot(time, index % 2)[1] == 0
        assert walker.foot(time - 0.1, index % 2)[1] > 0.02
    assert np.abs(walker.sound(SECONDS)).max() > 0.05


def test_grounds_sound_different():
    steps = {name: first_ring(Walker(Place(), name, (0.5,), (1.0,), 0.6, (0.5, 0.5, 0.5)), 1.0) for name in GROUNDS}
    assert pitch(steps["gravel"]) > 2 * pitch(steps["snow"]) > 2 * pitch(steps["wood"])
    assert fading(steps["metal"]) > 3 * fading(steps["wood"])


def test_what_is_farther_away_is_smaller_and_quieter():
    near, far = Place(zoom=1.0), Place(zoom=0.5)
    assert far.unit == near.unit / 2
    scene = sample_scene(8, "bounce")
    # The room's noise stays; the ball's sound is scaled by the zoom.
    quiet = type(scene)(scene.seed, scene.duration, scene.stage, (Bounce(far, METAL, 0.1, (Drop(0.5, 0.6, 0.5),)),))
    loud = type(scene)(scene.seed, scene.duration, scene.stage, (Bounce(near, METAL, 0.1, (Drop(0.5, 0.6, 0.5),)),))
    assert np.abs(loud.sound()).max() == pytest.approx(2 * np.abs(quiet.sound()).max(), rel=0.1)
