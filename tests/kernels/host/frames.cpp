#include "grid.h"
#include "frames.cu"

RUN_ON_HOST(prepare_rgb_f32)
RUN_ON_HOST(prepare_rgb_f16)
RUN_ON_HOST(prepare_nv12_f32)
RUN_ON_HOST(prepare_nv12_f16)

// weights [out_size, in_size]: what the kernel gives each input pixel, looking only where it looks.
extern "C" void triangle_filter(double* weights, int in_size, int out_size) {
    for (int out = 0; out < out_size; ++out) {
        const Taps taps = taps_of(out, in_size, out_size);
        const double sum = sum_of_weights(out, in_size, out_size);
        for (int in = 0; in < in_size; ++in) weights[out * in_size + in] = 0;
        for (int in = taps.first; in < taps.end; ++in) {
            weights[out * in_size + in] = tap_weight(out, in, in_size, out_size) / sum;
        }
    }
}

// yuv [count, 3] in 0..255 -> rgb [count, 3]
extern "C" void colours(float* rgb, const float* yuv, int count, int standard, int full_range) {
    for (int i = 0; i < count; ++i, yuv += 3, rgb += 3) {
        const Rgb made = rgb_of(yuv[0], yuv[1], yuv[2], standard, full_range != 0);
        rgb[0] = made.red, rgb[1] = made.green, rgb[2] = made.blue;
    }
}
