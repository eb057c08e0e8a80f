#include "grid.h"
#include "attention.cu"

RUN_ON_HOST(attention_f16)

// rows [tokens, tokens]
extern "C" void bias_rows(int* rows, int tokens, int columns) {
    for (int query = 0; query < tokens; ++query)
        for (int key = 0; key < tokens; ++key) *rows++ = bias_row(query, key, tokens, columns);
}

// The softmax of one query over keys tile by tile, with the arithmetic that the kernel spreads over a warp.
// values [tokens, width], products and biases [tokens] -> out [width]
extern "C" void attend_tile_by_tile(float* out, const float* products, const float* biases, const float* values,
    int tokens, int width, int tile, float scale) {
    OnlineSoftmax softmax;
    softmax.start();
    std::vector<float> sums(width, 0.0f);
    for (int start = 0; start < tokens; start += tile) {
        const int end = lesser(start + tile, tokens);
        float highest = -infinity();
        std::vector<float> scores;
        for (int key = start; key < end; ++key) {
            scores.push_back(biased_score(products[key], scale * LOG2_E, biases[key] * LOG2_E));
            highest = greater(highest, scores.back());
        }
        const float correction = softmax.raise(highest);
        for (float& sum : sums) sum *= correction;
        for (int key = start; key < end; ++key) {
            const float weight = softmax.weigh(scores[key - start]);
            for (int i = 0; i < width; ++i) sums[i] += weight * values[key * width + i];
        }
    }
    for (int i = 0; i < width; ++i) out[i] = sums[i] / softmax.total;
}
