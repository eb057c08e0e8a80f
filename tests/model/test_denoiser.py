"""The denoiser against a plain re-statement of it, at any size; its masked pass, its start and what trains."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mdsgen.errors import TensorError
from mdsgen.geometry import PAPER, RELEASE, Geometry
from mdsgen.marks import known_mark
from mdsgen.model.denoiser import SIZES, Denoiser, DenoiserConfig, config, inference_parameters
from mdsgen.model.embedding import sincos_position_embedding
from mdsgen.model.masking import Mask, sample_mask
from tests.geometries import TALL, WIDE
from tests.plain_denoiser import PlainDenoiser
from tests.released import FIXTURES, TOLERANCE, relative_error
from tests.seeded import read_keys, seeded_state
from tests.threads import one_thread

QUICK = DenoiserConfig(width=16, depth=3, heads=2, decode_layers=1, timestep_channels=32)


@pytest.fixture(autouse=True, scope="module")
def _one_thread() -> Iterator[None]:
    with one_thread():
        yield


def seeded(geometry: Geometry, size: DenoiserConfig) -> Denoiser:
    """No weight is zero, as the start's adaLN and output layers are: everything has an effect."""
    denoiser = Denoiser(geometry, size).eval()
    keys = {name: (tuple(value.shape), str(value.dtype)) for name, value in denoiser.state_dict().items()}
    denoiser.load_state_dict(seeded_state(keys), strict=False)
    return denoiser


