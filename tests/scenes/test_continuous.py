"""What sounds all the time: its intensity is seen and heard."""

from __future__ import annotations

import numpy as np
import pytest

from mdsgen.geometry import SAMPLE_RATE
from mdsgen.scenes import INTENSITY_RATE, sample_scene
from mdsgen.scenes.actor import Place
from mdsgen.scenes.elements import SURFACES, Fire, Rain, Waves
from mdsgen.scenes.machines import Cars, Engine, Fan, Pass, tone
from mdsgen.scenes.noise import band, curve, shaped
from mdsgen.scenes.raster import Canvas

SECONDS = 2
SAMPLES = SECONDS * SAMPLE_RATE


def level(value):
    return np.full(SECONDS * INTENSITY_RATE + 1, value, dtype=np.float32)


def rms(sound):
    return float(np.sqrt(np.mean(sound.astype(float) ** 2)))


def centroid(sound):
    power = np.abs(np.fft.rfft(sound)) ** 2
    return float(power @ np.fft.rfftfreq(sound.size, 1 / SAMPLE_RATE) / power.sum())


def picture(actor, time=1.0, size=96):
    canvas = Canvas(np.full((size, size, 3), 0.4, dtype=np.float32))
    actor.draw(canvas, time)
    return canvas.pixels


MAKERS = {
    "rain": lambda value: Rain(Place(), "metal", level(value)),
    "fire": lambda value: Fire(Place(), level(value), (), ()),
    "engine": lambda value: Engine(Place(), 4, level(value), (0.85, 0.45, 0.08)),
    "fan": lambda value: Fan(Place(), 3, level(value)),
}


@pytest.mark.parametrize("kind", MAKERS)
def test_more_is_louder_and_looks_different(kind):
    weak, strong = MAKERS[kind](0.2), MAKERS[kind](0.9)
    assert rms(strong.sound(SAMPLES)) > 1.5 * rms(weak.sound(SAMPLES))
    change = np.abs(picture(strong) - picture(weak)).max(axis=2)
    assert (change > 0.1).mean() > 0.01


@pytest.mark.parametrize("kind", ["rain", "fan"])
def test_nothing_happens_in_silence(kind):
    assert rms(MAKERS[kind](0.0).sound(SAMPLES)) < 0.003


@pytest.mark.parametrize("kind", ["rain", "fire", "engine", "fan"])
def test_the_loudness_of_a_drawn_scene_follows_its_truth(kind):
    actor = max((sample_scene(seed, kind).actors[0] for seed in range(8)), key=lambda a: np.ptp(a.source.intensity))
    blocks = actor.sound(8 * SAMPLE_RATE).reshape(16, -1)
    loudness = np.log10([rms(block) + 1e-4 for block in blocks])
    intensity = actor.source.intensity[: 8 * INTENSITY_RATE].reshape(16, -1).mean(axis=1)
    assert np.corrcoef(loudness, intensity)[0, 1] > 0.7


def test_harder_rain_has_more_and_longer_streaks():
    bright = [(picture(MAKERS["rain"](value))[:60] > 0.5).mean() for value in (0.1, 0.5, 1.0)]
    assert bright[0] < bright[1] < bright[2]


def test_rain_sounds_of_what_it_falls_on():
    tones = {surface: centroid(Rain(Place(), surface, level(0.8)).sound(SAMPLES)) for surface in SURFACES}
    assert tones["leaves"] < tones["water"]
    assert len({round(tone / 100) for tone in tones.values()}) == len(SURFACES)


def test_a_hotter_fire_has_higher_flames():
    rows = []
    for heat in (0.2, 0.9):
        pixels = picture(MAKERS["fire"](heat))
        flame = (pixels[..., 0] > 0.85) & (pixels[..., 2] < 0.4) & (pixels[..., 1] < 0.6)
        rows.append(int(np.flatnonzero(flame.any(axis=1)).min()))
    assert rows[1] < rows[0] - 10


def test_a_crackle_is_heard_and_seen_as_sparks():
    fire = Fire(Place(), level(0.1), (1.0,), (1.0,))
    sound = np.abs(fire.sound(SAMPLES))
    assert abs(int(sound.argmax()) / SAMPLE_RATE - 1.0) < 0.01
    assert np.abs(picture(fire, 1.05) - picture(Fire(Place(), level(0.1), (), ()), 1.05)).max() > 0.3


def kurtosis(sound):
    """3 for noise without grain, more where much of its energy comes in a few moments."""
    return float(np.mean(sound**4) / np.mean(sound**2) ** 2)


