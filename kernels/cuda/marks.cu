// The marks of known columns, added to the modulations of all steps where conditioning wrote them. The reference is
// kernels/marks.py.

#include "host_device.h"

// modulations [matrices, rows, width], a matrix for every step and branch; marks [columns, width], zero where a column
// is not known, added to the last rows of every matrix. A thread adds one number.
extern "C" __global__ void add_marks(float* modulations, const float* marks, int rows, int columns, int width) {
    const int at = blockIdx.x * blockDim.x + threadIdx.x;
    if (at >= columns * width) return;
    const size_t before = static_cast<size_t>(blockIdx.y) * rows + rows - columns;  // rows, of all matrices
    modulations[before * width + at] += marks[at];
}
