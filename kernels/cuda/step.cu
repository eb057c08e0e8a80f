// Guidance and solver in one pass over the latent, in place, in single precision whatever the networks compute in. What
// is known of the latent is put back into it in the same pass.
//
// A thread takes eight numbers, in 16-byte accesses. The coefficients are read from a table on the device, and what is
// known from an array there, so that a captured graph serves other guidance, and windows that know more or nothing,
// without being captured again.

#include "step_math.h"

namespace {

constexpr int TOGETHER = 8;

// What one launch works on; see the kernel below.
struct Arrays {
    float* latent;
    const float* conditional;
    const float* unconditional;
    float* clean;
    const float* held;
    int older;
    long long count;
};

__device__ __forceinline__ void load(float (&numbers)[TOGETHER], const float* source) {
    const float4 low = reinterpret_cast<const float4*>(source)[0], high = reinterpret_cast<const float4*>(source)[1];
    numbers[0] = low.x, numbers[1] = low.y, numbers[2] = low.z, numbers[3] = low.w;
    numbers[4] = high.x, numbers[5] = high.y, numbers[6] = high.z, numbers[7] = high.w;
}

__device__ __forceinline__ void store(float* target, const float (&n)[TOGETHER]) {
    reinterpret_cast<float4*>(target)[0] = {n[0], n[1], n[2], n[3]};
    reinterpret_cast<float4*>(target)[1] = {n[4], n[5], n[6], n[7]};
}

// One number at a time, for the tail and for views that start anywhere.
__device__ __forceinline__ void load(float (&number)[1], const float* source) { number[0] = *source; }
__device__ __forceinline__ void store(float* target, const float (&number)[1]) { *target = number[0]; }

template <int N>
__device__ __forceinline__ void step(const Arrays& arrays, long long at, const StepCoefficients& c) {
    float now[N], with[N], without[N], history[1 + MOST_OLDER][N] = {};
    load(now, arrays.latent + at);
    load(with, arrays.conditional + at);
    load(without, (arrays.unconditional != nullptr ? arrays.unconditional : arrays.conditional) + at);
#pragma unroll
    for (int k = 0; k <= MOST_OLDER; ++k) {  // what has a weight, or moves to the next place
        if (k < arrays.older || c.next_history[k] != 0.0f) load(history[k], arrays.clean + k * arrays.count + at);
    }
#pragma unroll
    for (int k = 1; k <= MOST_OLDER; ++k) {
        if (k <= arrays.older) store(arrays.clean + k * arrays.count + at, history[k - 1]);
    }
    float clean[N], is_known[N] = {}, known[N] = {}, noise[N] = {};
    if (arrays.held != nullptr) {
        load(is_known, arrays.held + at);
        load(known, arrays.held + arrays.count + at);
        load(noise, arrays.held + 2 * arrays.count + at);
    }
#pragma unroll
    for (int i = 0; i < N; ++i) {
        const float before[1 + MOST_OLDER] = {history[0][i], history[1][i], history[2][i]};
        const Stepped result = is_known[i] != 0.0f ? held(known[i], noise[i], c)
                                                   : stepped(now[i], with[i], without[i], before, c);
        now[i] = result.latent;
        clean[i] = result.clean;
    }
    store(arrays.latent + at, now);
    store(arrays.clean + at, clean);
}

__device__ __forceinline__ bool aligned(const void* pointer) { return reinterpret_cast<size_t>(pointer) % 16 == 0; }

}  // namespace

// latent [count]; clean [1 + older, count]: the previous clean estimate and the older ones. Both are updated in place.
// unconditional [count], or null where there is no guidance. held [3, count]: of every number whether it is known, what
// it is, and its noise; or null. table [steps].
extern "C" __global__ void guided_step(float* latent, const float* conditional, const float* unconditional,
    float* clean, const float* held, const StepCoefficients* table, int step_index, int older, long long count) {
    const Arrays arrays = {latent, conditional, unconditional, clean, held, older, count};
    const StepCoefficients c = table[step_index];
    const bool vectors = aligned(latent) && aligned(conditional) && aligned(unconditional) && aligned(clean) &&
                         aligned(held) && ((older == 0 && held == nullptr) || count % 4 == 0);
    const long long first = (static_cast<long long>(blockIdx.x) * blockDim.x + threadIdx.x) * TOGETHER;
    if (vectors && first + TOGETHER <= count) {
        step<TOGETHER>(arrays, first, c);
        return;
    }
#pragma unroll 1
    for (long long at = first; at < first + TOGETHER && at < count; ++at) step<1>(arrays, at, c);
}