def test_a_fire_crackles_between_the_sparks_that_are_seen():
    sound = Fire(Place(), level(0.6), (), ()).sound(SAMPLES)
    spectrum = np.fft.rfft(sound)
    spectrum[np.fft.rfftfreq(SAMPLES, 1 / SAMPLE_RATE) < 1000] = 0
    crackling = np.fft.irfft(spectrum)
    assert kurtosis(crackling) > 7
    assert kurtosis(shaped(np.random.default_rng(0), SAMPLES, band(1000, 6000))) < 3.5


def test_a_faster_engine_is_higher():
    slow, fast = (centroid(MAKERS["engine"](value).sound(SAMPLES)) for value in (0.0, 1.0))
    assert fast > 1.3 * slow


def test_an_engine_repeats_itself_as_often_as_its_truth_says():
    for value in (0.0, 0.5, 1.0):
        engine = MAKERS["engine"](value)
        (told,) = np.unique(engine.source.pitch)
        spectrum = np.abs(np.fft.rfft(engine.sound(SAMPLES)))
        harmonics = [round(order * told * SAMPLES / SAMPLE_RATE) for order in (1, 2, 3)]
        assert min(spectrum[at - 2 : at + 3].max() for at in harmonics) > 20 * np.median(spectrum)


def test_the_blades_of_a_fast_fan_are_a_blur():
    contrast = []
    for speed in (0.02, 1.0):
        fan = MAKERS["fan"](speed)
        x, y = fan.place.view(0.0, 0.7)
        angle = np.linspace(0, 2 * np.pi, 60)
        radius = 0.25 * fan.place.unit
        rows = ((y + radius * np.sin(angle)) * 96).astype(int)
        columns = ((x - radius * np.abs(np.cos(angle))) * 96).astype(int)  # the ribbons hang on the other side
        contrast.append(float(np.std(picture(fan)[rows, columns])))
    assert contrast[0] > 1.3 * contrast[1]


def test_a_wave_is_heard_when_it_breaks():
    waves = Waves(Place(), (1.0,), (1.0,), SECONDS)
    sound = waves.sound(SAMPLES)
    before, after = sound[: int(0.98 * SAMPLE_RATE)], sound[int(1.05 * SAMPLE_RATE) : int(1.4 * SAMPLE_RATE)]
    assert rms(after) > 4 * rms(before)
    assert (waves.source.intensity[:INTENSITY_RATE] == 0).all()
    assert waves.source.intensity[INTENSITY_RATE + 4] > 0.8
    white = [(picture(waves, time)[60:].min(axis=2) > 0.75).mean() for time in (0.9, 1.3)]
    assert white[1] > white[0] + 0.05


def test_a_car_is_loudest_and_in_the_middle_when_it_passes_and_lower_afterwards():
    cars = Cars(Place(metres=8.0), (Pass(1.0, 9.0, (0.9, 0.1, 0.1), 100.0),), 4.0, SECONDS)
    assert int(cars.source.intensity.argmax()) == INTENSITY_RATE
    red = [np.flatnonzero(((p := picture(cars, t))[..., 0] > 0.7) & (p[..., 1] < 0.3)) % 96 for t in (0.8, 1.0, 1.2)]
    left, middle, right = (float(np.mean(columns)) for columns in red)
    assert left < 40 < middle < 56 < right


def test_a_tone_has_the_pitch_that_it_is_told():
    sound = tone(np.full(SAMPLES, 200.0, dtype=np.float32), np.array([1.0]))
    assert int(np.abs(np.fft.rfft(sound)).argmax()) == 200 * SECONDS


def test_noise_lies_in_its_band():
    rng = np.random.default_rng(0)
    sound = shaped(rng, SAMPLES, band(1000, 2000))
    assert rms(sound) == pytest.approx(1, abs=1e-3)
    power = np.abs(np.fft.rfft(sound)) ** 2
    frequency = np.fft.rfftfreq(SAMPLES, 1 / SAMPLE_RATE)
    assert power[(frequency > 500) & (frequency < 4000)].sum() > 0.85 * power.sum()


def test_curves_stay_within_their_limits_and_move_softly():
    drawn = np.stack([curve(np.random.default_rng(seed), 8.0, 0.2, 0.8) for seed in range(20)])
    assert 0.2 <= drawn.min() < 0.3
    assert 0.7 < drawn.max() <= 0.8
    assert np.abs(np.diff(drawn, axis=1)).max() < 0.02
