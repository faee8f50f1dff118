#include "packed.h"

#include "dispatch.h"

void Packed::fill(const vfeat_direction& from, long channels_, long rank_, float* room) {
    channels = channels_;
    rank = rank_;
    columns = columns_of(rank);
    const auto take = [&](long floats) { return room += floats, room - floats; };
    exponent = take(channels * kStates);
    project = take(channels * columns);
    conv_weight_WE = take(channels * kTaps);
    dt_weight = take(channels * rank);
    steepest = take(channels);
    conv_bias_E = from.conv_bias_E;
    dt_bias_E = from.dt_bias_E;
    D_E = from.D_E;

    for (long e = 0; e < channels; e++) {
        for (long j = 0; j < kTaps; j++)
            conv_weight_WE[j * channels + e] = from.conv_weight_EW[e * kTaps + j];
        float* row = project + e * columns;
        for (long n = 0; n < 2 * kStates; n++) row[n] = from.x_proj[(rank + n) * channels + e];
        for (long r = 0; r < rank; r++) row[2 * kStates + r] = from.x_proj[r * channels + e];
        for (long c = 2 * kStates + rank; c < columns; c++) row[c] = 0.0f;
        float* block = dt_weight + e / kBlock * rank * kBlock + e % kBlock;
        for (long r = 0; r < rank; r++) block[r * kBlock] = from.dt_weight_ER[e * rank + r];
    }
    kernels().pack_decay(from.A_log_EN, true, channels, exponent, steepest);
}
