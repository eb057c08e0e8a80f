// The calls of CUDA's driver that this project makes, on host memory, for rehearsals without a GPU.
//
// As strict as the driver, and where it would crash or go on in silence, loud: handles are looked up in what was made
// and not yet destroyed, addresses in what is allocated, and freed memory is never given out again. Work on a stream
// waits there until somebody synchronises, as on a slow device. What is wrong is written into a report, line by line;
// any call can be told to fail. Callbacks run without the lock, since they want Python's.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <sys/mman.h>
#include <time.h>

#include "kernels.h"
#include "registry.h"

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1e3 + t.tv_nsec / 1e6;
}

static void perform(const Work* work) {
    snprintf(last_call, sizeof last_call, "on the stream");
    switch (work->kind) {
        case TO_DEVICE:
        case FROM_DEVICE: {
            const int up = work->kind == TO_DEVICE;
            if (inside(up ? work->target : work->source, work->bytes, MEMORY) &
                inside(up ? work->source : work->target, work->bytes, PINNED))
                memcpy((void*)work->target, (void*)work->source, work->bytes);
            return;
        }
        case KERNEL:
            if (!strcmp(work->name, "guided_step")) guided_step(work);
            else if (!strcmp(work->name, "add_marks")) add_marks(work);
            else prepare_rgb(work);
            return;
        case RECORD:
            work->event->milliseconds = now(), work->event->recorded = 2;
            return;
    }
}

static void drain(Object* stream) {  // with the lock, but for callbacks
    while (stream->work.first) {
        Work* work = stream->work.first;
        stream->work.first = work->next;
        if (!work->next) stream->work.last = NULL;
        if (work->kind == CALLBACK && !dry) {
            pthread_mutex_unlock(&lock);
            work->callback((void*)work->source);
            pthread_mutex_lock(&lock);
        } else if (work->kind != CALLBACK) {
            perform(work);
        }
        free(work);
    }
}

// For the tests.

void stub_reset(void) { calls = 0, fail_at = -1, lost = 0, report[0] = 0; }
void stub_fail(long index, int code, int for_good) { fail_at = index, fail_code = code, fail_for_good = for_good; }
void stub_dry(int on) { dry = on; }
long stub_calls(void) { return calls; }
const char* stub_call(long index) { return index < calls && index < (1 << 16) ? call_names[index] : ""; }
const char* stub_report(void) { return report; }
int stub_depth(void) { return depth; }
int stub_inside(Address address, size_t bytes) {
    pthread_mutex_lock(&lock);
    return end(inside(address, bytes, MEMORY));
}
void stub_complain(const char* line) {
    pthread_mutex_lock(&lock);
    complain("%s", line);
    pthread_mutex_unlock(&lock);
}
// A call of a library beside the driver, which can be told to fail as well.
Result stub_note(const char* name) {
    const char* kept = strdup(name);
    return end(begin(kept, 1));
}
const char* stub_left(void) {
    static char line[512];
    int counts[KINDS] = {0};
    for (Object* o = objects; o; o = o->next) counts[o->kind] += o->alive;
    line[0] = 0;
    for (int kind = 1; kind < KINDS; ++kind) {
        if (counts[kind]) sprintf(line + strlen(line), "%s%d %s", *line ? ", " : "", counts[kind], NAMES[kind]);
    }
    return line;
}

// The driver.

