#pragma once

#include "registry.h"

// The kernels, plainly. Their arguments as CUDA packs them: each at a multiple of its size.
static void guided_step(const Work* work) {
    struct { float *latent, *with, *without, *clean, *held, *table; int step, older; long long count; } a;
    memcpy(&a, work->arguments, sizeof a);
    const size_t bytes = a.count * sizeof(float);
    const int fine = inside((Address)a.latent, bytes, MEMORY) & inside((Address)a.with, bytes, MEMORY) &
                     (!a.without || inside((Address)a.without, bytes, MEMORY)) &
                     inside((Address)a.clean, bytes * (1 + a.older), MEMORY) &
                     (!a.held || inside((Address)a.held, bytes * 3, MEMORY)) &
                     inside((Address)(a.table + 12 * a.step), 12 * sizeof(float), MEMORY);
    if (work->bytes != sizeof a || (long long)work->grid[0] * work->threads * 8 < a.count) complain("guided_step: launch");
    if (!fine || dry) return;
    const float* c = a.table + 12 * a.step;
    for (long long i = 0; i < a.count; ++i) {
        const float without = a.without ? a.without[i] : a.with[i], now = a.latent[i];
        const float noise = (a.with[i] - without) * c[0] + without;
        float next = now * c[1] + noise * c[2], clean = now * c[6] + noise * c[7];
        for (int k = 0; k < 3; ++k) if (c[3 + k] != 0.0f) next += a.clean[k * a.count + i] * c[3 + k];
        for (int k = a.older; k > 0; --k) a.clean[k * a.count + i] = a.clean[(k - 1) * a.count + i];
        const float within = clean < -c[8] ? -c[8] : clean > c[8] ? c[8] : clean, excess = clean - within;
        if (excess != 0.0f) clean -= excess, next -= excess * c[9];
        if (a.held && a.held[i] != 0.0f) {
            clean = a.held[a.count + i];
            next = clean * c[10] + a.held[2 * a.count + i] * c[11];
        }
        a.clean[i] = clean, a.latent[i] = next;
    }
}

static void add_marks(const Work* work) {
    struct { float *modulations, *marks; int rows, columns, width; } a;
    const size_t packed = 2 * sizeof(float*) + 3 * sizeof(int);
    memcpy(&a, work->arguments, packed);
    const size_t matrices = work->grid[1], matrix = (size_t)a.rows * a.width, own = (size_t)a.columns * a.width;
    if (work->bytes != packed || a.columns > a.rows || (size_t)work->grid[0] * work->threads < own)
        complain("add_marks: launch");
    if (!(inside((Address)a.modulations, matrices * matrix * sizeof(float), MEMORY) &
          inside((Address)a.marks, own * sizeof(float), MEMORY)))
        return;
    for (size_t m = 0; m < matrices && !dry; ++m)
        for (size_t i = 0; i < own; ++i) a.modulations[(m + 1) * matrix - own + i] += a.marks[i];
}

static int highest(int in, int out) { return 2 * (in > out ? in : out); }
static int tap(int o, int i, int in, int out) {
    const int weight = highest(in, out) - abs((2 * o + 1) * in - (2 * i + 1) * out);
    return weight > 0 ? weight : 0;
}
static int first_tap(int o, int in, int out) {
    const int before = (2 * o + 1) * in - highest(in, out) - out;
    return before < 0 ? 0 : before / (2 * out) + 1;
}
static int end_tap(int o, int in, int out) {
    const int end = ((2 * o + 1) * in + highest(in, out) + out - 1) / (2 * out);
    return end < in ? end : in;
}

static void prepare_rgb(const Work* work) {
    struct { float* out; unsigned char* pixels; int width, height, size, staged; } a;
    memcpy(&a, work->arguments, sizeof a);
    const size_t frames = work->grid[2], picture = (size_t)3 * a.width * a.height, area = (size_t)a.size * a.size;
    if (work->bytes != sizeof a || work->grid[1] * 4 < (unsigned)a.size || work->grid[0] * work->threads < (unsigned)a.size)
        complain("prepare_rgb: launch");
    if (!(inside((Address)a.out, frames * 3 * area * sizeof(float), MEMORY) & inside((Address)a.pixels, frames * picture, MEMORY)))
        return;
    for (size_t f = 0; f < frames && !dry; ++f)
        for (int y = 0; y < a.size; ++y)
            for (int x = 0; x < a.size; ++x) {
                double sums[3] = {0}, total = 0;
                for (int j = first_tap(y, a.height, a.size); j < end_tap(y, a.height, a.size); ++j)
                    for (int i = first_tap(x, a.width, a.size); i < end_tap(x, a.width, a.size); ++i) {
                        const double w = (double)tap(y, j, a.height, a.size) * tap(x, i, a.width, a.size);
                        const unsigned char* p = a.pixels + f * picture + ((size_t)j * a.width + i) * 3;
                        total += w, sums[0] += w * p[0], sums[1] += w * p[1], sums[2] += w * p[2];
                    }
                for (int c = 0; c < 3; ++c) a.out[(3 * f + c) * area + (size_t)y * a.size + x] = (float)(sums[c] / total / 255);
            }
}
