// The product of two small matrices held by one warp: C[16, 8] += A[16, 16] B[16, 8], halves in, floats out.
//
// Who holds what (PTX ISA, "Matrix Fragments for mma.m16n8k16"), with group = lane / 4 and member = lane % 4; a word is
// two neighbours, 2 * member and 2 * member + 1, along the inner dimension (in C along the columns):
//   a[0] row group,     first 8 of the inner 16    a[2] row group,     second 8
//   a[1] row group + 8, first 8                    a[3] row group + 8, second 8
//   b[0] column group,  first 8                    b[1] column group,  second 8
//   c[0], c[1] row group, the two columns          c[2], c[3] row group + 8
#pragma once

#include "host_device.h"

#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 800 && !defined(WITHOUT_TENSOR_CORES)

__device__ __forceinline__ void multiply(float (&c)[4], const unsigned (&a)[4], unsigned b0, unsigned b1) {
    asm("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, "
        "{%0, %1, %2, %3};"
        : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}

#else

#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 750 && !defined(WITHOUT_TENSOR_CORES)

__device__ __forceinline__ void multiply_half(float (&c)[4], unsigned upper, unsigned lower, unsigned b) {
    asm("mma.sync.aligned.m16n8k8.row.col.f32.f16.f16.f32 {%0, %1, %2, %3}, {%4, %5}, {%6}, {%0, %1, %2, %3};"
        : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
        : "r"(upper), "r"(lower), "r"(b));
}

#else  // no such instruction (sm_72): the lanes ask one another for their words. Right, and slow.

__device__ __forceinline__ float inner(unsigned x, unsigned y) {
    return float_of(low_half(x)) * float_of(low_half(y)) + float_of(high_half(x)) * float_of(high_half(y));
}

__device__ __forceinline__ void multiply_half(float (&c)[4], unsigned upper, unsigned lower, unsigned b) {
    constexpr unsigned ALL = 0xffffffffu;
    const int lane = threadIdx.x % 32, group = lane / 4, member = lane % 4;
#pragma unroll 1  // unrolled it is a quarter of a megabyte of code, and minutes of compiling
    for (int i = 0; i < 4; ++i) {  // the inner 8, two at a time
        const unsigned a_upper = __shfl_sync(ALL, upper, 4 * group + i), a_lower = __shfl_sync(ALL, lower, 4 * group + i);
        const unsigned b_left = __shfl_sync(ALL, b, 8 * member + i), b_right = __shfl_sync(ALL, b, 8 * member + 4 + i);
        c[0] += inner(a_upper, b_left);
        c[1] += inner(a_upper, b_right);
        c[2] += inner(a_lower, b_left);
        c[3] += inner(a_lower, b_right);
    }
}

#endif

__device__ __forceinline__ void multiply(float (&c)[4], const unsigned (&a)[4], unsigned b0, unsigned b1) {
    multiply_half(c, a[0], a[1], b0);
    multiply_half(c, a[2], a[3], b1);
}

#endif
