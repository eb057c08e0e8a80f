// Video frames, packed RGB of any size, to planar RGB in 0..1 of the network's size.
//
// Both passes of the separable filter in one kernel. A block makes ROWS output rows of one frame, a thread one of their
// columns. It walks down the input rows that the output rows need; each is copied to shared memory in whole, filtered
// along the row there (integers, exact), and added to the ROWS sums in registers with its weight down the column. So the
// input comes from memory once (ROWS + 1 times 1 / ROWS from the cache), and nothing between the passes goes back.

#include "frames_math.h"

extern __shared__ uint4 shared_memory[];

namespace {

constexpr int ROWS = 4, CHANNELS = 3;

// One frame, its rows without gaps.
struct Frame {
    const unsigned char* pixels;
    int width;
    int height;
};

// All threads copy `bytes` bytes together, 16 at a time where the source allows it.
__device__ __forceinline__ void stage(unsigned char* target, const unsigned char* source, int bytes) {
    int copied = 0;
    if (reinterpret_cast<size_t>(source) % 16 == 0) {
        copied = bytes / 16 * 16;
        for (int i = threadIdx.x; i < bytes / 16; i += blockDim.x) {
            reinterpret_cast<uint4*>(target)[i] = reinterpret_cast<const uint4*>(source)[i];
        }
    }
    for (int i = copied + threadIdx.x; i < bytes; i += blockDim.x) target[i] = source[i];
}

// The means under the triangles of output pixels (column, top .. top + ROWS), in 0..255.
__device__ __forceinline__ void resample(
    float (&means)[ROWS][CHANNELS], const Frame& frame, int column, int top, int size, int staged_rows) {
    unsigned char* const rows = reinterpret_cast<unsigned char*>(shared_memory);
    const int bytes = frame.width * CHANNELS, stride = (bytes + 15) / 16 * 16;
    const Taps across = taps_of(column, frame.width, size);
    const int first = taps_of(top, frame.height, size).first;
    const int end = taps_of(lesser(top + ROWS, size) - 1, frame.height, size).end;
    const float sums_across = static_cast<float>(sum_of_weights(column, frame.width, size));
    float sums_down[ROWS] = {};  // of whole numbers, exact
#pragma unroll
    for (int k = 0; k < ROWS; ++k) {
#pragma unroll
        for (int c = 0; c < CHANNELS; ++c) means[k][c] = 0.0f;
    }
    for (int start = first; start < end; start += staged_rows) {
        const int staged = lesser(staged_rows, end - start);
        __syncthreads();  // everyone is done with the rows before
        for (int i = 0; i < staged; ++i) {
            stage(rows + i * stride, frame.pixels + static_cast<size_t>(start + i) * bytes, bytes);
        }
        __syncthreads();
        for (int i = 0; i < staged; ++i) {
            const unsigned char* const row = rows + i * stride;
            int sums[CHANNELS] = {};
            for (int x = across.first; x < across.end; ++x) {
                const int weight = tap_weight(column, x, frame.width, size);
#pragma unroll
                for (int c = 0; c < CHANNELS; ++c) sums[c] += weight * row[x * CHANNELS + c];
            }
#pragma unroll
            for (int k = 0; k < ROWS; ++k) {
                const float weight = static_cast<float>(tap_weight(top + k, start + i, frame.height, size));
                sums_down[k] += weight;
#pragma unroll
                for (int c = 0; c < CHANNELS; ++c) means[k][c] += weight * static_cast<float>(sums[c]);
            }
        }
    }
#pragma unroll
    for (int k = 0; k < ROWS; ++k) {
#pragma unroll
        for (int c = 0; c < CHANNELS; ++c) means[k][c] /= sums_across * sums_down[k];
    }
}

}  // namespace

// pixels [frames, height, width, 3] -> out [frames, 3, size, size]
extern "C" __global__ void prepare_rgb(
    float* out, const unsigned char* pixels, int width, int height, int size, int staged_rows) {
    const int column = blockIdx.x * blockDim.x + threadIdx.x, top = blockIdx.y * ROWS;
    const Frame frame = {pixels + static_cast<size_t>(blockIdx.z) * width * height * CHANNELS, width, height};
    float means[ROWS][CHANNELS];
    resample(means, frame, lesser(column, size - 1), top, size, staged_rows);
    if (column >= size) return;
    const size_t area = static_cast<size_t>(size) * size;
    float* const pixel = out + CHANNELS * area * blockIdx.z + static_cast<size_t>(top) * size + column;
    const float scale = 1.0f / 255.0f;
#pragma unroll
    for (int k = 0; k < ROWS; ++k) {
        if (top + k >= size) return;
#pragma unroll
        for (int c = 0; c < CHANNELS; ++c) pixel[c * area + static_cast<size_t>(k) * size] = means[k][c] * scale;
    }
}
