"""Reading AudioLDM folders: whole and equal, or refused with one clear line and nothing run."""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from mdsgen.errors import CheckpointError
from mdsgen.geometry import PAPER, RELEASE
from mdsgen.model.audio import AudioCodec, audioldm_autoencoder, hifigan, stable_diffusion_autoencoder
from mdsgen.weights.audioldm import load_audioldm, load_autoencoder, load_vocoder, locate_audioldm, save_audioldm
from tests.fake_hub import COMMIT, asked, fake_hub

VAE, VOCODER = "vae/diffusion_pytorch_model.safetensors", "vocoder/model.safetensors"
BOTH = pytest.mark.parametrize("file", [VAE, VOCODER], ids=["vae", "vocoder"])
State = dict[str, Tensor]


@pytest.fixture(scope="module")
def codec() -> AudioCodec:
    torch.manual_seed(0)
    return AudioCodec(RELEASE, audioldm_autoencoder((8, 8, 16)), hifigan(RELEASE, channels=32))


@pytest.fixture(scope="module")
def saved(codec: AudioCodec, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("saved")
    save_audioldm(codec, folder)
    return folder


@pytest.fixture
def folder(saved: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(saved, tmp_path / "audioldm"))


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> Iterator[None]:
    """Networks this small only wait for each other's threads."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def edit(path: Path, change: Callable[[State], State]) -> None:
    save_file({name: value.contiguous() for name, value in change(load_file(path)).items()}, path)


def edit_config(path: Path, **values: object) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


def as_bin(path: Path, state: State | None = None) -> Path:
    """Replace a safetensors file by the ``.bin`` that older releases wrote."""
    old = path.with_name({"model.safetensors": "pytorch_model.bin"}.get(path.name, path.stem + ".bin"))
    torch.save(load_file(path) if state is None else state, old)
    path.unlink()
    return old


def refusal(source: str | Path) -> str:
    with pytest.raises(CheckpointError) as caught:
        load_audioldm(source)
    message = str(caught.value)
    assert "\n" not in message
    return message


def assert_equal(one: AudioCodec, other: AudioCodec) -> None:
    torch.testing.assert_close(dict(one.state_dict()), dict(other.state_dict()), rtol=1e-6, atol=1e-8)


# What loads


def test_what_was_saved_loads_equal(codec: AudioCodec, folder: Path) -> None:
    loaded = load_audioldm(folder)
    latent = torch.randn(1, 8, 8, 16)
    assert torch.equal(loaded(latent), codec(latent))
    assert_equal(loaded, codec)


def test_a_folder_may_be_named_by_a_string(codec: AudioCodec, folder: Path) -> None:
    assert_equal(load_audioldm(str(folder)), codec)


def test_diffusers_and_transformers_read_what_was_saved(codec: AudioCodec, folder: Path) -> None:
    from diffusers import AutoencoderKL
    from transformers import SpeechT5HifiGan

    autoencoder = AutoencoderKL.from_pretrained(folder / "vae")
    vocoder = SpeechT5HifiGan.from_pretrained(folder / "vocoder")
    assert_equal(AudioCodec(RELEASE, autoencoder, vocoder), codec)


def test_the_papers_networks_load_too(tmp_path: Path) -> None:
    codec = AudioCodec(PAPER, stable_diffusion_autoencoder((8, 8, 8, 16)), hifigan(PAPER, channels=32))
    save_audioldm(codec, tmp_path)
    assert_equal(load_audioldm(tmp_path, PAPER), codec)


def test_one_network_may_lie_in_a_folder_of_its_own(codec: AudioCodec, folder: Path) -> None:
    assert AudioCodec(RELEASE, load_autoencoder(folder / "vae", ""), load_vocoder(folder / "vocoder", ""))


@BOTH
def test_plain_pytorch_files_load(codec: AudioCodec, folder: Path, file: str) -> None:
    as_bin(folder / file)
    assert_equal(load_audioldm(folder), codec)


def test_half_precision_files_load_as_float32(folder: Path) -> None:
    for file in (VAE, VOCODER):
        edit(folder / file, lambda state: {name: value.half() for name, value in state.items()})
    loaded = load_audioldm(folder)
    assert {value.dtype for value in loaded.state_dict().values()} == {torch.float32}


def test_attention_names_of_2023_load(codec: AudioCodec, folder: Path) -> None:
    old = {".to_q.": ".query.", ".to_k.": ".key.", ".to_v.": ".value.", ".to_out.0.": ".proj_attn."}

    def rename(state: State) -> State:
        pattern = re.compile("|".join(map(re.escape, old)))
        return {pattern.sub(lambda hit: old[hit[0]], name): value for name, value in state.items()}

    edit(folder / VAE, rename)
    assert sum("query" in name for name in load_file(folder / VAE)) == 4
    assert_equal(load_audioldm(folder), codec)


@pytest.mark.parametrize(
    ("gain", "direction"),
    [("weight_g", "weight_v"), ("parametrizations.weight.original0", "parametrizations.weight.original1")],
    ids=["old names", "new names"],
)
def test_weight_norm_of_either_kind_loads_folded(codec: AudioCodec, folder: Path, gain: str, direction: str) -> None:
    def split(state: State) -> State:
        parts = {}
        for name, value in state.items():
            layer, _, last = name.rpartition(".")
            if last != "weight":
                parts[name] = value
                continue
            parts[f"{layer}.{gain}"] = value.norm(dim=(1, 2), keepdim=True)
            parts[f"{layer}.{direction}"] = 3 * value  # only its direction counts
        return parts

    edit(folder / VOCODER, split)
    assert_equal(load_audioldm(folder), codec)


# What is refused


@BOTH
def test_a_truncated_file_is_refused(folder: Path, file: str) -> None:
    path = folder / file
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    assert str(path) in refusal(folder)


@BOTH
def test_a_truncated_pytorch_file_is_refused(folder: Path, file: str) -> None:
    path = as_bin(folder / file)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    assert str(path) in refusal(folder)


@BOTH
def test_missing_names_are_counted_and_named(folder: Path, file: str) -> None:
    gone = sorted(load_file(folder / file))[:2]
    edit(folder / file, lambda state: {name: value for name, value in state.items() if name not in gone})
    message = refusal(folder)
    assert str(folder) in message
    assert "2 missing" in message
    assert all(name in message for name in gone)


@BOTH
def test_unexpected_names_are_counted_and_named(folder: Path, file: str) -> None:
    edit(folder / file, lambda state: {**state, "stranger.weight": torch.zeros(1)})
    assert "1 unexpected: stranger.weight" in refusal(folder)


@BOTH
def test_another_shape_is_named_as_expected_and_found(folder: Path, file: str) -> None:
    name, value = next((name, value) for name, value in load_file(folder / file).items() if value.dim() > 1)
    edit(folder / file, lambda state: {**state, name: value[:-1]})
    message = refusal(folder)
    assert f"{name} (expected {list(value.shape)}, found {list(value[:-1].shape)})" in message


def test_a_gain_without_its_direction_is_refused(folder: Path) -> None:
    def lose(state: State) -> State:
        weight = state.pop("conv_pre.weight")
        return {**state, "conv_pre.weight_g": weight.norm(dim=(1, 2), keepdim=True)}

    edit(folder / VOCODER, lose)
    message = refusal(folder)
    assert "1 missing: conv_pre.weight" in message
    assert "1 unexpected: conv_pre.weight_g" in message


class Trap:
    """What a malicious checkpoint holds: an instruction that is followed while it is read."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Callable[..., object], tuple[object, ...]]:
        return os.mkdir, (str(self.path),)


@BOTH
def test_pickled_code_is_refused_and_does_not_run(folder: Path, tmp_path: Path, file: str) -> None:
    trap = Trap(tmp_path / "ran")
    path = as_bin(folder / file, {**load_file(folder / file), "trap": trap})  # type: ignore[dict-item]
    assert str(path) in refusal(folder)
    assert not trap.path.exists()
    torch.load(path, weights_only=False)
    assert trap.path.exists(), "the trap itself must work, or this test shows nothing"


def test_a_pickle_under_the_name_of_safetensors_is_refused(folder: Path, tmp_path: Path) -> None:
    torch.save({"trap": Trap(tmp_path / "ran")}, folder / VAE)
    assert VAE in refusal(folder)
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("part", ["vae", "vocoder"])
def test_a_missing_part_is_named(folder: Path, part: str) -> None:
    shutil.rmtree(folder / part)
    assert f"{folder / part}: expected config.json, found nothing" in refusal(folder)


def test_a_renamed_file_is_named_beside_the_expected_ones(folder: Path) -> None:
    (folder / VOCODER).rename(folder / "vocoder/weights.safetensors")
    message = refusal(folder)
    assert "expected model.safetensors or pytorch_model.bin, found config.json, weights.safetensors" in message


@pytest.mark.parametrize("text", ["", "{", "[1]", '"vae"', "\x00\xff", "[" * 100_000])
def test_a_damaged_configuration_is_refused(folder: Path, text: str) -> None:
    (folder / "vae/config.json").write_text(text, encoding="latin-1")
    assert str(folder / "vae/config.json") in refusal(folder)


def test_the_configuration_of_another_architecture_is_refused(folder: Path) -> None:
    edit_config(folder / "vae/config.json", _class_name="VQModel")
    assert "expected the configuration of AutoencoderKL, found that of VQModel" in refusal(folder)


@pytest.mark.parametrize(
    ("part", "values"),
    [
        ("vae", {"block_out_channels": "wide"}),
        ("vae", {"down_block_types": ["os.system"] * 3}),
        ("vocoder", {"upsample_rates": 5}),
        ("vocoder", {"upsample_initial_channel": None}),
    ],
)
def test_a_nonsensical_configuration_is_refused(folder: Path, part: str, values: dict[str, object]) -> None:
    edit_config(folder / part / "config.json", **values)
    assert f"{folder / part / 'config.json'}: no network can be built" in refusal(folder)


def test_a_configuration_that_asks_for_too_much_memory_is_refused(folder: Path) -> None:
    edit_config(folder / "vae/config.json", block_out_channels=[32_000_000] * 3)
    assert refusal(folder)


def test_a_configuration_cannot_name_code(codec: AudioCodec, folder: Path) -> None:
    stranger = {
        "auto_map": {"AutoModel": "evil.py--Evil"},
        "_attn_implementation": "evil/kernel",
        "architectures": None,
    }
    edit_config(folder / "vocoder/config.json", **stranger)
    loaded = load_audioldm(folder)
    assert not hasattr(loaded.vocoder.config, "auto_map")
    assert_equal(loaded, codec)


def test_networks_of_another_geometry_are_refused(folder: Path) -> None:
    with pytest.raises(CheckpointError, match="does not fit geometry paper: expected 4 latent channels"):
        load_audioldm(folder, PAPER)


# Where it is looked for


@pytest.mark.parametrize(
    "source",
    ["./nowhere/audioldm", "/nowhere/audioldm", "a/b/c", "audioldm", "~/no.such/folder", "~no-such-user/folder"],
)
def test_a_path_that_does_not_exist_is_called_a_folder(source: str) -> None:
    assert refusal(source) == f"{source}: no such folder"


def test_a_path_object_is_never_a_hub_id() -> None:
    assert refusal(Path("cvssp/audioldm-s-full-v2")).endswith("no such folder")


def test_a_file_is_no_folder(folder: Path) -> None:
    assert "is a file: expected a folder with vae/ and vocoder/" in refusal(folder / VAE)


def test_a_hub_id_offline_says_what_was_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)  # read once, when it is imported
    message = refusal("nobody-of-that-name/audioldm")
    assert (
        "nobody-of-that-name/audioldm: no such folder, and as a hub id: hf://nobody-of-that-name/audioldm/vae/config.json"
        in message
    )


@pytest.mark.parametrize("source", ["cvssp/audioldm-s-full-v2", "hf://cvssp/audioldm-s-full-v2@main"])
def test_a_hub_gives_safetensors_first_and_older_files_where_there_are_none(
    codec: AudioCodec, folder: Path, tmp_path: Path, source: str
) -> None:
    as_bin(folder / VOCODER)
    with fake_hub() as hub, asked(hub, tmp_path / "cache"):
        hub.add("cvssp/audioldm-s-full-v2", folder)
        assert str(locate_audioldm(source).name) == f"hf://cvssp/audioldm-s-full-v2@{COMMIT}"
        assert_equal(load_audioldm(source), codec)
    files = [line.split()[-1] for line in hub.log if line.startswith("GET")]
    assert files == ["vae/config.json", "vocoder/config.json", VAE, "vocoder/pytorch_model.bin"]