Result cuInit(unsigned flags) {
    (void)flags;
    initialised = 1;
    return end(begin("cuInit", 0));
}
Result cuDriverGetVersion(int* version) { return *version = 13000, end(begin("cuDriverGetVersion", 0)); }
Result cuDeviceGetCount(int* count) { return *count = 1, end(begin("cuDeviceGetCount", 0)); }
Result cuDeviceGet(int* device, int ordinal) {
    const Result r = begin("cuDeviceGet", 0);
    *device = 0;
    return end(r ? r : ordinal ? INVALID_DEVICE : OK);
}
Result cuDeviceGetName(char* name, int length, int device) {
    (void)device;
    snprintf(name, length, "Stub GPU");
    return end(begin("cuDeviceGetName", 0));
}
Result cuDeviceComputeCapability(int* major, int* minor, int device) {
    (void)device;
    *major = 9, *minor = 0;
    return end(begin("cuDeviceComputeCapability", 0));
}
Result cuDeviceGetAttribute(int* value, int attribute, int device) {
    (void)device;
    *value = attribute == 75 ? 9 : 0;  // the compute capability's parts are 75 and 76
    return end(begin("cuDeviceGetAttribute", 0));
}
Result cuDevicePrimaryCtxRetain(void** context, int device) {
    (void)device;
    const Result r = begin("cuDevicePrimaryCtxRetain", 0);
    if (!r) *context = &primary, ++retained;
    return end(r);
}
Result cuDevicePrimaryCtxRelease_v2(int device) {
    (void)device;
    const Result r = begin("cuDevicePrimaryCtxRelease", 0);
    if (retained-- == 0) complain("the primary context is released more often than it was retained");
    if (depth) --depth;  // pycuda takes it for popped
    return end(r);
}
Result cuCtxPushCurrent_v2(void* context) {
    const Result r = begin("cuCtxPushCurrent", 0);
    if (!r && (context != &primary || depth == DEEPEST || !retained)) return end(INVALID_CONTEXT);
    if (!r) contexts[depth++] = context;
    return end(r);
}
Result cuCtxPopCurrent_v2(void** context) {
    const Result r = begin("cuCtxPopCurrent", 1);
    if (!r) *context = contexts[--depth];
    return end(r);
}
Result cuCtxGetCurrent(void** context) {
    *context = depth ? contexts[depth - 1] : NULL;
    return OK;
}
Result cuCtxGetDevice(int* device) { return *device = 0, end(begin("cuCtxGetDevice", 1)); }
Result cuCtxSynchronize(void) {
    const Result r = begin_unsafe("cuCtxSynchronize");
    for (Object* o = objects; o && !r; o = o->next) if (o->kind == STREAM && o->alive) drain(o);
    return end(r);
}

static Result allocate(int kind, Address* address, size_t bytes) {
    size_t taken = 0;
    for (Object* o = objects; o; o = o->next) if (o->kind == MEMORY && o->alive) taken += o->bytes;
    if (!bytes) return INVALID_VALUE;
    if (kind == MEMORY && taken + bytes > TOTAL) return OUT_OF_MEMORY;
    const size_t mapped = (bytes + 8191) / 4096 * 4096;  // more than was asked for, to see what runs past the end
    void* memory = mmap(NULL, mapped, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) return OUT_OF_MEMORY;
    if (!dry) memset(memory, 0xFF, bytes);  // not numbers, unless nothing computes any
    Object* block = make(kind);
    block->address = *address = (Address)memory, block->bytes = bytes, block->mapped = mapped;
    return OK;
}
static Result release(int kind, Address address) {
    for (Object* o = objects; o; o = o->next) {
        if (o->kind != kind || o->address != address) continue;
        if (!o->alive) break;
        o->alive = 0;
        madvise((void*)address, o->mapped, MADV_DONTNEED);
        mprotect((void*)address, o->mapped, PROT_NONE);
        return OK;
    }
    complain("%s: %s at %#zx is not allocated", last_call, NAMES[kind], (size_t)address);
    return INVALID_VALUE;
}
Result cuMemAlloc_v2(Address* address, size_t bytes) {
    const Result r = begin_unsafe("cuMemAlloc");
    return end(r ? r : allocate(MEMORY, address, bytes));
}
Result cuMemFree_v2(Address address) {  // what the driver frees is free though the call may tell of an earlier failure
    const Result r = begin_unsafe("cuMemFree"), freed = release(MEMORY, address);
    return end(r ? r : freed);
}
Result cuMemHostAlloc(void** address, size_t bytes, unsigned flags) {
    (void)flags;
    const Result r = begin_unsafe("cuMemHostAlloc");
    return end(r ? r : allocate(PINNED, (Address*)address, bytes));
}
Result cuMemFreeHost(void* address) {
    const Result r = begin_unsafe("cuMemFreeHost"), freed = release(PINNED, (Address)address);
    return end(r ? r : freed);
}
Result cuMemGetInfo_v2(size_t* unused, size_t* total) {
    const Result r = begin("cuMemGetInfo", 1);
    size_t taken = 0;
    for (Object* o = objects; o; o = o->next) if (o->kind == MEMORY && o->alive) taken += o->bytes;
    *unused = TOTAL - taken, *total = TOTAL;
    return end(r);
}
static Result copy(int kind, Address target, Address source, size_t bytes, void* stream) {
    const Work work = {.kind = kind, .target = target, .source = source, .bytes = bytes};
    const int up = kind == TO_DEVICE;
    if (!inside(up ? target : source, bytes, MEMORY)) return INVALID_VALUE;
    return inside(up ? source : target, bytes, PINNED) ? enqueue(stream, &work) : INVALID_VALUE;
}
Result cuMemcpyHtoDAsync_v2(Address target, const void* source, size_t bytes, void* stream) {
    const Result r = begin("cuMemcpyHtoDAsync", 1);
    return end(r ? r : copy(TO_DEVICE, target, (Address)source, bytes, stream));
}
Result cuMemcpyDtoHAsync_v2(void* target, Address source, size_t bytes, void* stream) {
    const Result r = begin("cuMemcpyDtoHAsync", 1);
    return end(r ? r : copy(FROM_DEVICE, (Address)target, source, bytes, stream));
}
Result cuMemcpyHtoD_v2(Address target, const void* source, size_t bytes) {
    const Result r = begin_unsafe("cuMemcpyHtoD");
    if (!r && inside(target, bytes, MEMORY)) memcpy((void*)target, source, bytes);
    return end(r);
}
Result cuMemcpyDtoH_v2(void* target, Address source, size_t bytes) {
    const Result r = begin_unsafe("cuMemcpyDtoH");
    if (!r && inside(source, bytes, MEMORY)) memcpy(target, (void*)source, bytes);
    return end(r);
}

