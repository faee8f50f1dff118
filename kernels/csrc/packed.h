// A direction's weights in the order in which the kernels read them.
#pragma once

#include "isa.h"
#include "vfeat_cpu.h"

struct Packed {
    long channels, rank;
    long columns;  // of a projected token: B, C, the time step's rank, padded to 16
    float *conv_weight_WE, *project, *dt_weight, *exponent, *steepest;
    const float *conv_bias_E, *dt_bias_E, *D_E;

    static long columns_of(long rank) { return (2 * kStates + rank + kBlock - 1) / kBlock * kBlock; }
    static long floats(long channels, long rank) {
        return channels * (kTaps + columns_of(rank) + rank + kStates + 1);
    }

    // Lay the weights out in `room`, which holds floats(channels, rank).
    void fill(const vfeat_direction& from, long channels, long rank, float* room);

    Convolution convolution(bool reverse) const {
        return {conv_weight_WE, conv_bias_E, channels, true, reverse};
    }

    // A scan of one block; `projected` are the chunk's rows.
    Scan scan(long block, bool reverse, const float* projected, long tokens) const {
        Scan s{};
        s.tokens = tokens;
        s.reverse = reverse;
        s.dt.rank_rows = projected + 2 * kStates;
        s.dt.rank_step = s.bc_step = columns;
        s.dt.rank = rank;
        s.dt.weight = dt_weight + block * rank * kBlock;
        s.dt.bias = dt_bias_E + block * kBlock;
        s.dt.softplus = true;
        s.B = projected;
        s.C = projected + kStates;
        s.exponent = exponent + block * kTile;
        s.steepest = steepest[block];
        s.skip = D_E + block * kBlock;
        return s;
    }
};
