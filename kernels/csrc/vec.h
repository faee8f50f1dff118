// Vectors of W floats by the compiler's vector extensions, and the functions of one variable
// that the scan needs. W and OPAQUE_REGISTER come from the command line, once for each
// instruction set; no intrinsics, so that ARM follows from the same source.
//
// Only freestanding headers here and in what includes this file: an inline function of the
// standard library compiled for AVX-512 could replace the baseline's copy at link time.
#pragma once

#include <cstdint>

#include "isa.h"

#define INLINE static ALWAYS_INLINE

namespace {

typedef float vf __attribute__((vector_size(4 * W)));
typedef int32_t vi __attribute__((vector_size(4 * W)));
typedef float vf_anywhere __attribute__((vector_size(4 * W), aligned(4), may_alias));

INLINE vf load(const float* p) { return *(const vf_anywhere*)p; }
INLINE void store(float* p, vf v) { *(vf_anywhere*)p = v; }
INLINE vf all(float x) { return x - vf{}; }  // 0 + x would change -0, and cost an addition

// The product is rounded before it is used: without this the compiler may fuse it in one
// place and not in another, and the two paths of `decay` would differ in the last bit.
INLINE vf rounded(vf x) {
    asm("" : "+" OPAQUE_REGISTER(x));
    return x;
}

// 2^x for |x| < 125, relative error 1.5e-7. Adding 1.5 * 2^23 rounds x to an integer, whose
// low bits then move into the exponent. Minimax on [-1/2, 1/2], exactly 1 at 0.
INLINE vf exp2_near(vf x) {
    const float magic = 12582912.0f;
    vf shifted = x + magic;
    vf f = x - (shifted - magic);
    vf p = f * 1.32647288e-3f + 9.67151285e-3f;
    p = p * f + 5.55073374e-2f;
    p = p * f + 2.40222421e-1f;
    p = p * f + 6.93146978e-1f;
    p = p * f + 1.0f;
    return (vf)((vi)p + ((vi)shifted << 23));
}

// The same bits, for any x: 0 below 2^-125, infinity, NaN.
INLINE vf exp2_any(vf x) {
    vf e = exp2_near(x);
    e = x < -125.0f ? vf{} : e;
    e = x >= 128.0f ? all(__builtin_inff()) : e;
    return x == x ? e : x;
}

// e^x for any x, relative error 2e-7 at any size: the argument is reduced by ln 2 in two
// parts, which exp2(x / ln 2) would not do. 0 below the normal numbers.
INLINE vf exp_any(vf x) {
    const float magic = 12582912.0f;
    vf shifted = x * 1.44269504f + magic;
    vf n = shifted - magic;
    vf f = x - n * 0.693359375f;
    f = f + n * 2.12194440e-4f;
    vf p = f * 1.38436440e-3f + 8.37416335e-3f;
    p = p * f + 4.16680026e-2f;
    p = p * f + 1.66664312e-1f;
    p = p * f + 4.99999942e-1f;
    p = p * f + 1.0f;
    p = p * f + 1.0f;
    vf e = (vf)((vi)p + ((vi)shifted << 23));
    e = x < -86.5f ? vf{} : e;
    e = x > 88.7f ? all(__builtin_inff()) : e;
    return x == x ? e : x;
}

INLINE vf sigmoid(vf x) { return 1.0f / (1.0f + exp_any(-x)); }
INLINE vf silu(vf x) { return x / (1.0f + exp_any(-x)); }

INLINE vf magnitude(vf x) { return (vf)((vi)x & 0x7fffffff); }

// log(1 + e^x) = max(x, 0) + log1p(e^-|x|), relative error 3e-7 at any size. The logarithm is
// e P(e) with P minimax on [0, 1]. The comparison lets NaN through.
INLINE vf softplus(vf x) {
    vf e = exp_any(-magnitude(x));
    vf p = e * 5.23269001e-3f - 2.95052198e-2f;
    p = p * e + 7.82259174e-2f;
    p = p * e - 1.36632425e-1f;
    p = p * e + 1.91060050e-1f;
    p = p * e - 2.48429817e-1f;
    p = p * e + 3.33190967e-1f;
    p = p * e - 4.99994931e-1f;
    p = p * e + 9.99999970e-1f;
    return (x < 0.0f ? vf{} : x) + p * e;
}

}  // namespace
