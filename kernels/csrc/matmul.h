// Small products of a chunk with a weight: sums stay in registers.
#pragma once

#include "isa.h"
#include "vec.h"

namespace {

// MR tokens times NV vectors of columns: out = init + a b. Element (t, k) of a is the one of
// block k / 16; K counts elements.
template <int MR, int NV>
INLINE void product_tile(View a, long first, long K, const float* b, long b_step,
                         const float* init, float* out, long out_step) {
    vf sum[MR][NV];
    for (int n = 0; n < NV; n++) {
        vf start = init ? load(init + n * W) : vf{};
        for (int m = 0; m < MR; m++) sum[m][n] = start;
    }
    for (long k0 = 0; k0 < K; k0 += kBlock) {
        const float* rows = a.at(k0 / kBlock, first);
        long inner = K - k0 < kBlock ? K - k0 : kBlock;
        for (long k = 0; k < inner; k++, b += b_step) {
            vf column[NV];
            for (int n = 0; n < NV; n++) column[n] = load(b + n * W);
            for (int m = 0; m < MR; m++) {
                vf x = all(rows[m * a.token_step + k]);
                for (int n = 0; n < NV; n++) sum[m][n] = sum[m][n] + x * column[n];
            }
        }
    }
    for (int m = 0; m < MR; m++)
        for (int n = 0; n < NV; n++) store(out + (first + m) * out_step + n * W, sum[m][n]);
}

template <int MR, int NV>
INLINE void product_columns(View a, long tokens, long K, const float* b, long b_step,
                            const float* init, float* out, long out_step) {
    long t = 0;
    for (; t + MR <= tokens; t += MR)
        product_tile<MR, NV>(a, t, K, b, b_step, init, out, out_step);
    for (; t + 2 <= tokens; t += 2) product_tile<2, NV>(a, t, K, b, b_step, init, out, out_step);
    if (t < tokens) product_tile<1, NV>(a, t, K, b, b_step, init, out, out_step);
}

// Registers: MR x NV sums, NV columns and one element; 32 exist with W = 16, 16 otherwise.
INLINE void product(View a, long tokens, long K, const float* b, long b_step, long columns,
                    const float* init, float* out, long out_step) {
    long n = 0;
#if W == 16
    for (; columns - n == 3 * W || columns - n > 4 * W; n += 3 * W)
        product_columns<8, 3>(a, tokens, K, b + n, b_step, init ? init + n : init, out + n,
                              out_step);
    for (; columns - n >= 2 * W; n += 2 * W)
        product_columns<12, 2>(a, tokens, K, b + n, b_step, init ? init + n : init, out + n,
                               out_step);
    if (n < columns)
        product_columns<16, 1>(a, tokens, K, b + n, b_step, init ? init + n : init, out + n,
                               out_step);
#else
    for (; n < columns; n += 2 * W)
        product_columns<6, 2>(a, tokens, K, b + n, b_step, init ? init + n : init, out + n,
                              out_step);
#endif
}

}  // namespace
