"""Attention with a relative position bias, token pair by token pair."""

from __future__ import annotations

import math
from random import Random

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mdsgen.model.attention import Attention, RelativePositionBias, relative_position_index

sides = st.integers(1, 7)


@settings(max_examples=30)
@given(sides, sides)
def test_pairs_share_an_entry_exactly_when_they_share_an_offset(rows: int, columns: int) -> None:
    index = relative_position_index((rows, columns))
    entries: dict[tuple[int, int], int] = {}
    for one in range(rows * columns):
        for other in range(rows * columns):
            offset = one // columns - other // columns, one % columns - other % columns
            assert entries.setdefault(offset, int(index[one, other])) == index[one, other]
    assert sorted(entries.values()) == list(range((2 * rows - 1) * (2 * columns - 1)))


def test_entries_are_ordered_by_row_offset_then_column_offset() -> None:
    index = relative_position_index((2, 3))
    assert index[0].tolist() == [7, 6, 5, 2, 1, 0]  # from the first token, all offsets are 0 or negative
    assert index[5].tolist() == [14, 13, 12, 9, 8, 7]


def test_the_index_of_a_transposed_grid_is_another() -> None:
    assert not torch.equal(relative_position_index((2, 8)), relative_position_index((8, 2)))


def test_the_table_has_a_row_for_every_offset_and_beits_three() -> None:
    bias = RelativePositionBias((102, 8), heads=3)
    assert bias.relative_position_bias_table.shape == ((2 * 102 - 1) * (2 * 8 - 1) + 3, 3)
    assert set(bias.state_dict()) == {"relative_position_bias_table", "relative_position_index"}
    assert bias.relative_position_bias_table.std().item() == pytest.approx(0.02, rel=0.05)


@settings(max_examples=30)
@given(sides, sides, st.integers(1, 4), st.randoms(use_true_random=False))
def test_the_bias_of_kept_tokens_is_the_full_ones_rows_and_columns(
    rows: int, columns: int, heads: int, random: Random
) -> None:
    bias = RelativePositionBias((rows, columns), heads)
    tokens = rows * columns
    kept = random.randint(1, tokens)
    keep = torch.tensor([sorted(random.sample(range(tokens), kept)) for _ in range(3)])
    full, of_kept = bias(), bias(keep)
    assert (full.shape, of_kept.shape) == ((1, heads, tokens, tokens), (3, heads, kept, kept))
    for clip, places in enumerate(keep):
        assert torch.equal(of_kept[clip], full[0][:, places][:, :, places])


@pytest.mark.parametrize("heads", [1, 2, 3])
def test_attention_is_a_softmax_of_products_and_bias(heads: int) -> None:
    torch.manual_seed(1)
    attention, width = Attention((3, 4), width=12, heads=heads).double(), 12
    attention.rel_pos_bias.relative_position_bias_table.data.normal_()
    x = torch.randn(2, 12, width, dtype=torch.float64)
    query, key, value = attention.qkv(x).chunk(3, dim=2)
    bias, deep = attention.rel_pos_bias()[0], width // heads
    parts = []
    for head in range(heads):
        mine = slice(head * deep, (head + 1) * deep)
        logits = query[..., mine] @ key[..., mine].transpose(1, 2) / math.sqrt(deep) + bias[head]
        parts.append(logits.softmax(dim=-1) @ value[..., mine])
    torch.testing.assert_close(attention(x), attention.proj(torch.cat(parts, dim=2)))


def test_with_all_tokens_kept_nothing_changes() -> None:
    attention = Attention((3, 4), width=12, heads=3)
    x = torch.randn(2, 12, 12)
    everywhere = torch.arange(12).expand(2, -1)
    assert torch.equal(attention(x, everywhere), attention(x))


def test_tokens_carry_their_places_with_them_in_any_order() -> None:
    attention = Attention((3, 4), width=12, heads=3)
    x, shuffled = torch.randn(1, 12, 12), torch.randperm(12)
    torch.testing.assert_close(attention(x[:, shuffled], shuffled[None]), attention(x)[:, shuffled])


def test_clips_of_a_batch_do_not_touch_each_other() -> None:
    attention = Attention((3, 4), width=12, heads=3)
    x = torch.randn(3, 12, 12)
    alone = torch.cat([attention(clip[None]) for clip in x])
    torch.testing.assert_close(attention(x), alone)
