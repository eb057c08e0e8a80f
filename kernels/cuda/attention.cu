// Attention with a relative position bias that is read from its table, not from a tensor of all pairs of tokens.
//
// One block: 64 queries of one head of one clip, 16 per warp, against all keys in tiles of 64, the scores never leaving
// the registers (Dao et al., "FlashAttention", 2022). The block keeps in shared memory the part of the head's table that
// its queries can meet: pairs of tokens are told apart by the difference of two codes, so that part is one stretch.

#include "attention_math.h"
#include "matrix_product.cuh"

extern __shared__ uint4 shared_memory[];

namespace {

constexpr int WIDTH = 64;    // of a head
constexpr int TILE = 64;     // queries of a block, and keys at a time
constexpr int WARPS = 4;     // of 16 queries each
constexpr int PADDED = 72;   // halves from row to row in shared memory, so that a warp's reads meet 32 different banks
constexpr int BLOCKS = 8;    // columns of 8 in a tile, or in a head
constexpr int STRIPS = 4;    // inner 16s in a tile, or in a head
constexpr unsigned ALL = 0xffffffffu;

// One head of one clip: token n starts at `base + n * stride`.
struct Tokens {
    const Half* base;
    long long stride;
};

// What all warps share, in the order in which it lies in shared memory.
struct Tile {
    Half* keys;       // [TILE, PADDED], a row per key
    Half* values;     // [WIDTH, PADDED], a row per channel: the product wants pairs of keys side by side
    int* codes;       // [TILE], of the keys
    float* biases;    // times LOG2_E, from the lowest code of the block's queries on
};

__device__ __forceinline__ Tile tile_in_shared_memory() {
    Tile tile;
    tile.keys = reinterpret_cast<Half*>(shared_memory);
    tile.values = tile.keys + TILE * PADDED;
    tile.codes = reinterpret_cast<int*>(tile.values + WIDTH * PADDED);
    tile.biases = reinterpret_cast<float*>(tile.codes + TILE);
    return tile;
}

__device__ __forceinline__ uint4 eight_halves(const Tokens& of, int token, int tokens, int channel) {
    if (token >= tokens) return {0, 0, 0, 0};
    return *reinterpret_cast<const uint4*>(of.base + token * of.stride + channel);
}

__device__ __forceinline__ void load_tile(const Tile& tile, const Tokens& keys, const Tokens& values, int start,
    int tokens, int columns) {
    for (int i = threadIdx.x; i < TILE * WIDTH / 8; i += 32 * WARPS) {
        const int row = i / (WIDTH / 8), channel = i % (WIDTH / 8) * 8;
        *reinterpret_cast<uint4*>(tile.keys + row * PADDED + channel) = eight_halves(keys, start + row, tokens, channel);
    }
    for (int i = threadIdx.x; i < TILE / 2 * WIDTH / 8; i += 32 * WARPS) {  // two keys of eight channels
        const int pair = i % (TILE / 2), channel = i / (TILE / 2) * 8;
        const uint4 even = eight_halves(values, start + 2 * pair, tokens, channel);
        const uint4 odd = eight_halves(values, start + 2 * pair + 1, tokens, channel);
        const unsigned low[4] = {even.x, even.y, even.z, even.w}, high[4] = {odd.x, odd.y, odd.z, odd.w};
        unsigned* const words = reinterpret_cast<unsigned*>(tile.values);
#pragma unroll
        for (int j = 0; j < 4; ++j) {
            words[(channel + 2 * j) * (PADDED / 2) + pair] = (low[j] & 0xffffu) | high[j] << 16;
            words[(channel + 2 * j + 1) * (PADDED / 2) + pair] = low[j] >> 16 | (high[j] & 0xffff0000u);
        }
    }
    for (int i = threadIdx.x; i < TILE; i += 32 * WARPS) tile.codes[i] = position_code(start + i, columns);
}

// One lane's part of a warp's 16 queries: rows group and group + 8.
struct Queries {
    unsigned words[STRIPS][4];
    int codes[2];  // relative to the first bias kept, for a key of code 0
};

__device__ __forceinline__ Queries load_queries(const Tokens& of, int first, int tokens, int base_code, int columns) {
    const int group = threadIdx.x % 32 / 4, member = threadIdx.x % 4;
    Queries queries;
#pragma unroll
    for (int half = 0; half < 2; ++half) {
        const int token = first + group + 8 * half;
        const Half* const row = of.base + lesser(token, tokens - 1) * of.stride;  // beyond the end: not stored
        queries.codes[half] = position_code(lesser(token, tokens - 1), columns) + base_code;
#pragma unroll
        for (int strip = 0; strip < STRIPS; ++strip) {
            const unsigned* const words = reinterpret_cast<const unsigned*>(row + 16 * strip);
            queries.words[strip][half] = words[member];
            queries.words[strip][half + 2] = words[member + 4];
        }
    }
    return queries;
}

// The word of two neighbours along a row: column `block * 8 + group` of a B matrix, inner `strip * 16 + 2 * member`.
__device__ __forceinline__ const unsigned* words_of(const Half* rows, int block, int strip) {
    const int group = threadIdx.x % 32 / 4, member = threadIdx.x % 4;
    return reinterpret_cast<const unsigned*>(rows + (block * 8 + group) * PADDED + strip * 16) + member;
}

// Queries times keys, and the bias: scores[block] are keys 8 * block + 2 * member and the next, of both rows.
__device__ __forceinline__ void score(float (&scores)[BLOCKS][4], const Queries& queries, const Tile& tile,
    int keys_left, float scale) {
    const int member = threadIdx.x % 4;
#pragma unroll
    for (int block = 0; block < BLOCKS; ++block) {
        float products[4] = {};
#pragma unroll
        for (int strip = 0; strip < STRIPS; ++strip) {
            const unsigned* const words = words_of(tile.keys, block, strip);
            multiply(products, queries.words[strip], words[0], words[4]);
        }
#pragma unroll
        for (int i = 0; i < 4; ++i) {
            const int key = block * 8 + 2 * member + i % 2;
            scores[block][i] = -infinity();
            if (key < keys_left) {
                const float bias = tile.biases[queries.codes[i / 2] - tile.codes[key]];
                scores[block][i] = biased_score(products[i], scale, bias);
            }
        }
    }
}

__device__ __forceinline__ float highest_of_row(const float (&scores)[BLOCKS][4], int half) {
    float highest = -infinity();
#pragma unroll
    for (int block = 0; block < BLOCKS; ++block) {
        highest = greater(highest, greater(scores[block][2 * half], scores[block][2 * half + 1]));
    }
    highest = greater(highest, __shfl_xor_sync(ALL, highest, 1));  // a row is spread over four neighbouring lanes
    return greater(highest, __shfl_xor_sync(ALL, highest, 2));
}

// One tile into the weighted sums: sums[block] are channels 8 * block + 2 * member and the next, of both rows.
__device__ __forceinline__ void attend(float (&sums)[BLOCKS][4], OnlineSoftmax (&softmax)[2], float (&scores)[BLOCKS][4],
    const Tile& tile) {
#pragma unroll
    for (int half = 0; half < 2; ++half) {
        const float correction = softmax[half].raise(highest_of_row(scores, half));
#pragma unroll
        for (int block = 0; block < BLOCKS; ++block) {
            for (int i = 2 * half; i < 2 * half + 2; ++i) {
                sums[block][i] *= correction;
                scores[block][i] = softmax[half].weigh(scores[block][i]);
            }
        }
    }
#pragma unroll
    for (int strip = 0; strip < STRIPS; ++strip) {  // the scores lie in the registers as the product wants its A
        const float(&left)[4] = scores[2 * strip], (&right)[4] = scores[2 * strip + 1];
        const unsigned weights[4] = {half_pair(left[0], left[1]), half_pair(left[2], left[3]),
            half_pair(right[0], right[1]), half_pair(right[2], right[3])};
#pragma unroll
        for (int block = 0; block < BLOCKS; ++block) {
            const unsigned* const words = words_of(tile.values, block, strip);
            multiply(sums[block], weights, words[0], words[4]);
        }
    }
}

__device__ __forceinline__ void store(Half* out, long long stride, const float (&sums)[BLOCKS][4],
    const OnlineSoftmax (&softmax)[2], int first, int tokens) {
    const int group = threadIdx.x % 32 / 4, member = threadIdx.x % 4;
#pragma unroll
    for (int half = 0; half < 2; ++half) {
        float total = softmax[half].total;
        total += __shfl_xor_sync(ALL, total, 1);
        total += __shfl_xor_sync(ALL, total, 2);
        const int token = first + group + 8 * half;
        if (token >= tokens) continue;
        unsigned* const row = reinterpret_cast<unsigned*>(out + token * stride);
#pragma unroll
        for (int block = 0; block < BLOCKS; ++block) {
            row[block * 4 + member] = half_pair(sums[block][2 * half] / total, sums[block][2 * half + 1] / total);
        }
    }
}

}  // namespace

