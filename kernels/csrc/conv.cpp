// The convolution as an operation of its own, forward and backward.
#include <cstring>

#include "buffer.h"
#include "dispatch.h"
#include "pool.h"
#include "vfeat_cpu.h"

namespace {

void taps_first(const vfeat_conv& a, float* weight_WE) {
    for (long e = 0; e < a.channels; e++)
        for (long j = 0; j < kTaps; j++)
            weight_WE[j * a.channels + e] = a.weight_EW[e * kTaps + j];
}

}  // namespace

void vfeat_conv_forward(const vfeat_conv* args) {
    const vfeat_conv& a = *args;
    Buffer weight_WE(kTaps * a.channels);
    taps_first(a, weight_WE);
    const Convolution c{weight_WE, a.bias_E, a.channels, a.silu != 0, a.reverse != 0};
    const long chunks = (a.length + kChunk - 1) / kChunk;
    pool::for_each(a.threads, a.batch * chunks, [&](long task) {
        const long b = task / chunks, start = task % chunks * kChunk;
        const long tokens = a.length - start < kChunk ? a.length - start : kChunk;
        float* y = a.y_BLE + (b * a.length + start) * a.channels;
        kernels().convolve(c, {a.x + b * a.length * a.x_step, kBlock, a.x_step}, a.length, start,
                           tokens, {y, kBlock, a.channels});
    });
}

void vfeat_conv_backward(const vfeat_conv* args) {
    const vfeat_conv& a = *args;
    Buffer weight_WE(kTaps * a.channels);
    taps_first(a, weight_WE);
    const long blocks = a.channels / kBlock;
    pool::for_each(a.threads, a.batch * blocks, [&](long task) {
        const long b = task / blocks, e = task % blocks * kBlock;
        alignas(64) float grad_weight[kTaps * kBlock] = {}, grad_bias[kBlock] = {};
        ConvolutionBackward c{};
        c.forward = {weight_WE + e, a.bias_E ? a.bias_E + e : nullptr, a.channels, a.silu != 0,
                     a.reverse != 0};
        c.x = a.x + b * a.length * a.x_step + e;
        c.x_step = a.x_step;
        c.length = a.length;
        c.grad_y = a.grad_y_BLE + b * a.length * a.channels + e;
        c.grad_y_step = a.channels;
        c.grad_x = a.grad_x + b * a.length * a.grad_x_step + e;
        c.grad_x_step = a.grad_x_step;
        c.accumulate = a.accumulate != 0;
        c.grad_weight_WE = grad_weight;
        c.grad_bias_E = grad_bias;
        kernels().convolve_backward(c);
        for (long i = 0; i < kBlock; i++) {
            const long at = b * a.channels + e + i;
            for (long j = 0; j < kTaps; j++)
                a.grad_weight_BEW[at * kTaps + j] = grad_weight[j * kBlock + i];
            a.grad_bias_BE[at] = grad_bias[i];
        }
    });
}
