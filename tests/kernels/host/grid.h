// A grid of CUDA threads on the host, so that a kernel's whole code runs where there is no GPU.
//
// The threads of a block are coroutines that take turns: each runs to the next barrier. So a block's threads must
// all meet the same barriers in the same order, as every kernel here does.
#pragma once

#include <setjmp.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <ucontext.h>

#include <functional>
#include <tuple>
#include <utility>
#include <vector>

#define __global__
#define __device__
#define __shared__
#define __forceinline__ inline
#define __launch_bounds__(threads)

struct alignas(16) float4 {
    float x, y, z, w;
};
struct alignas(16) uint4 {
    unsigned x, y, z, w;
};
struct Place {
    unsigned x, y, z;
};

static Place threadIdx, blockIdx, blockDim, gridDim;

namespace host_grid {

constexpr size_t STACK = 1 << 18, SHARED = 48 << 10;
constexpr unsigned CANARY = 0xfeedbeefu;

struct Thread {
    Place place;
    ucontext_t start;
    jmp_buf resume;
    bool started = false, done = false;
    std::vector<char> stack = std::vector<char>(STACK);
};

static std::vector<Thread> threads;
static std::function<void()> body;
static ucontext_t scheduler_start;
static jmp_buf scheduler;
static Thread* running;

inline void wait() {
    if (_setjmp(running->resume) == 0) _longjmp(scheduler, 1);
}

inline void enter() {
    body();
    running->done = true;
    _longjmp(scheduler, 1);
}

inline void run_until_it_waits(Thread& thread) {
    running = &thread;
    threadIdx = thread.place;
    if (_setjmp(scheduler) != 0) return;
    if (thread.started) _longjmp(thread.resume, 1);
    thread.started = true;
    getcontext(&thread.start);
    thread.start.uc_stack.ss_sp = thread.stack.data();
    thread.start.uc_stack.ss_size = STACK;
    thread.start.uc_link = nullptr;
    makecontext(&thread.start, enter, 0);
    swapcontext(&scheduler_start, &thread.start);
}

inline void run_block() {
    size_t done = 0;
    for (Thread& thread : threads) thread.started = thread.done = false;
    while (done == 0) {
        for (Thread& thread : threads) {
            run_until_it_waits(thread);
            done += thread.done;
        }
    }
    if (done != threads.size()) {
        fprintf(stderr, "the threads of a block met different barriers\n");
        abort();
    }
}

}  // namespace host_grid

// What the kernels allocate at launch; the last words tell whether more was written than was asked for.
alignas(16) uint4 shared_memory[host_grid::SHARED / sizeof(uint4) + 1];

inline void __syncthreads() { host_grid::wait(); }

namespace host_grid {

template <typename Kernel, typename Tuple, size_t... I>
void call(Kernel kernel, const Tuple& arguments, std::index_sequence<I...>) {
    kernel(std::get<I>(arguments)...);
}

// Arguments lie one after the other, each at a multiple of its own size, as the CUDA driver takes them.
template <typename T>
T next_argument(const char*& packed, size_t& at) {
    at = (at + sizeof(T) - 1) / sizeof(T) * sizeof(T);
    T argument;
    memcpy(&argument, packed + at, sizeof argument);
    at += sizeof(T);
    return argument;
}

// shape: the grid's three sides, threads of a block, bytes of shared memory. 0, or 1 where a thread wrote past those.
template <typename... Arguments>
int run(void (*kernel)(Arguments...), const unsigned* shape, const char* packed) {
    size_t at = 0;
    const std::tuple<Arguments...> arguments{next_argument<Arguments>(packed, at)...};
    gridDim = {shape[0], shape[1], shape[2]};
    blockDim = {shape[3], 1, 1};
    unsigned* const canary = reinterpret_cast<unsigned*>(shared_memory) + shape[4] / sizeof(unsigned);
    *canary = CANARY;
    threads.resize(blockDim.x);
    for (unsigned i = 0; i < blockDim.x; ++i) threads[i].place = {i, 0, 0};
    body = [=] { call(kernel, arguments, std::index_sequence_for<Arguments...>()); };
    for (blockIdx.z = 0; blockIdx.z < gridDim.z; ++blockIdx.z)
        for (blockIdx.y = 0; blockIdx.y < gridDim.y; ++blockIdx.y)
            for (blockIdx.x = 0; blockIdx.x < gridDim.x; ++blockIdx.x) run_block();
    return *canary != CANARY;
}

}  // namespace host_grid

#define RUN_ON_HOST(kernel)                                                         \
    extern "C" int run_##kernel(const unsigned* shape, const char* packed) {        \
        return host_grid::run(kernel, shape, packed);                               \
    }
