#include "grid.h"
#include "marks.cu"

RUN_ON_HOST(add_marks)
