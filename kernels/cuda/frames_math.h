// Antialiased bilinear resizing. The reference is tests/kernels/resizing.py.
//
// The filter is a triangle whose half width is one output pixel when shrinking, one input pixel when enlarging (Pillow's
// and FFmpeg's bilinear). All distances are fractions with one denominator, so the weights are whole numbers, exact, and
// a sum of weighted bytes is exact as well.
#pragma once

#include "host_device.h"

// The input pixels that one output pixel is made of: first <= i < end.
struct Taps {
    int first;
    int end;
};

// Of a pixel right under the output pixel's centre; the weight falls to 0 at the triangle's foot.
HOST_DEVICE int highest_weight(int in_size, int out_size) { return 2 * greater(in_size, out_size); }

// In units of 1 / sum of weights; 0 where the input pixel is outside the triangle.
HOST_DEVICE int tap_weight(int out, int in, int in_size, int out_size) {
    const int distance = (2 * out + 1) * in_size - (2 * in + 1) * out_size;  // of the centres, in half fractions
    return greater(0, highest_weight(in_size, out_size) - (distance < 0 ? -distance : distance));
}

HOST_DEVICE Taps taps_of(int out, int in_size, int out_size) {
    const int centre = (2 * out + 1) * in_size, reach = highest_weight(in_size, out_size);
    const int before = centre - reach - out_size;  // the first tap is the first i with 2 * out_size * i > before
    Taps taps;
    taps.first = before < 0 ? 0 : before / (2 * out_size) + 1;
    taps.end = lesser(in_size, (centre + reach + out_size - 1) / (2 * out_size));
    return taps;
}

HOST_DEVICE int sum_of_weights(int out, int in_size, int out_size) {
    const Taps taps = taps_of(out, in_size, out_size);
    int sum = 0;
    for (int i = taps.first; i < taps.end; ++i) sum += tap_weight(out, i, in_size, out_size);
    return sum;
}
