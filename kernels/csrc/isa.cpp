// Compiled once for each instruction set, with -DISA=name -DW=floats of a vector.
#include "isa.h"

#include "conv.h"
#include "conv_backward.h"
#include "matmul.h"
#include "norm.h"
#include "scan.h"
#include "scan_backward.h"

#define JOIN_(a, b) a##b
#define JOIN(a, b) JOIN_(a, b)

static void project(View u, long tokens, long channels, const float* weight, long columns,
                    float* out) {
    product(u, tokens, channels, weight, columns, columns, nullptr, out, columns);
}

extern const Kernels JOIN(kernels_, ISA);
const Kernels JOIN(kernels_, ISA) = {
    convolve, project, scan, scan_backward, convolve_backward, finish,
    normalise, normalise_backward, pack_decay};
