"""Patches, timesteps and positions, each against its formula."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mdsgen.model.embedding import PatchEmbedding, TimestepEmbedding, sincos_position_embedding, sinusoids


@pytest.mark.parametrize("patch", [1, 2, 3])
def test_every_token_is_a_projection_of_its_own_patch(patch: int) -> None:
    torch.manual_seed(0)
    embedding = PatchEmbedding(channels=5, patch=patch, width=7)
    latent = torch.randn(2, 5, 3 * patch, 4 * patch)
    tokens = embedding(latent)
    assert tokens.shape == (2, 12, 7)
    for row in range(3):
        for column in range(4):
            cut = latent[:, :, row * patch : (row + 1) * patch, column * patch : (column + 1) * patch]
            expected = cut.flatten(1) @ embedding.proj.weight.flatten(1).T + embedding.proj.bias
            torch.testing.assert_close(tokens[:, 4 * row + column], expected)


@settings(max_examples=40)
@given(st.lists(st.floats(0, 999), min_size=1, max_size=4), st.integers(1, 160))
def test_sinusoids_are_cosines_then_sines(timesteps: list[float], half: int) -> None:
    waves = sinusoids(torch.tensor(timesteps), 2 * half)
    angles = np.array(timesteps, np.float32)[:, None].astype(np.float64) * 10_000.0 ** (-np.arange(half) / half)
    expected = np.concatenate([np.cos(angles), np.sin(angles)], axis=1)
    np.testing.assert_allclose(waves.numpy(), expected, atol=3e-4)  # float32 angles up to 999


def test_whole_timesteps_may_come_as_integers() -> None:
    torch.testing.assert_close(sinusoids(torch.tensor([0, 7, 999]), 64), sinusoids(torch.tensor([0.0, 7.0, 999.0]), 64))


def test_neighbouring_fractions_of_a_timestep_differ() -> None:
    near, next_to_it = sinusoids(torch.tensor([499.5, 499.6]), 204)
    assert (near - next_to_it).abs().max() > 0.05


def test_the_timestep_embedding_is_an_mlp_of_the_sinusoids() -> None:
    embedding = TimestepEmbedding(channels=12, width=8)
    timestep = torch.tensor([0.5, 700.0])
    first, _, second = embedding.mlp
    hidden = sinusoids(timestep, 12) @ first.weight.T + first.bias
    expected = (hidden * torch.sigmoid(hidden)) @ second.weight.T + second.bias
    torch.testing.assert_close(embedding(timestep), expected)


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_the_timestep_embedding_answers_in_its_weights_dtype(dtype: torch.dtype) -> None:
    assert TimestepEmbedding(12, 8).to(dtype)(torch.tensor([3.0])).dtype == dtype


@settings(max_examples=25)
@given(st.integers(1, 9), st.integers(1, 9), st.integers(1, 12))
def test_positions_are_waves_of_the_column_then_of_the_row(rows: int, columns: int, quarter: int) -> None:
    embedding = sincos_position_embedding(rows, columns, 4 * quarter)
    assert (embedding.shape, embedding.dtype) == ((1, rows * columns, 4 * quarter), torch.float32)
    for token in range(rows * columns):
        row, column = divmod(token, columns)
        expected = [
            wave(place / 10_000 ** (k / quarter))
            for place in (column, row)
            for wave in (math.sin, math.cos)
            for k in range(quarter)
        ]
        np.testing.assert_allclose(embedding[0, token].numpy(), expected, atol=1e-6)


def test_every_position_is_another() -> None:
    embedding = sincos_position_embedding(102, 8, 48)[0]
    distance = torch.cdist(embedding, embedding) + torch.eye(816) * 100
    assert distance.min() > 0.05
