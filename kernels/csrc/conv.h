// The depthwise convolution of four taps, with SiLU; in reverse its taps are on later tokens.
#pragma once

#include "isa.h"
#include "vec.h"

namespace {

constexpr long kRun = 8;  // tokens of which one vector of channels is done before the next

INLINE vf token_or_zero(const float* x, long step, long token, long length) {
    return token >= 0 && token < length ? load(x + token * step) : vf{};
}

// Taps run from the farthest token to the current one in both directions, so that the reverse
// convolution is bit for bit the forward one of flipped tokens.
template <bool kReverse>
INLINE void convolve_run(const Convolution& c, const float* x, long step, long length,
                         long start, long tokens, long channel, float* out, long out_step) {
    vf weight[kTaps], window[kTaps];
    for (int j = 0; j < kTaps; j++) weight[j] = load(c.weight_WE + j * c.channels + channel);
    vf bias = c.bias_E ? load(c.bias_E + channel) : vf{};
    const long sign = kReverse ? -1 : 1, first = kReverse ? start + tokens - 1 : start;
    for (int j = 1; j < kTaps; j++)
        window[j] = token_or_zero(x, step, first + sign * (j - kTaps), length);
    for (long i = 0; i < tokens; i++) {
        for (int j = 1; j < kTaps; j++) window[j - 1] = window[j];
        window[kTaps - 1] = load(x + (first + sign * i) * step);
        vf sum = bias;
        for (int j = 0; j < kTaps; j++) sum = sum + weight[j] * window[j];
        store(out + (first + sign * i - start) * out_step, c.silu ? silu(sum) : sum);
    }
}

void convolve(const Convolution& c, View x, long length, long start, long tokens,
              MutableView out) {
    for (long t = 0; t < tokens; t += kRun) {
        long run = tokens - t < kRun ? tokens - t : kRun;
        for (long e = 0; e < c.channels; e += W) {
            const float* from = x.at(e / kBlock, 0) + e % kBlock;
            float* to = out.at(e / kBlock, t) + e % kBlock;
            if (c.reverse)
                convolve_run<true>(c, from, x.token_step, length, start + t, run, e, to,
                                   out.token_step);
            else
                convolve_run<false>(c, from, x.token_step, length, start + t, run, e, to,
                                    out.token_step);
        }
    }
}

}  // namespace
