"""The shipped judge tells right sound from wrong, and says what it hears."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import av
import numpy as np
import pytest

from mdsgen.errors import SettingsError, TensorError
from mdsgen.evaluation import HELD_OUT, Clip, Evaluation, Judge, evaluate, held_out, score_sounds, thumbnails
from mdsgen.evaluation.held_out import FILM_RATES
from mdsgen.evaluation.judge import JUDGE_FILE
from mdsgen.geometry import DEMO, RELEASE
from mdsgen.media import probe, read_pictures
from mdsgen.scenes import IMPACTS, KINDS, sample_scene
from tests.geometries import BRISK

HOP = DEMO.mel.hop


def test_real_sound_is_aligned_and_of_its_kind(evaluation: Evaluation) -> None:
    real = evaluation.scores.real
    assert real.clips == 2 * len(KINDS)
    assert real.aligned is not None
    assert real.aligned >= 0.9
    assert real.kind is not None
    assert real.kind >= 0.9
    assert real.material is not None
    assert real.material >= 0.7
    assert real.onsets is not None
    assert real.onsets.f1 >= 0.9
    assert real.strict_onsets is not None
    assert 0.9 <= real.strict_onsets.f1 <= real.onsets.f1
    assert real.hop_autocorrelation is not None
    assert real.hop_autocorrelation < 0.1


def test_sound_that_is_late_by_a_tenth_of_a_second_and_buzzes_is_found_out(clips: list[Clip]) -> None:
    few = [clip for clip in clips if clip.scene.kind in ("hammer", "rain")]
    bad = [np.roll(np.tile(clip.sound.reshape(-1, 2, HOP)[:, :1], (1, 2, 1)).reshape(-1), 1600) for clip in few]
    generated = evaluate(few, bad, threads=1).scores.generated
    assert generated.onsets is not None
    assert generated.strict_onsets is not None
    assert generated.onsets.f1 > 0.8
    assert generated.strict_onsets.f1 < 0.5
    assert generated.hop_autocorrelation is not None
    assert generated.hop_autocorrelation > 0.4


def test_a_recording_of_another_level_and_with_hiss_is_judged_alike(evaluation: Evaluation) -> None:
    scores = evaluation.scores
    assert scores.generated.aligned == pytest.approx(scores.real.aligned, abs=0.1)
    assert scores.generated.kind == pytest.approx(scores.real.kind, abs=0.1)


def test_foreign_and_shifted_sound_are_not_aligned(evaluation: Evaluation) -> None:
    scores = evaluation.scores
    assert scores.shuffled.aligned is not None
    assert scores.shuffled.aligned <= 0.1
    assert scores.shuffled.kind is not None
    assert scores.shuffled.kind <= 0.2
    assert scores.shifted.clips >= 6
    assert scores.shifted.aligned is not None
    assert scores.shifted.aligned <= 0.2


def test_wrong_sound_is_farther_away_than_right_sound(clips: list[Clip], evaluation: Evaluation) -> None:
    few = clips[:12]
    noise = [0.1 * np.random.default_rng(i).standard_normal(DEMO.samples).astype(np.float32) for i in range(len(few))]
    scores = evaluate(few, noise, threads=1).scores
    assert scores.generated.frechet is not None
    assert evaluation.scores.generated.frechet is not None
    assert scores.generated.frechet > 5 * evaluation.scores.generated.frechet


def test_arrays_can_be_judged_without_a_bundle(clips: list[Clip], evaluation: Evaluation) -> None:
    few = [*clips[:2], clips[6]]
    scores = score_sounds([clip.pictures for clip in few], [clip.sound for clip in few], [clip.scene for clip in few])
    assert scores.generated.aligned == scores.real.aligned
    assert scores.generated.frechet is None, "three clips say nothing of a distance"
    assert set(scores.kinds) == set(scores.real_kinds) == {clip.scene.kind for clip in few}
    assert scores.kinds == scores.real_kinds
    assert [table[0][0] for table in scores.tables] == ["", "generated", "real"]
    document = json.loads(json.dumps(scores.to_dict(), allow_nan=False))
    assert document["shuffled"]["clips"] == 3
    assert "called aligned" in scores.page()


def test_a_shorter_window_is_judged_with_silence_after_it(clips: list[Clip]) -> None:
    short = evaluate(clips[:3], [clip.sound[: RELEASE.samples] for clip in clips[:3]], threads=1)
    assert [found.aligned for found in short.generated] == [found.aligned for found in short.real]


def test_only_blows_are_shifted_and_never_onto_themselves(clips: list[Clip]) -> None:
    for clip in clips:
        shifted = clip.shifted()
        assert shifted is None or clip.scene.kind in IMPACTS
        if shifted is not None:
            np.testing.assert_array_equal(np.sort(shifted), np.sort(clip.sound))
            assert not np.array_equal(shifted, clip.sound)


def test_scenes_that_are_trained_on_are_refused() -> None:
    with pytest.raises(SettingsError, match="others are trained on"):
        held_out(2, HELD_OUT - 1)


def test_held_out_scenes_are_those_of_their_seeds() -> None:
    (clip,) = held_out(1, 7)
    np.testing.assert_array_equal(clip.pictures, thumbnails(sample_scene(7).frames(224, 32, 4)))
    np.testing.assert_array_equal(clip.sound, sample_scene(7).sound())
    assert clip.frames(RELEASE).shape == (32, 224, 224, 3)
    assert clip.frames(BRISK).shape == (128, 56, 56, 3)


@pytest.mark.parametrize(("seed", "rate"), [(4, 24), (5, 25)])
def test_scenes_are_shown_as_compressed_films_of_common_rates(tmp_path: Path, seed: int, rate: int) -> None:
    clip = Clip(sample_scene(seed, duration=4.0), np.zeros((32, 56, 56, 3), np.uint8))
    info = probe(clip.write_film(tmp_path))
    assert (info.width, info.height, info.has_audio, info.codec) == (224, 224, False, "h264")
    assert info.duration == pytest.approx(4.0, abs=0.5 / rate)
    with av.open(str(info.path)) as film:
        assert film.streams.video[0].average_rate == rate
    assert info.path.stat().st_size < 100_000
    seen, drawn = list(read_pictures(info, 4, 224)), clip.scene.frames(224, 16, 4)
    assert np.abs(np.stack(seen[:16]).astype(float) - drawn).mean() < 12


def test_the_films_rates_come_in_turn() -> None:
    assert FILM_RATES == (24, 25, 30, 60)


def test_numbers_that_do_not_fit_are_refused(clips: list[Clip]) -> None:
    with pytest.raises(SettingsError, match="two clips"):
        evaluate(clips[:1], [clips[0].sound])
    with pytest.raises(SettingsError, match="film for each"):
        score_sounds([], [], [clips[0].scene])
    with pytest.raises(TensorError, match="multiple of 56"):
        thumbnails(np.zeros((32, 100, 100, 3), np.uint8))
    with Judge(threads=1) as judge, pytest.raises(TensorError, match="131072"):
        judge.predict(clips[0].pictures, [np.zeros(1000, np.float32)])


def test_the_judge_is_small_and_needs_no_pytorch() -> None:
    assert JUDGE_FILE.stat().st_size <= 1_500_000
    script = (
        "import sys; sys.modules.update(torch=None, onnx=None, transformers=None); import numpy as np; "
        "from mdsgen.evaluation import Judge, held_out; (clip,) = held_out(1, 1); "
        "print(Judge(threads=1).predict(clip.pictures, [clip.sound])[0].kind)"
    )
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=False)
    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout.strip() in KINDS