Result cuStreamCreate(void** stream, unsigned flags) {
    const Result r = begin("cuStreamCreate", 1);
    if (!r && flags != 1) complain("cuStreamCreate: a stream that waits for the legacy one");
    if (!r) *stream = make(STREAM);
    return end(r);
}
Result cuStreamDestroy_v2(void* handle) {
    const Result r = begin("cuStreamDestroy", 1);
    Object* stream = find(handle, STREAM);
    if (stream) stream->alive = 0, clear(&stream->work), clear(&stream->captured);
    return end(r ? r : stream ? OK : INVALID_HANDLE);
}
Result cuStreamSynchronize(void* handle) {
    const Result r = begin_unsafe("cuStreamSynchronize");
    Object* stream = r ? NULL : find(handle, STREAM);
    if (stream) drain(stream);
    return end(r ? r : stream ? OK : INVALID_HANDLE);
}
Result cuLaunchHostFunc(void* stream, void (*callback)(void*), void* data) {
    const Result r = begin("cuLaunchHostFunc", 1);
    const Work work = {.kind = CALLBACK, .callback = callback, .source = (Address)data};
    return end(r ? r : enqueue(stream, &work));
}
Result cuEventCreate(void** event, unsigned flags) {
    (void)flags;
    const Result r = begin("cuEventCreate", 1);
    if (!r) *event = make(EVENT);
    return end(r);
}
Result cuEventDestroy_v2(void* handle) {
    const Result r = begin("cuEventDestroy", 1);
    Object* event = find(handle, EVENT);
    if (event) event->alive = 0;
    return end(r ? r : event ? OK : INVALID_HANDLE);
}
Result cuEventRecord(void* handle, void* stream) {
    const Result r = begin("cuEventRecord", 1);
    Object* event = r ? NULL : find(handle, EVENT);
    const Work work = {.kind = RECORD, .event = event};
    if (event) event->recorded = 1;
    return end(r ? r : event ? enqueue(stream, &work) : INVALID_HANDLE);
}
Result cuEventElapsedTime_v2(float* milliseconds, void* from, void* to) {
    const Result r = begin("cuEventElapsedTime", 1);
    Object *start = r ? NULL : find(from, EVENT), *stop = r ? NULL : find(to, EVENT);
    if (!start || !stop) return end(r ? r : INVALID_HANDLE);
    *milliseconds = (float)(stop->milliseconds - start->milliseconds);
    return end(start->recorded == 2 && stop->recorded == 2 ? OK : NOT_READY);
}
Result cuEventElapsedTime(float* milliseconds, void* from, void* to) { return cuEventElapsedTime_v2(milliseconds, from, to); }

