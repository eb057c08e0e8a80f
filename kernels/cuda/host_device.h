// What arithmetic needs to be the same code on the device (nvcc, NVRTC) and on the host (any C++14 compiler).
//
// Nothing is included on the device, so that NVRTC compiles it where no CUDA headers are. Half precision numbers are
// therefore carried as their bits.
#pragma once

#if defined(__CUDACC__) || defined(__CUDACC_RTC__)
#define HOST_DEVICE __host__ __device__ __forceinline__
#else
#define HOST_DEVICE inline
#endif

#ifndef __CUDA_ARCH__
#include <math.h>
#include <string.h>
#endif

using Half = unsigned short;  // the bits of an IEEE half precision number

HOST_DEVICE float float_of(float number) { return number; }

HOST_DEVICE float float_of(Half bits) {
    float number;
#ifdef __CUDA_ARCH__
    asm("cvt.f32.f16 %0, %1;" : "=f"(number) : "h"(bits));
#else
    const unsigned sign = (bits & 0x8000u) << 16, exponent = bits >> 10 & 31u, fraction = bits & 0x3ffu;
    if (exponent == 0) {  // zero or subnormal: units of 2^-24
        number = static_cast<float>(fraction) * 5.9604644775390625e-8f;
        return sign != 0 ? -number : number;
    }
    const unsigned wide = sign | (exponent == 31 ? 0x7f800000u : (exponent + 112) << 23) | fraction << 13;
    memcpy(&number, &wide, sizeof number);
#endif
    return number;
}

HOST_DEVICE Half half_of(float number) {  // to the nearest, ties to even; beyond 65504 infinity
#ifdef __CUDA_ARCH__
    Half bits;
    asm("cvt.rn.f16.f32 %0, %1;" : "=h"(bits) : "f"(number));
    return bits;
#else
    unsigned wide;
    memcpy(&wide, &number, sizeof wide);
    const unsigned sign = wide >> 16 & 0x8000u, magnitude = wide & 0x7fffffffu;
    if (magnitude > 0x7f800000u) return static_cast<Half>(sign | 0x7e00u);  // not a number
    if (magnitude >= 0x477ff000u) return static_cast<Half>(sign | 0x7c00u);
    if (magnitude < 0x38800000u) {  // subnormal: units of 2^-24
        const float units = rintf(fabsf(number) * 16777216.0f);
        return static_cast<Half>(sign | static_cast<unsigned>(units));
    }
    const unsigned rounded = magnitude + 0xfffu + (magnitude >> 13 & 1u);
    return static_cast<Half>(sign | ((rounded - 0x38000000u) >> 13));
#endif
}

// Two halves in one 32-bit word, the first in the low bits: how memory and tensor cores hold them.
HOST_DEVICE unsigned half_pair(float low, float high) {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 800
    unsigned bits;
    asm("cvt.rn.f16x2.f32 %0, %1, %2;" : "=r"(bits) : "f"(high), "f"(low));
    return bits;
#else
    return static_cast<unsigned>(half_of(low)) | static_cast<unsigned>(half_of(high)) << 16;
#endif
}

HOST_DEVICE Half low_half(unsigned pair) { return static_cast<Half>(pair & 0xffffu); }
HOST_DEVICE Half high_half(unsigned pair) { return static_cast<Half>(pair >> 16); }

HOST_DEVICE int lesser(int a, int b) { return a < b ? a : b; }
HOST_DEVICE int greater(int a, int b) { return a > b ? a : b; }
HOST_DEVICE float lesser(float a, float b) { return a < b ? a : b; }
HOST_DEVICE float greater(float a, float b) { return a > b ? a : b; }

HOST_DEVICE float infinity() {
#ifdef __CUDA_ARCH__
    return __int_as_float(0x7f800000);
#else
    return INFINITY;
#endif
}
