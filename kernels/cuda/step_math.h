// One guided solver step of one latent number. The reference is kernels/step.py; with contraction to fused
// multiply-adds switched off (it is, where this is compiled) all three give the same bits.
#pragma once

#include "host_device.h"

constexpr int MOST_OLDER = 2;  // clean estimates from before the previous one

// In the order and dtype of the rows of kernels/step.py's table.
struct StepCoefficients {
    float guidance;
    float next_latent;
    float next_noise;
    float next_history[1 + MOST_OLDER];  // of the previous clean estimate, then of the older ones
    float clean_latent;
    float clean_noise;
    float clean_limit;
    float next_per_clean;  // how much the next latent moves with the clean estimate
    float known_clean;     // the level of what is known in the next latent: its own share,
    float known_noise;     // and that of the noise
};

struct Stepped {
    float latent;  // the next one
    float clean;   // this step's estimate
};

// An estimate without a weight is not read: it may be anything there.
HOST_DEVICE Stepped stepped(float latent, float conditional, float unconditional,
    const float (&history)[1 + MOST_OLDER], const StepCoefficients& c) {
    const float noise = (conditional - unconditional) * c.guidance + unconditional;
    Stepped result;
    result.latent = latent * c.next_latent + noise * c.next_noise;
    for (int i = 0; i <= MOST_OLDER; ++i) {
        if (c.next_history[i] != 0.0f) result.latent += history[i] * c.next_history[i];
    }
    result.clean = latent * c.clean_latent + noise * c.clean_noise;
    if (c.clean_limit < infinity()) {
        const float within = greater(-c.clean_limit, lesser(result.clean, c.clean_limit));
        const float excess = result.clean - within;
        result.clean -= excess;
        result.latent -= excess * c.next_per_clean;
    }
    return result;
}

// The same of a number that is known: it takes the estimate's place, and has its level in the next latent.
HOST_DEVICE Stepped held(float clean, float noise, const StepCoefficients& c) {
    Stepped result;
    result.latent = clean * c.known_clean + noise * c.known_noise;
    result.clean = clean;
    return result;
}
