// Video frames, packed RGB or NV12 of any size, to planar RGB in 0..1 of the network's size.
//
// Both passes of the separable filter in one kernel. A block makes ROWS output rows of one frame, a thread one of their
// columns. It walks down the input rows that the output rows need; each is copied to shared memory in whole, filtered
// along the row there (integers, exact), and added to the ROWS sums in registers with its weight down the column. So the
// input comes from memory once (ROWS + 1 times 1 / ROWS from the cache), and nothing between the passes goes back.
// NV12 is filtered as it is, chroma at its own size, and turned into RGB once per output pixel.

#include "frames_math.h"

extern __shared__ uint4 shared_memory[];

namespace {

constexpr int ROWS = 4;

// One plane of one frame: interleaved channels, `pitch` bytes from row to row.
struct Plane {
    const unsigned char* pixels;
    int width;
    int height;
    long long pitch;
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

// The CHANNELS means under the triangles of output pixels (column, top .. top + ROWS), in 0..255.
template <int CHANNELS>
__device__ __forceinline__ void resample(
    float (&means)[ROWS][CHANNELS], const Plane& plane, int column, int top, int size, int staged_rows) {
    unsigned char* const rows = reinterpret_cast<unsigned char*>(shared_memory);
    const int bytes = plane.width * CHANNELS, stride = (bytes + 15) / 16 * 16;
    const Taps across = taps_of(column, plane.width, size);
    const int first = taps_of(top, plane.height, size).first;
    const int end = taps_of(lesser(top + ROWS, size) - 1, plane.height, size).end;
    const float sums_across = static_cast<float>(sum_of_weights(column, plane.width, size));
    float sums_down[ROWS] = {};  // of whole numbers, exact
#pragma unroll
    for (int k = 0; k < ROWS; ++k) {
#pragma unroll
        for (int c = 0; c < CHANNELS; ++c) means[k][c] = 0.0f;
    }
    for (int start = first; start < end; start += staged_rows) {
        const int staged = lesser(staged_rows, end - start);
        __syncthreads();  // everyone is done with the rows before
        for (int i = 0; i < staged; ++i) stage(rows + i * stride, plane.pixels + (start + i) * plane.pitch, bytes);
        __syncthreads();
        for (int i = 0; i < staged; ++i) {
            const unsigned char* const row = rows + i * stride;
            int sums[CHANNELS] = {};
            for (int x = across.first; x < across.end; ++x) {
                const int weight = tap_weight(column, x, plane.width, size);
#pragma unroll
                for (int c = 0; c < CHANNELS; ++c) sums[c] += weight * row[x * CHANNELS + c];
            }
#pragma unroll
            for (int k = 0; k < ROWS; ++k) {
                const float weight = static_cast<float>(tap_weight(top + k, start + i, plane.height, size));
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

__device__ __forceinline__ void store(float* target, float number) { *target = number; }
__device__ __forceinline__ void store(Half* target, float number) { *target = half_of(number); }

// out [frames, 3, size, size]
template <typename Out>
__device__ __forceinline__ void put(Out* out, int column, int row, int size, const Rgb& rgb) {
    const size_t area = static_cast<size_t>(size) * size;
    Out* const pixel = out + 3 * area * blockIdx.z + static_cast<size_t>(row) * size + column;
    store(pixel, rgb.red);
    store(pixel + area, rgb.green);
    store(pixel + 2 * area, rgb.blue);
}

__device__ __forceinline__ int column_of_thread() { return blockIdx.x * blockDim.x + threadIdx.x; }

template <typename Out>
__device__ __forceinline__ void prepare_rgb(Out* out, const unsigned char* pixels, int width, int height,
    long long pitch, long long frame_stride, int size, int staged_rows) {
    const int column = column_of_thread(), top = blockIdx.y * ROWS;
    const Plane plane = {pixels + blockIdx.z * frame_stride, width, height, pitch};
    float means[ROWS][3];
    resample(means, plane, lesser(column, size - 1), top, size, staged_rows);
    if (column >= size) return;
    const float scale = 1.0f / 255.0f;
#pragma unroll
    for (int k = 0; k < ROWS; ++k) {
        const Rgb rgb = {means[k][0] * scale, means[k][1] * scale, means[k][2] * scale};
        if (top + k < size) put(out, column, top + k, size, rgb);
    }
}

template <typename Out>
__device__ __forceinline__ void prepare_nv12(Out* out, const unsigned char* luma, const unsigned char* chroma, int width,
    int height, long long luma_pitch, long long chroma_pitch, long long luma_stride, long long chroma_stride,
    int standard, int full_range, int size, int staged_rows) {
    const int column = column_of_thread(), top = blockIdx.y * ROWS;
    const Plane brightness = {luma + blockIdx.z * luma_stride, width, height, luma_pitch};
    const Plane colour = {chroma + blockIdx.z * chroma_stride, (width + 1) / 2, (height + 1) / 2, chroma_pitch};
    float y[ROWS][1], uv[ROWS][2];
    resample(y, brightness, lesser(column, size - 1), top, size, staged_rows);
    resample(uv, colour, lesser(column, size - 1), top, size, staged_rows);
    if (column >= size) return;
#pragma unroll
    for (int k = 0; k < ROWS; ++k) {
        if (top + k < size) {
            put(out, column, top + k, size, rgb_of(y[k][0], uv[k][0], uv[k][1], standard, full_range != 0));
        }
    }
}

}  // namespace

extern "C" __global__ void prepare_rgb_f32(float* out, const unsigned char* pixels, int width, int height,
    long long pitch, long long frame_stride, int size, int staged_rows) {
    prepare_rgb(out, pixels, width, height, pitch, frame_stride, size, staged_rows);
}

extern "C" __global__ void prepare_rgb_f16(Half* out, const unsigned char* pixels, int width, int height,
    long long pitch, long long frame_stride, int size, int staged_rows) {
    prepare_rgb(out, pixels, width, height, pitch, frame_stride, size, staged_rows);
}

extern "C" __global__ void prepare_nv12_f32(float* out, const unsigned char* luma, const unsigned char* chroma,
    int width, int height, long long luma_pitch, long long chroma_pitch, long long luma_stride, long long chroma_stride,
    int standard, int full_range, int size, int staged_rows) {
    prepare_nv12(out, luma, chroma, width, height, luma_pitch, chroma_pitch, luma_stride, chroma_stride, standard,
        full_range, size, staged_rows);
}

extern "C" __global__ void prepare_nv12_f16(Half* out, const unsigned char* luma, const unsigned char* chroma,
    int width, int height, long long luma_pitch, long long chroma_pitch, long long luma_stride, long long chroma_stride,
    int standard, int full_range, int size, int staged_rows) {
    prepare_nv12(out, luma, chroma, width, height, luma_pitch, chroma_pitch, luma_stride, chroma_stride, standard,
        full_range, size, staged_rows);
}
