#include "grid.h"
#include "step.cu"

RUN_ON_HOST(guided_step)
