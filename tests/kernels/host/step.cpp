#include "grid.h"
#include "step.cu"

RUN_ON_HOST(guided_step_f32)
RUN_ON_HOST(guided_step_f16)

extern "C" float widened(Half bits) { return float_of(bits); }
extern "C" Half narrowed(float number) { return half_of(number); }