Result cuModuleLoadDataEx(void** module, const void* image, unsigned count, void* options, void* values) {
    (void)count, (void)options, (void)values;
    const Result r = begin("cuModuleLoadData", 1);
    if (r || memcmp(image, "\177ELFstub:", 9)) return end(r ? r : INVALID_IMAGE);
    Object* made = make(MODULE);
    snprintf(made->text, sizeof made->text, "%s", (const char*)image + 9);
    *module = made;
    return end(OK);
}
Result cuModuleLoadData(void** module, const void* image) { return cuModuleLoadDataEx(module, image, 0, NULL, NULL); }
Result cuModuleUnload(void* handle) {
    const Result r = begin("cuModuleUnload", 1);
    Object* module = find(handle, MODULE);
    if (module) module->alive = 0;
    for (Object* o = objects; o && module; o = o->next) if (o->kind == FUNCTION && o->work.first == handle) o->alive = 0;
    return end(r ? r : module ? OK : INVALID_HANDLE);
}
Result cuModuleGetFunction(void** function, void* handle, const char* name) {
    const Result r = begin("cuModuleGetFunction", 1);
    Object* module = r ? NULL : find(handle, MODULE);
    char word[128];
    snprintf(word, sizeof word, " %s ", name);
    if (!module || !strstr(module->text, word)) return end(r ? r : module ? NOT_FOUND : INVALID_HANDLE);
    Object* made = make(FUNCTION);
    snprintf(made->text, sizeof made->text, "%s", name);
    made->work.first = handle;  // whose it is
    *function = made;
    return end(OK);
}
Result cuFuncSetBlockShape(void* function, int x, int y, int z) {  // as pycuda does before each launch
    (void)x, (void)y, (void)z;
    const Result r = begin("cuFuncSetBlockShape", 1);
    return end(r ? r : find(function, FUNCTION) ? OK : INVALID_HANDLE);
}
Result cuFuncSetCacheConfig(void* function, int config) { return (void)function, (void)config, OK; }
Result cuFuncGetAttribute(int* value, int attribute, void* function) { return (void)attribute, (void)function, *value = 0, OK; }
Result cuLaunchKernel(void* function, unsigned gx, unsigned gy, unsigned gz, unsigned bx, unsigned by, unsigned bz,
    unsigned shared, void* stream, void** parameters, void** extra) {
    const Result r = begin("cuLaunchKernel", 1);
    Object* found = r ? NULL : find(function, FUNCTION);
    if (!found) return end(r ? r : INVALID_HANDLE);
    Work work = {.kind = KERNEL, .grid = {gx, gy, gz}, .threads = bx};
    if (by != 1 || bz != 1 || bx > 1024 || shared > 48 << 10 || parameters || !extra) return end(INVALID_VALUE);
    const void* buffer = NULL;
    for (; *extra; extra += 2) {
        if (*extra == (void*)1) buffer = extra[1];
        if (*extra == (void*)2) work.bytes = *(size_t*)extra[1];
    }
    if (!buffer || work.bytes > sizeof work.arguments) return end(INVALID_VALUE);
    memcpy(work.arguments, buffer, work.bytes);
    snprintf(work.name, sizeof work.name, "%.31s", found->text);
    return end(enqueue(stream, &work));
}

