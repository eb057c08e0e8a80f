#include "grid.h"
#include "frames.cu"

RUN_ON_HOST(prepare_rgb)

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
