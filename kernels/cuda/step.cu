// Guidance, solver and the network's next input in one pass over the latent, in place.
//
// The latent and the clean estimates are in single precision whatever the networks compute in. A thread takes eight
// numbers: one 16-byte access of halves, two of floats. The coefficients are read from a table on the device, so that a
// captured graph serves other guidance without being captured again.

#include "step_math.h"

namespace {

constexpr int TOGETHER = 8;

// What one launch works on; see the kernels below.
template <typename Noise>
struct Arrays {
    float* latent;
    const Noise* conditional;
    const Noise* unconditional;
    float* clean;
    float* difference;
    Half* input;
    int older;
    long long count;
};

__device__ __forceinline__ void load(float (&numbers)[TOGETHER], const float* source) {
    const float4 low = reinterpret_cast<const float4*>(source)[0], high = reinterpret_cast<const float4*>(source)[1];
    numbers[0] = low.x, numbers[1] = low.y, numbers[2] = low.z, numbers[3] = low.w;
    numbers[4] = high.x, numbers[5] = high.y, numbers[6] = high.z, numbers[7] = high.w;
}

__device__ __forceinline__ void load(float (&numbers)[TOGETHER], const Half* source) {
    const uint4 bits = *reinterpret_cast<const uint4*>(source);
    const unsigned pairs[TOGETHER / 2] = {bits.x, bits.y, bits.z, bits.w};
#pragma unroll
    for (int i = 0; i < TOGETHER / 2; ++i) {
        numbers[2 * i] = float_of(low_half(pairs[i]));
        numbers[2 * i + 1] = float_of(high_half(pairs[i]));
    }
}

__device__ __forceinline__ void store(float* target, const float (&n)[TOGETHER]) {
    reinterpret_cast<float4*>(target)[0] = {n[0], n[1], n[2], n[3]};
    reinterpret_cast<float4*>(target)[1] = {n[4], n[5], n[6], n[7]};
}

__device__ __forceinline__ void store(Half* target, const float (&n)[TOGETHER]) {
    *reinterpret_cast<uint4*>(target) = {
        half_pair(n[0], n[1]), half_pair(n[2], n[3]), half_pair(n[4], n[5]), half_pair(n[6], n[7])};
}

// One number at a time, for the tail and for views that start anywhere.
__device__ __forceinline__ void load(float (&number)[1], const float* source) { number[0] = *source; }
__device__ __forceinline__ void load(float (&number)[1], const Half* source) { number[0] = float_of(*source); }
__device__ __forceinline__ void store(float* target, const float (&number)[1]) { *target = number[0]; }
__device__ __forceinline__ void store(Half* target, const float (&number)[1]) { *target = half_of(number[0]); }

template <int N, typename Noise>
__device__ __forceinline__ void estimates(
    float (&with)[N], float (&without)[N], const Arrays<Noise>& arrays, long long at) {
    load(with, arrays.conditional + at);
    if (arrays.unconditional != nullptr) {
        load(without, arrays.unconditional + at);
        if (arrays.difference == nullptr) return;
        float difference[N];
#pragma unroll
        for (int i = 0; i < N; ++i) difference[i] = with[i] - without[i];
        store(arrays.difference + at, difference);
    } else {
        load(without, arrays.difference + at);
#pragma unroll
        for (int i = 0; i < N; ++i) without[i] = with[i] - without[i];
    }
}

template <int N, typename Noise>
__device__ __forceinline__ void step(const Arrays<Noise>& arrays, long long at, const StepCoefficients& c) {
    float now[N], with[N], without[N], history[1 + MOST_OLDER][N] = {};
    load(now, arrays.latent + at);
    estimates(with, without, arrays, at);
#pragma unroll
    for (int k = 0; k <= MOST_OLDER; ++k) {  // what has a weight, or moves to the next place
        if (k < arrays.older || c.next_history[k] != 0.0f) load(history[k], arrays.clean + k * arrays.count + at);
    }
#pragma unroll
    for (int k = 1; k <= MOST_OLDER; ++k) {
        if (k <= arrays.older) store(arrays.clean + k * arrays.count + at, history[k - 1]);
    }
    float clean[N];
#pragma unroll
    for (int i = 0; i < N; ++i) {
        const float before[1 + MOST_OLDER] = {history[0][i], history[1][i], history[2][i]};
        const Stepped result = guided_step(now[i], with[i], without[i], before, c);
        now[i] = result.latent;
        clean[i] = result.clean;
    }
    store(arrays.latent + at, now);
    store(arrays.clean + at, clean);
    if (arrays.input != nullptr) store(arrays.input + at, now);
}

__device__ __forceinline__ bool aligned(const void* pointer) { return reinterpret_cast<size_t>(pointer) % 16 == 0; }

template <typename Noise>
__device__ __forceinline__ void step_all(const Arrays<Noise>& arrays, const StepCoefficients c) {
    const bool vectors = aligned(arrays.latent) && aligned(arrays.conditional) && aligned(arrays.unconditional) &&
                         aligned(arrays.clean) && aligned(arrays.difference) && aligned(arrays.input) &&
                         (arrays.older == 0 || arrays.count % 4 == 0);
    const long long first = (static_cast<long long>(blockIdx.x) * blockDim.x + threadIdx.x) * TOGETHER;
    if (vectors && first + TOGETHER <= arrays.count) {
        step<TOGETHER>(arrays, first, c);
        return;
    }
#pragma unroll 1
    for (long long at = first; at < first + TOGETHER && at < arrays.count; ++at) step<1>(arrays, at, c);
}

}  // namespace

// latent [count]; clean [1 + older, count]: the previous clean estimate and the older ones. Both are updated in place.
// difference [count] or null: where there is an unconditional estimate, its distance from the conditional one is put
// there; where there is none (null), it is made from what was put there before. input [count] or null: takes the new
// latent in half precision. table [steps].
extern "C" __global__ void guided_step_f32(float* latent, const float* conditional, const float* unconditional,
    float* clean, float* difference, Half* input, const StepCoefficients* table, int step, int older, long long count) {
    const Arrays<float> arrays = {latent, conditional, unconditional, clean, difference, input, older, count};
    step_all(arrays, table[step]);
}

extern "C" __global__ void guided_step_f16(float* latent, const Half* conditional, const Half* unconditional,
    float* clean, float* difference, Half* input, const StepCoefficients* table, int step, int older, long long count) {
    const Arrays<Half> arrays = {latent, conditional, unconditional, clean, difference, input, older, count};
    step_all(arrays, table[step]);
}