// query, key, value [batch, tokens, heads * 64], `stride` halves from token to token and tokens * stride from clip to
// clip, so that they may be parts of one tensor; out [batch, tokens, heads * 64]; table [(2 rows - 1)(2 columns - 1) + 3,
// heads]. The grid is (tiles of queries, heads, batch). Pointers and strides are multiples of 16 bytes.
extern "C" __global__ void __launch_bounds__(32 * WARPS) attention_f16(Half* out, const Half* query, const Half* key,
    const Half* value, const float* table, long long stride, int tokens, int columns, float scale) {
    const int heads = gridDim.y, head = blockIdx.y, start = blockIdx.x * TILE;
    const long long clip = blockIdx.z * (tokens * stride) + head * WIDTH;
    const Tile tile = tile_in_shared_memory();
    const int lowest = position_code(start, columns), last = position_code(tokens - 1, columns);
    const int kept = position_code(lesser(start + TILE, tokens) - 1, columns) - lowest + last + 1;
    for (int i = threadIdx.x; i < kept; i += 32 * WARPS) {
        tile.biases[i] = table[static_cast<long long>(lowest + i) * heads + head] * LOG2_E;
    }
    const int first = start + threadIdx.x / 32 * 16;
    const Queries queries = load_queries({query + clip, stride}, first, tokens, last - lowest, columns);
    OnlineSoftmax softmax[2];
    softmax[0].start();
    softmax[1].start();
    float sums[BLOCKS][4] = {};
    for (int from = 0; from < tokens; from += TILE) {
        __syncthreads();  // everyone is done with the tile before
        load_tile(tile, {key + clip, stride}, {value + clip, stride}, from, tokens, columns);
        __syncthreads();
        float scores[BLOCKS][4];
        score(scores, queries, tile, tokens - from, scale * LOG2_E);
        attend(sums, softmax, scores, tile);
    }
    const long long width = static_cast<long long>(heads) * WIDTH;
    store(out + blockIdx.z * (tokens * width) + head * WIDTH, width, sums, softmax, first, tokens);
}
