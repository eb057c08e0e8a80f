// Attention over a grid of tokens: which bias belongs to a pair of them, and softmax in one pass over tiles of keys.
// The reference is kernels/attention.py.
#pragma once

#include "host_device.h"

// The table row of a pair is (row offset + rows - 1) * (2 * columns - 1) + (column offset + columns - 1). That is linear
// in the two tokens' places, so it is the difference of two codes and a constant: the code of the last token.
HOST_DEVICE int position_code(int token, int columns) { return token + token / columns * (columns - 1); }

HOST_DEVICE int bias_row(int query, int key, int tokens, int columns) {
    return position_code(query, columns) - position_code(key, columns) + position_code(tokens - 1, columns);
}

// Exponentials are powers of two, which the device has an instruction for; scores are multiplied by this beforehand.
constexpr float LOG2_E = 1.44269504088896341f;

HOST_DEVICE float power_of_two(float exponent) {
#ifdef __CUDA_ARCH__
    float power;
    asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(power) : "f"(exponent));
    return power;
#else
    return exp2f(exponent);
#endif
}

// In units of log2, ready for `power_of_two`. `scale` and `bias` have been multiplied by LOG2_E.
HOST_DEVICE float biased_score(float product, float scale, float bias) { return product * scale + bias; }

// Softmax over keys that come tile by tile (Milakov and Gimelshein, 2018; Dao et al., 2022): weights are relative to the
// highest score so far, and whatever was summed before a higher one came is scaled down by `correction`.
struct OnlineSoftmax {
    float highest;
    float total;  // of the weights; in the kernel each of four lanes has a part of it

    HOST_DEVICE void start() {
        highest = -infinity();
        total = 0.0f;
    }

    // `tile_highest` must be finite: every tile has at least one key.
    HOST_DEVICE float raise(float tile_highest) {
        const float before = highest;
        highest = greater(before, tile_highest);
        const float correction = power_of_two(before - highest);
        total *= correction;
        return correction;
    }

    HOST_DEVICE float weigh(float score) {
        const float weight = power_of_two(score - highest);
        total += weight;
        return weight;
    }
};
