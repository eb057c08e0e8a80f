// What the stub of the driver keeps: handles, memory, streams, and what was wrong.
#pragma once

#include <pthread.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef int Result;
typedef uintptr_t Address;
enum {
    OK = 0, INVALID_VALUE = 1, OUT_OF_MEMORY = 2, NOT_INITIALIZED = 3, INVALID_DEVICE = 101, INVALID_IMAGE = 200,
    INVALID_CONTEXT = 201, INVALID_HANDLE = 400, NOT_FOUND = 500, NOT_READY = 600, NOT_SUPPORTED = 801,
    CAPTURE_UNSUPPORTED = 900, CAPTURE_INVALIDATED = 901
};
enum { STREAM = 1, EVENT, MODULE, FUNCTION, GRAPH, EXECUTABLE, MEMORY, PINNED, KINDS };
static const char* const NAMES[] = {"", "stream", "event", "module", "function", "graph", "executable graph",
    "device memory", "pinned memory"};
enum { TO_DEVICE, FROM_DEVICE, KERNEL, CALLBACK, RECORD };
enum { TOTAL = 1 << 30, ALIGNMENT = 512, DEEPEST = 16 };

typedef struct Work {
    struct Work* next;
    int kind;
    Address target, source;
    size_t bytes;
    unsigned grid[3], threads;
    char name[32];
    unsigned char arguments[64];
    void (*callback)(void*);
    struct Object* event;
} Work;

typedef struct { Work *first, *last; } Queue;

typedef struct Object {
    struct Object* next;
    int kind, alive;
    Queue work;                      // of streams, graphs and executables
    int capturing, invalid;          // of streams
    pthread_t capturer;
    Queue captured;
    int recorded;                    // of events: 1 put on a stream, 2 passed
    double milliseconds;
    Address address;                 // of memory
    size_t bytes, mapped;
    char text[512];                  // of modules and functions: the names of kernels
} Object;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static Object* objects;
static int initialised, retained, primary, dry;  // the address of `primary` is the context
static __thread int depth;
static __thread void* contexts[DEEPEST];
static long calls, fail_at = -1;
static int fail_code, fail_for_good, lost;
static char report[1 << 16], last_call[64];
static char* call_names[1 << 16];

static void complain(const char* format, ...) {
    char line[512];
    va_list values;
    va_start(values, format);
    vsnprintf(line, sizeof line, format, values);
    va_end(values);
    if (strlen(report) + strlen(line) + 2 < sizeof report) strcat(strcat(report, line), "\n");
}

static Result begin(const char* name, int needs_context) {
    pthread_mutex_lock(&lock);
    snprintf(last_call, sizeof last_call, "%s", name);
    if (calls < (long)(sizeof call_names / sizeof *call_names)) call_names[calls] = (char*)name;
    const long index = calls++;
    if (index == fail_at && fail_for_good) lost = fail_code;
    if (index == fail_at) return fail_code;
    if (lost) return lost;
    if (!initialised) return NOT_INITIALIZED;
    if (needs_context && depth == 0) {
        complain("%s without a current context", name);
        return INVALID_CONTEXT;
    }
    return OK;
}

static Result end(Result result) {
    pthread_mutex_unlock(&lock);
    return result;
}

// What must not be called while this thread captures: it ends the capture.
static Result begin_unsafe(const char* name) {
    const Result result = begin(name, 1);
    if (result != OK) return result;
    for (Object* o = objects; o; o = o->next) {
        if (o->kind != STREAM || !o->capturing || !pthread_equal(o->capturer, pthread_self())) continue;
        complain("%s while a stream is captured", name);
        o->invalid = 1;
        return CAPTURE_UNSUPPORTED;
    }
    return OK;
}

static Object* make(int kind) {
    Object* o = calloc(1, sizeof *o);
    o->kind = kind, o->alive = 1, o->next = objects;
    return objects = o;
}

static Object* find(const void* handle, int kind) {
    for (Object* o = objects; o; o = o->next) {
        if (o != handle || o->kind != kind) continue;
        if (o->alive) return o;
        complain("%s: the %s was destroyed before", last_call, NAMES[kind]);
        return NULL;
    }
    complain("%s: %p is no %s", last_call, handle, NAMES[kind]);
    return NULL;
}

static int inside(Address address, size_t bytes, int kind) {
    for (Object* o = objects; o; o = o->next) {
        if (o->kind != kind || address < o->address || address + bytes > o->address + o->mapped) continue;
        if (o->alive && address + bytes <= o->address + o->bytes) return 1;
        complain("%s: %zu bytes %s %s", last_call, bytes, o->alive ? "past the end of" : "in freed", NAMES[kind]);
        return 0;
    }
    complain("%s: %zu bytes at %#zx are no %s", last_call, bytes, (size_t)address, NAMES[kind]);
    return 0;
}

static void put(Queue* queue, const Work* work) {
    Work* copy = malloc(sizeof *copy);
    *copy = *work, copy->next = NULL;
    if (queue->last) queue->last->next = copy; else queue->first = copy;
    queue->last = copy;
}

static void clear(Queue* queue) {
    while (queue->first) {
        Work* next = queue->first->next;
        free(queue->first);
        queue->first = next;
    }
    queue->last = NULL;
}

// Put on the stream, or into the graph that is captured from it.
static Result enqueue(void* handle, const Work* work) {
    if (!handle) {
        complain("%s on the legacy stream", last_call);
        return INVALID_HANDLE;
    }
    Object* stream = find(handle, STREAM);
    if (!stream) return INVALID_HANDLE;
    put(stream->capturing ? &stream->captured : &stream->work, work);
    return OK;
}
