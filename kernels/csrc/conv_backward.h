// The convolution backward: from the last token in its direction back to the first.
#pragma once

#include "conv.h"
#include "isa.h"
#include "vec.h"

namespace {

INLINE vf silu_slope(vf x) {
    vf s = sigmoid(x);
    return s * (1.0f + x * (1.0f - s));
}

// grad_x[i] gathers weight[j] of grad[i + 3 - j], where grad is behind the SiLU; token i
// counts in the direction of the convolution.
void convolve_backward(const ConvolutionBackward& b) {
    const Convolution& c = b.forward;
    for (long e = 0; e < kBlock; e += W) {
        const auto at = [&](long i) { return c.reverse ? b.length - 1 - i : i; };
        const auto x_at = [&](long i) {
            return i >= 0 ? load(b.x + at(i) * b.x_step + e) : vf{};
        };
        vf weight[kTaps], x[kTaps], grad[kTaps] = {}, grad_weight[kTaps];
        for (int j = 0; j < kTaps; j++) {
            weight[j] = load(c.weight_WE + j * c.channels + e);
            grad_weight[j] = load(b.grad_weight_WE + j * kBlock + e);
            x[j] = x_at(b.length + j - kTaps);
        }
        vf bias = c.bias_E ? load(c.bias_E + e) : vf{}, grad_bias = load(b.grad_bias_E + e);
        for (long i = b.length - 1; i >= 0; i--) {
            vf own = load(b.grad_y + at(i) * b.grad_y_step + e);
            if (c.silu) {
                vf sum = bias;
                for (int j = 0; j < kTaps; j++) sum = sum + weight[j] * x[j];
                own = own * silu_slope(sum);
            }
            // grad[j] is that of token i + 3 - j.
            for (int j = 0; j + 1 < kTaps; j++) grad[j] = grad[j + 1];
            grad[kTaps - 1] = own;
            grad_bias = grad_bias + own;
            vf grad_x = vf{};
            for (int j = 0; j < kTaps; j++) {
                grad_weight[j] = grad_weight[j] + own * x[j];
                grad_x = grad_x + weight[j] * grad[j];
            }
            float* to = b.grad_x + at(i) * b.grad_x_step + e;
            store(to, b.accumulate ? load(to) + grad_x : grad_x);
            for (int j = kTaps - 1; j > 0; j--) x[j] = x[j - 1];
            x[0] = x_at(i - kTaps);
        }
        for (int j = 0; j < kTaps; j++) store(b.grad_weight_WE + j * kBlock + e, grad_weight[j]);
        store(b.grad_bias_E + e, grad_bias);
    }
}

}  // namespace