Result cuStreamBeginCapture_v2(void* handle, int mode) {
    const Result r = begin("cuStreamBeginCapture", 1);
    Object* stream = r ? NULL : find(handle, STREAM);
    if (!stream || mode != 1 || stream->capturing) return end(r ? r : INVALID_VALUE);  // in this thread's way
    stream->capturing = 1, stream->invalid = 0, stream->capturer = pthread_self();
    return end(OK);
}
Result cuStreamEndCapture(void* handle, void** graph) {
    const Result r = begin("cuStreamEndCapture", 1);
    Object* stream = find(handle, STREAM);
    if (!stream || !stream->capturing) return end(r ? r : INVALID_VALUE);
    stream->capturing = 0;
    *graph = NULL;
    if (r || stream->invalid) return clear(&stream->captured), end(r ? r : CAPTURE_INVALIDATED);
    Object* made = make(GRAPH);
    made->work = stream->captured;
    stream->captured = (Queue){NULL, NULL};
    *graph = made;
    return end(OK);
}
Result cuGraphInstantiateWithFlags(void** executable, void* handle, unsigned long long flags) {
    const Result r = begin("cuGraphInstantiate", 1);
    Object* graph = r ? NULL : find(handle, GRAPH);
    if (!graph || flags) return end(r ? r : INVALID_VALUE);
    Object* made = make(EXECUTABLE);
    for (Work* work = graph->work.first; work; work = work->next) put(&made->work, work);
    *executable = made;
    return end(OK);
}
static Result destroy(const char* name, void* handle, int kind) {
    const Result r = begin(name, 1);
    Object* o = find(handle, kind);
    if (o) o->alive = 0, clear(&o->work);
    return end(r ? r : o ? OK : INVALID_HANDLE);
}
Result cuGraphDestroy(void* graph) { return destroy("cuGraphDestroy", graph, GRAPH); }
Result cuGraphExecDestroy(void* executable) { return destroy("cuGraphExecDestroy", executable, EXECUTABLE); }
Result cuGraphLaunch(void* handle, void* stream) {
    const Result r = begin("cuGraphLaunch", 1);
    Object* executable = r ? NULL : find(handle, EXECUTABLE);
    Result put_there = OK;
    for (Work* work = executable ? executable->work.first : NULL; work && !put_there; work = work->next) put_there = enqueue(stream, work);
    return end(r ? r : executable ? put_there : INVALID_HANDLE);
}

Result cuGetErrorName(Result error, const char** name) {
    *name = error == OUT_OF_MEMORY ? "CUDA_ERROR_OUT_OF_MEMORY" : error == CAPTURE_UNSUPPORTED ? "CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED"
          : error == CAPTURE_INVALIDATED ? "CUDA_ERROR_STREAM_CAPTURE_INVALIDATED" : error == 719 ? "CUDA_ERROR_LAUNCH_FAILED"
          : error == INVALID_CONTEXT ? "CUDA_ERROR_INVALID_CONTEXT" : "CUDA_ERROR_UNKNOWN";
    return OK;
}
Result cuGetErrorString(Result error, const char** text) {
    *text = error == OUT_OF_MEMORY ? "out of memory" : error == 719 ? "unspecified launch failure"
          : error == INVALID_CONTEXT ? "invalid device context" : "failure of the stub";
    return OK;
}

#define ABSENT(name) \
    Result name(void) { return complain("%s is called, which the stub does not know", #name), NOT_SUPPORTED; }
#include "absent.h"

// How cuda-bindings finds them.
Result cuGetProcAddress_v2(const char* name, void** found, int version, uint64_t flags, int* status) {
    (void)version, (void)flags;
    char newer[128];
    *found = NULL;
    if (!strcmp(name, "cuGraphInstantiate")) name = "cuGraphInstantiateWithFlags";
    snprintf(newer, sizeof newer, "%s_v2", name);
    Dl_info here;
    dladdr((void*)cuInit, &here);
    void* library = dlopen(here.dli_fname, RTLD_NOW | RTLD_NOLOAD);
    if (!(*found = dlsym(library, newer))) *found = dlsym(library, name);
    if (library) dlclose(library);
    if (status) *status = *found ? 0 : 1;
    return *found ? OK : NOT_FOUND;
}
Result cuGetProcAddress(const char* name, void** found, int version, uint64_t flags) {
    return cuGetProcAddress_v2(name, found, version, flags, NULL);
}

// At the end of the process: whoever set the variable reads what was wrong, and what was left.
__attribute__((destructor)) static void farewell(void) {
    const char* path = getenv("MDSGEN_STUB_REPORT");
    FILE* file = path ? fopen(path, "a") : NULL;
    if (!file) return;
    fprintf(file, "%s", report);
    if (depth) fprintf(file, "a context was still current at the end\n");
    fclose(file);
}
