// What arithmetic needs to be the same code on the device (nvcc, NVRTC) and on the host (any C++14 compiler).
// Nothing is included on the device, so that NVRTC compiles it where no CUDA headers are.
#pragma once

#if defined(__CUDACC__) || defined(__CUDACC_RTC__)
#define HOST_DEVICE __host__ __device__ __forceinline__
#else
#define HOST_DEVICE inline
#endif

#ifndef __CUDA_ARCH__
#include <math.h>
#endif

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
