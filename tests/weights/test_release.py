"""The published denoiser's file: what the published network computes, and every file that is mistaken for it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from mdsgen.errors import CheckpointError
from mdsgen.geometry import PAPER, RELEASE
from mdsgen.model.attention import relative_position_index
from mdsgen.model.denoiser import Denoiser, DenoiserConfig, config
from mdsgen.runtime.guidance import guidance_scale
from mdsgen.weights.release import denoiser_from_state, load_release
from tests.released import DECODE_LAYER, TIMESTEPS, TOLERANCE, golden, position_index, relative_error, released_state
from tests.threads import one_thread

State = dict[str, torch.Tensor]
INDEX = "blocks.1.attn.rel_pos_bias.relative_position_index"
TABLE = "blocks.0.attn.rel_pos_bias.relative_position_bias_table"


# The published network


@pytest.fixture(autouse=True, scope="module")
def _one_thread() -> Iterator[None]:
    with one_thread():
        yield


@pytest.fixture(scope="module")
def released(tmp_path_factory: pytest.TempPathFactory) -> Denoiser:
    """The small released denoiser, read back from a file."""
    path = tmp_path_factory.mktemp("release") / "mdsgen_audioldm.pt"
    torch.save(released_state(), path)
    return load_release(path, decode_layer=DECODE_LAYER)


def test_the_file_tells_the_denoisers_size(released: Denoiser) -> None:
    assert released.geometry == RELEASE
    assert released.config == DenoiserConfig(48, 4, 3, DECODE_LAYER, timestep_channels=204)
    assert not released.training
    assert {p.dtype for p in released.parameters()} == {torch.float32}
    assert {p.device.type for p in released.parameters()} == {"cpu"}


@pytest.mark.parametrize("timestep", TIMESTEPS)
def test_gives_the_published_outputs(released: Denoiser, timestep: int) -> None:
    """All 16 channels: the noise and the learned variance."""
    arrays = golden()
    latent, features = torch.from_numpy(arrays["latent"]), torch.from_numpy(arrays["video_features"])[None]
    with torch.inference_mode():
        conditional = released(latent, torch.tensor([float(timestep)]), features).numpy()
        unconditional = released(latent, torch.tensor([float(timestep)])).numpy()
    assert conditional.shape == (1, 16, 204, 16)
    assert relative_error(conditional, arrays[f"cond_t{timestep}"]) < TOLERANCE
    assert relative_error(unconditional, arrays[f"uncond_t{timestep}"]) < TOLERANCE
    scale = guidance_scale(np.array(timestep), guidance=5.0, power=0.01)
    guided = unconditional + scale * (conditional - unconditional)
    assert relative_error(guided, arrays[f"cfg_t{timestep}"]) < TOLERANCE


def test_the_second_position_embedding_stands_where_the_caller_says(released: Denoiser) -> None:
    """Nothing in the file tells, and another place is another network."""
    arrays = golden()
    elsewhere = denoiser_from_state(released.state_dict(), 1, "the fixture")
    with torch.inference_mode():
        moved = elsewhere(torch.from_numpy(arrays["latent"]), torch.tensor([500.0])).numpy()
    assert relative_error(moved, arrays["uncond_t500"]) > 1e-3


@pytest.mark.parametrize("grid", [(102, 8), (8, 32), (1, 5)])
def test_the_index_of_a_grid_is_beits(grid: tuple[int, int]) -> None:
    np.testing.assert_array_equal(relative_position_index(grid).numpy(), position_index(*grid))


# Files that are read


@pytest.fixture(scope="module")
def small() -> Denoiser:
    torch.manual_seed(0)
    return Denoiser(PAPER, DenoiserConfig(8, 3, 2, 1)).eval()


@pytest.fixture
def state(small: Denoiser) -> State:
    return {name: value.clone() for name, value in small.state_dict().items()}


@pytest.mark.parametrize(
    "form",
    [dict, lambda s: {"state_dict": s}, lambda s: {f"module.{name}": value for name, value in s.items()}],
    ids=["bare", "state_dict", "module."],
)
def test_every_usual_form_loads(tmp_path: Path, small: Denoiser, state: State, form: Callable[[State], object]) -> None:
    torch.save(form(state), tmp_path / "model.pt")
    loaded = load_release(tmp_path / "model.pt", decode_layer=1)
    assert (loaded.geometry, loaded.config) == (small.geometry, small.config)
    assert all(torch.equal(value, state[name]) for name, value in loaded.state_dict().items())


def test_safetensors_load(tmp_path: Path, state: State) -> None:
    save_file(state, tmp_path / "model.safetensors")
    loaded = load_release(tmp_path / "model.safetensors", decode_layer=1)
    assert all(torch.equal(value, state[name]) for name, value in loaded.state_dict().items())


def test_a_half_precision_file_computes_in_float32(state: State) -> None:
    half = {name: value.half() if value.is_floating_point() else value for name, value in state.items()}
    loaded = denoiser_from_state(half, 1, "half")
    assert {p.dtype for p in loaded.parameters()} == {torch.float32}
    assert torch.equal(loaded.pos_embed, half["pos_embed"].float())


def test_the_caller_keeps_its_tensors(state: State) -> None:
    loaded = denoiser_from_state(state, 1, "mine")
    before = state["pos_embed"].clone()
    loaded.pos_embed.data.zero_()
    assert torch.equal(state["pos_embed"], before)


def test_the_papers_tiny_is_read_back() -> None:
    tiny = Denoiser(PAPER, config("tiny", PAPER))
    loaded = denoiser_from_state(tiny.state_dict(), 2, "tiny")
    assert (loaded.geometry, loaded.config) == (PAPER, config("tiny", PAPER))


# Files that are refused


def refusal(state: State, decode_layer: int = 1) -> str:
    """The one line that ``state`` is refused with."""
    with pytest.raises(CheckpointError) as caught:
        denoiser_from_state(state, decode_layer, "my.pt")
    text = str(caught.value)
    assert "\n" not in text
    assert text.startswith("my.pt: ")
    return text.removeprefix("my.pt: ")


def test_a_missing_entry_is_named(state: State) -> None:
    del state["blocks.2.mlp.fc1.bias"]
    text = refusal(state)
    assert text == "these are not the weights of an MDSGen denoiser (3 blocks of 8): 1 missing: blocks.2.mlp.fc1.bias"


def test_a_renamed_entry_is_named_both_ways(state: State) -> None:
    state["final_layer.lin.bias"] = state.pop("final_layer.linear.bias")
    assert refusal(state).endswith("1 missing: final_layer.linear.bias; 1 unexpected: final_layer.lin.bias")


def test_an_extra_entry_is_named(state: State) -> None:
    assert refusal(state | {"ema.decay": torch.zeros(1)}).endswith("1 unexpected: ema.decay")


def test_an_entry_of_another_shape_is_named_with_both(state: State) -> None:
    state["conv1d_feat.0.weight"] = torch.zeros(1, 31, 1)
    assert "conv1d_feat.0.weight (expected [1, 32, 1], found [1, 31, 1])" in refusal(state)


def test_a_missing_block_in_the_middle_is_noticed(state: State) -> None:
    left = {name: value for name, value in state.items() if not name.startswith("blocks.1.")}
    text = refusal(left)
    assert "missing: blocks.1." in text
    assert "unexpected: blocks.2." in text


@pytest.mark.parametrize("name", ["pos_embed", "x_embedder.proj.weight", "t_embedder.mlp.0.weight", TABLE])
def test_without_what_tells_the_size_it_is_not_a_denoiser(state: State, name: str) -> None:
    of_another_rank = state | {name: torch.zeros(3)}
    del state[name]
    assert refusal(state).startswith(f"this is not an MDSGen denoiser: expected {name}; found {len(state)} names: ")
    assert refusal(of_another_rank).startswith("this is not an MDSGen denoiser: expected pos_embed, ")


def test_another_model_altogether_is_told_what_was_found() -> None:
    text = refusal({"conv1.weight": torch.zeros(8, 3, 7, 7), "fc.bias": torch.zeros(10)})
    assert text.startswith("this is not an MDSGen denoiser: expected pos_embed, ")
    assert "found 2 names: conv1.weight, fc.bias" in text


@pytest.mark.parametrize(("tokens", "channels"), [(255, 4), (256, 8), (816, 4)])
def test_a_token_grid_of_no_geometry_is_refused(state: State, tokens: int, channels: int) -> None:
    state["pos_embed"] = torch.zeros(1, tokens, 8)
    state["x_embedder.proj.weight"] = torch.zeros(8, channels, 2, 2)
    expected = f"no geometry has {tokens} tokens and {channels} latent channels (paper: 256 and 4, release: 816 and 8)"
    assert refusal(state) == expected


@pytest.mark.parametrize("decode_layer", [0, -1, 4])
def test_more_decode_layers_than_blocks_are_refused(state: State, decode_layer: int) -> None:
    assert refusal(state, decode_layer).startswith("this is not an MDSGen denoiser: decode")


def test_no_heads_are_refused(state: State) -> None:
    state[TABLE] = torch.zeros(len(state[TABLE]), 0)
    assert refusal(state) == "this is not an MDSGen denoiser: heads must be at least 1, not 0"


def test_heads_that_do_not_divide_the_width_are_refused(state: State) -> None:
    state[TABLE] = torch.zeros(len(state[TABLE]), 3)
    assert refusal(state) == "this is not an MDSGen denoiser: width 8 does not divide into 3 heads"


def test_a_changed_position_index_is_refused(state: State) -> None:
    state[INDEX][5, 7] += 1
    assert refusal(state) == f"{INDEX} is not the index of a (8, 32) token grid"


def test_a_float_position_index_is_refused(state: State) -> None:
    state[INDEX] = state[INDEX].float()
    assert f"{INDEX} (expected torch.int64, found torch.float32)" in refusal(state)


@pytest.mark.parametrize(
    ("write", "found"),
    [
        (lambda path, state: None, "no such file"),
        (lambda path, state: path.write_text("weights"), "not a PyTorch file of plain tensors"),
        (lambda path, state: torch.save({}, path), "expected a state dict"),
        (lambda path, state: torch.save([1], path), "expected a state dict"),
    ],
    ids=["missing", "text", "empty", "list"],
)
def test_a_file_that_cannot_be_read_is_named(
    tmp_path: Path, state: State, write: Callable[[Path, State], object], found: str
) -> None:
    path = tmp_path / "model.pt"
    write(path, state)
    with pytest.raises(CheckpointError) as caught:
        load_release(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert found in str(caught.value)


def test_a_truncated_file_is_refused(tmp_path: Path, state: State) -> None:
    path = tmp_path / "model.pt"
    torch.save(state, path)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(CheckpointError, match="not a readable PyTorch checkpoint"):
        load_release(path)


def test_without_a_decode_layer_it_is_the_published_sizes(tmp_path: Path) -> None:
    for size, expected in (("tiny", 2), ("small", 4)):
        path = tmp_path / f"{size}.pt"
        with torch.device("meta"):
            state = Denoiser(PAPER, config(size, PAPER)).state_dict()
        zeros = {name: torch.zeros((), dtype=value.dtype).expand(value.shape) for name, value in state.items()}
        index = relative_position_index(PAPER.grid)
        torch.save(zeros | {name: index for name in zeros if name.endswith("relative_position_index")}, path)
        assert load_release(path, decode_layer=None).config.decode_layers == expected