def inputs(geometry: Geometry, batch: int = 2, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Latent, timestep, features."""
    generator = torch.Generator().manual_seed(seed)
    latent = torch.randn(batch, *geometry.latent_shape, generator=generator)
    features = torch.randn(batch, geometry.video_frames, 512, generator=generator)
    return latent, torch.rand(batch, generator=generator) * 999, features


def some_mask(geometry: Geometry, ratio: float = 0.5, batch: int = 2, seed: int = 0) -> Mask:
    return sample_mask(geometry, batch, ratio, torch.Generator().manual_seed(seed))


# The network, re-stated


def assert_is_the_plain_network(geometry: Geometry, size: DenoiserConfig) -> None:
    """Both branches of guidance and the masked pass, one clip each."""
    denoiser = seeded(geometry, size)
    weights = {name: value.numpy() for name, value in denoiser.state_dict().items()}
    plain = PlainDenoiser(weights, geometry.grid, size.heads, size.decode_layers)
    latent, timestep, features = inputs(geometry, batch=1)
    mask = some_mask(geometry, batch=1)
    x, t, frames = latent[0].double().numpy(), float(timestep), features[0].double().numpy()
    with torch.inference_mode():
        conditional, unconditional = denoiser(latent, timestep, features)[0], denoiser(latent, timestep)[0]
        masked = denoiser(latent, timestep, features, mask)[0]
    assert conditional.shape == (2 * geometry.channels, geometry.height, geometry.width)
    assert relative_error(conditional.numpy(), plain(x, t, frames)) < TOLERANCE
    assert relative_error(unconditional.numpy(), plain(x, t, None)) < TOLERANCE
    assert relative_error(masked.numpy(), plain(x, t, frames, mask.keep[0].tolist())) < TOLERANCE


SHAPES = [(32, 3, 2, 1, 204), (64, 2, 4, 2, 256), (40, 5, 5, 3, 204), (24, 1, 1, 1, 64), (48, 4, 12, 4, 30)]


@pytest.mark.parametrize("geometry", [WIDE, TALL], ids=lambda g: g.name)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_any_size_is_the_plain_network(geometry: Geometry, shape: tuple[int, int, int, int, int]) -> None:
    assert_is_the_plain_network(geometry, DenoiserConfig(*shape))


@pytest.mark.parametrize(
    ("geometry", "shape"),
    [(PAPER, SHAPES[0]), (PAPER, SHAPES[2]), (RELEASE, SHAPES[1])],
    ids=["paper", "paper", "release"],
)
def test_so_it_is_in_the_published_geometries(geometry: Geometry, shape: tuple[int, int, int, int, int]) -> None:
    assert_is_the_plain_network(geometry, DenoiserConfig(*shape))


@pytest.mark.parametrize("patch", [1, 4])
def test_another_patch_is_the_plain_network(patch: int) -> None:
    assert_is_the_plain_network(replace(WIDE, patch=patch), QUICK)


# Sizes


@pytest.mark.parametrize(("size", "millions"), [("tiny", 5), ("small", 33), ("base", 131)])
def test_the_papers_sizes_have_the_papers_parameters(size: str, millions: int) -> None:
    with torch.device("meta"):
        denoiser = Denoiser(PAPER, config(size, PAPER))
    assert inference_parameters(denoiser) / 1e6 == pytest.approx(millions, rel=0.04)


def test_base_has_the_releases_names_shapes_and_dtypes() -> None:
    with torch.device("meta"):
        state = Denoiser(RELEASE, config("base", RELEASE)).state_dict()
    mine = {name: (tuple(value.shape), str(value.dtype)) for name, value in state.items()}
    assert mine == read_keys(FIXTURES / "release_base.keys.txt")
    parameters = sum(value.numel() for value in state.values() if value.is_floating_point())
    assert parameters / 1e6 == pytest.approx(142.3, abs=0.05)


def test_what_only_trains_is_not_counted_for_inference() -> None:
    denoiser = Denoiser(WIDE, QUICK)
    everything = sum(p.numel() for p in denoiser.parameters())
    training_only = sum(p.numel() for p in denoiser.sideblocks.parameters()) + denoiser.mask_token.numel()
    assert inference_parameters(denoiser) == everything - training_only


def test_named_sizes_know_their_geometrys_timestep_embedding() -> None:
    assert config("base", RELEASE) == DenoiserConfig(768, 12, 12, 4, timestep_channels=204)
    assert config("tiny", PAPER) == SIZES["tiny"]
    with pytest.raises(KeyError):
        config("huge", PAPER)


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"heads": 3}, "width 16 does not divide into 3 heads"),
        ({"heads": 0}, "heads must be at least 1, not 0"),
        ({"width": 0}, "width must be at least 1"),
        ({"width": 18}, "width 18 must be a multiple of 4"),
        ({"decode_layers": 0}, "decode_layers must be at least 1, not 0"),
        ({"decode_layers": 4}, "decode layers must be 1 to depth 3, not 4"),
        ({"timestep_channels": 31}, "timestep channels must be even, not 31"),
    ],
)
def test_a_size_that_cannot_be_is_refused(changes: dict[str, int], complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        replace(QUICK, **changes)


# Parts and whole


def test_modulations_can_be_computed_ahead_of_the_loop() -> None:
    denoiser = seeded(WIDE, QUICK)
    latent, timestep, features = inputs(WIDE)
    modulations = denoiser.modulations(denoiser.condition(timestep, features))
    assert modulations.shape == (2, QUICK.modulations, QUICK.width) == (2, 6 * 3 + 2, 16)
    assert torch.equal(denoiser.denoise(denoiser.embed(latent), modulations), denoiser(latent, timestep, features))


def test_clips_of_a_batch_do_not_touch_each_other() -> None:
    denoiser, mask = seeded(WIDE, QUICK), some_mask(WIDE)
    latent, timestep, features = inputs(WIDE)
    both = denoiser(latent, timestep, features, mask)
    for clip in (slice(0, 1), slice(1, 2)):
        alone = denoiser(latent[clip], timestep[clip], features[clip], Mask(mask.keep[clip], mask.dropped[clip]))
        torch.testing.assert_close(both[clip], alone, rtol=1e-5, atol=5e-5)  # processors differ in how they round sums


@pytest.mark.parametrize("shape", [(4, 64, 16), (3, 16, 64), (4, 16, 62)])
def test_a_latent_of_another_shape_is_refused(shape: tuple[int, ...]) -> None:
    """The first has the axes swapped: as many tokens, another sound."""
    with pytest.raises(TensorError, match=r"expected a latent \[batch, 4, 16, 64\], got \[1, "):
        Denoiser(PAPER, QUICK)(torch.zeros(1, *shape), torch.zeros(1))


def test_every_output_value_stands_at_its_tokens_place() -> None:
    denoiser = Denoiser(WIDE, QUICK)
    tokens = torch.zeros(1, WIDE.tokens, 4 * 2 * WIDE.channels)
    tokens[0, 12 + 5, (2 * 1 + 0) * 6 + 4] = 1.0  # row 1, column 5; second row and first column of the patch; channel 4
    latent = denoiser.unpatchify(tokens)
    assert torch.nonzero(latent).tolist() == [[0, 4, 3, 10]]


# Masked training


@settings(max_examples=8)
@given(st.sampled_from([WIDE, TALL]), st.integers(1, 3), st.integers(0, 100))
def test_with_nothing_dropped_the_masked_pass_is_the_unmasked_one(
    geometry: Geometry, decode_layers: int, seed: int
) -> None:
    denoiser = seeded(geometry, replace(QUICK, decode_layers=decode_layers))
    latent, timestep, features = inputs(geometry, seed=seed)
    masked = denoiser(latent, timestep, features, some_mask(geometry, 0.0, seed=seed))
    assert torch.equal(masked, denoiser(latent, timestep, features))


def test_with_nothing_dropped_the_papers_masked_pass_is_the_unmasked_one() -> None:
    denoiser = seeded(PAPER, QUICK)
    latent, timestep, features = inputs(PAPER)
    assert torch.equal(
        denoiser(latent, timestep, features, some_mask(PAPER, 0.0)), denoiser(latent, timestep, features)
    )


@settings(max_examples=8)
@given(st.sampled_from([WIDE, TALL]), st.floats(0.1, 0.95), st.integers(0, 100))
def test_the_masked_pass_does_not_see_what_is_dropped(geometry: Geometry, ratio: float, seed: int) -> None:
    denoiser, mask = seeded(geometry, QUICK), some_mask(geometry, ratio, seed=seed)
    latent, timestep, features = inputs(geometry, seed=seed)
    hidden = mask.dropped.reshape(-1, 1, *geometry.grid)
    hidden = hidden.repeat_interleave(geometry.patch, dim=2).repeat_interleave(geometry.patch, dim=3)
    changed = torch.where(hidden, torch.randn_like(latent), latent)
    assert torch.equal(denoiser(changed, timestep, features, mask), denoiser(latent, timestep, features, mask))


def test_kept_tokens_pass_the_side_block_by() -> None:
    denoiser, mask = seeded(WIDE, QUICK), some_mask(WIDE)
    condition, x = torch.randn(2, QUICK.width), torch.randn(2, mask.keep.shape[1], QUICK.width)
    whole = denoiser.interpolate(x, condition, mask)
    positions = mask.select(denoiser.decoder_pos_embed.expand(2, -1, -1))
    assert torch.equal(mask.select(whole), x + positions)
    guessed = whole[mask.dropped]
    assert not torch.isclose(
        guessed, (denoiser.mask_token + denoiser.decoder_pos_embed).expand(2, -1, -1)[mask.dropped]
    ).all()


# Training


def trained(denoiser: Denoiser, mask: Mask | None) -> set[str]:
    """Names of the parameters that one backward pass gives a gradient."""
    denoiser.train().zero_grad()
    (denoiser(*inputs(denoiser.geometry), mask=mask) - 1.0).square().mean().backward()  # type: ignore[no-untyped-call]
    return {name for name, p in denoiser.named_parameters() if p.grad is not None and bool(p.grad.any())}


@pytest.mark.parametrize("geometry", [WIDE, TALL], ids=lambda g: g.name)
def test_gradients_reach_all_that_should_train(geometry: Geometry) -> None:
    denoiser = seeded(geometry, QUICK)
    every = {name for name, _ in denoiser.named_parameters()}
    only_masked = {name for name in every if name.startswith("sideblocks.") or name == "mask_token"}
    assert trained(denoiser, None) == every - only_masked
    assert trained(denoiser, some_mask(geometry)) == every


def test_at_the_start_every_block_is_the_identity_and_the_output_zero() -> None:
    denoiser = Denoiser(WIDE, QUICK)
    latent, timestep, features = inputs(WIDE)
    assert not denoiser(latent, timestep, features).any()
    x, condition = torch.randn(2, WIDE.tokens, 16), torch.randn(2, 16)
    for block in (*denoiser.blocks, *denoiser.sideblocks):
        assert torch.equal(block(x, block.modulation(condition)), x)
    assert trained(denoiser, None) == {"final_layer.linear.weight", "final_layer.linear.bias"}


def test_starts_with_dits_weights() -> None:
    torch.manual_seed(0)
    denoiser = Denoiser(PAPER, DenoiserConfig(64, 2, 2, 1))
    positions = sincos_position_embedding(8, 32, 64)
    assert torch.equal(denoiser.pos_embed, positions)
    assert torch.equal(denoiser.decoder_pos_embed, positions)
    expected = {  # Xavier: the square root of 2 over the lengths in and out
        "x_embedder.proj.weight": (2 / (16 + 64)) ** 0.5,
        "blocks.0.attn.qkv.weight": (2 / (64 + 192)) ** 0.5,
        "blocks.1.mlp.fc2.weight": (2 / (256 + 64)) ** 0.5,
        "sideblocks.0.attn.proj.weight": (2 / (64 + 64)) ** 0.5,
        "t_embedder.mlp.0.weight": 0.02,
        "t_embedder.mlp.2.weight": 0.02,
        "mlp_feat.0.weight": 0.02,
        "blocks.0.attn.rel_pos_bias.relative_position_bias_table": 0.02,
    }
    state = denoiser.state_dict()
    assert {name: state[name].std().item() for name in expected} == pytest.approx(expected, rel=0.1)
    # One learned number per frame is too few for a tight figure; a linear layer's bias in DiT starts at zero.
    assert 0.005 < state["conv1d_feat.0.weight"].std() < 0.04
    assert 0.01 < state["mask_token"].std() < 0.03
    biases = [name for name in state if name.endswith(".bias") and "conv1d_feat.0" not in name]
    assert len(biases) > 20
    assert not any(state[name].any() for name in biases)


# The condition


def test_dropping_every_condition_is_having_none() -> None:
    denoiser = seeded(WIDE, QUICK)
    latent, timestep, features = inputs(WIDE)
    dropped = denoiser(latent, timestep, features, drop_condition=torch.tensor([True, True]))
    assert torch.equal(dropped, denoiser(latent, timestep))


def test_a_condition_is_dropped_clip_by_clip_whatever_the_dropped_features_are() -> None:
    denoiser = seeded(WIDE, QUICK)
    latent, timestep, features = inputs(WIDE)
    drop = torch.tensor([True, False])
    mixed = denoiser(latent, timestep, features, drop_condition=drop)
    torch.testing.assert_close(mixed[:1], denoiser(latent[:1], timestep[:1]))
    torch.testing.assert_close(mixed[1:], denoiser(latent[1:], timestep[1:], features[1:]))
    features[0] = float("nan")
    assert torch.equal(denoiser(latent, timestep, features, drop_condition=drop), mixed)


@pytest.mark.parametrize("changed", [0, 1, 2], ids=["latent", "timestep", "features"])
def test_every_input_matters(changed: int) -> None:
    denoiser, given_inputs = seeded(WIDE, QUICK), list(inputs(WIDE))
    before = denoiser(*given_inputs)
    given_inputs[changed] = inputs(WIDE, seed=1)[changed]
    assert (denoiser(*given_inputs) - before).abs().max() > 1e-2


# Nothing random, nothing narrower than asked


@pytest.mark.parametrize("mode", [lambda d: d.train(), lambda d: d.eval()], ids=["train", "eval"])
@pytest.mark.parametrize("masked", [False, True], ids=["whole", "masked"])
def test_there_is_no_randomness_in_training_or_out_of_it(mode: Callable[[Any], Denoiser], masked: bool) -> None:
    denoiser, mask = seeded(WIDE, QUICK), some_mask(WIDE) if masked else None
    expected = denoiser(*inputs(WIDE), mask=mask)
    torch.manual_seed(1)
    before = torch.get_rng_state()
    assert torch.equal(mode(denoiser)(*inputs(WIDE), mask=mask), expected)
    assert torch.equal(torch.get_rng_state(), before)


def test_float64_weights_compute_in_float64() -> None:
    single, double = seeded(WIDE, QUICK), seeded(WIDE, QUICK).double()
    latent, timestep, features = inputs(WIDE)
    exact = double(latent.double(), timestep, features.double())
    assert exact.dtype == torch.float64
    assert relative_error(single(latent, timestep, features).detach().numpy(), exact.detach().numpy()) < 5e-6
    assert np.abs(exact.detach().numpy() - exact.detach().float().numpy()).max() > 0  # more digits than float32 has


# Told of every frame


def test_a_denoiser_told_of_columns_hears_a_frame_change_at_its_own_time_first() -> None:
    geometry = replace(PAPER, height=4, mel=replace(PAPER.mel, bins=32))
    denoiser = seeded(geometry, replace(QUICK, video="columns"))
    latent, timestep, features = inputs(geometry)
    changed = features.clone()
    changed[:, 5] += 1.0
    before, after = (
        denoiser._see(denoiser.embed(latent), denoiser.modulations(denoiser.condition(timestep, features), seen))
        for seen in (features, changed)
    )
    moved = (after - before).abs().amax(dim=(0, 2)).reshape(geometry.grid)  # [rows, columns]
    assert (moved[:, 5] > 1e-3).all()
    assert moved.sum() == moved[:, 5].sum()


def test_without_video_nothing_is_added_to_the_columns() -> None:
    denoiser = seeded(PAPER, replace(QUICK, video="columns"))
    latent, timestep, features = inputs(PAPER)
    dropped = torch.tensor([True, False])
    output = denoiser(latent, timestep, features, drop_condition=dropped)
    torch.testing.assert_close(output[:1], denoiser(latent[:1], timestep[:1], None))
    torch.testing.assert_close(output[1:], denoiser(latent[1:], timestep[1:], features[1:]))


def test_masking_nothing_but_the_columns_of_the_kept_tokens_arrive() -> None:
    denoiser = seeded(PAPER, replace(QUICK, video="columns"))
    latent, timestep, features = inputs(PAPER)
    mask = some_mask(PAPER)
    changed = features.clone()
    changed[:, 3] += 1.0
    outputs = [denoiser(latent, timestep, seen, mask=mask) for seen in (features, changed)]
    assert not torch.equal(*outputs)


def test_a_video_that_is_neither_clip_nor_columns_is_refused() -> None:
    with pytest.raises(ValueError, match="'clip' or 'columns'"):
        replace(QUICK, video="frames")


# Known columns


def test_known_columns_are_marked_with_video_and_without() -> None:
    denoiser = seeded(PAPER, replace(QUICK, video="columns"))
    _, timestep, features = inputs(PAPER)
    condition, known = denoiser.condition(timestep, features), torch.tensor([0, 5])
    drop = torch.tensor([False, True])
    first = QUICK.modulations
    for seen, dropped in ((features, None), (features, drop), (None, None)):
        plain = denoiser.modulations(condition, seen, dropped)
        marked = denoiser.modulations(condition, seen, dropped, known)
        difference = marked - plain  # [B, V, D]
        expected = torch.zeros_like(difference)
        expected[1, first : first + 5] = torch.from_numpy(np.array(known_mark(QUICK.width)))
        torch.testing.assert_close(difference, expected, atol=1e-5, rtol=0)


def test_the_mark_is_no_weight() -> None:
    denoiser = Denoiser(PAPER, replace(QUICK, video="columns"))
    assert not [name for name in denoiser.state_dict() if "mark" in name]


def test_a_denoiser_of_the_whole_clip_cannot_be_told_of_columns() -> None:
    denoiser = seeded(PAPER, QUICK)
    latent, timestep, features = inputs(PAPER)
    with pytest.raises(ValueError, match="which columns are known"):
        denoiser(latent, timestep, features, known=torch.tensor([1, 2]))
