// Add to the residual stream and divide by the root mean square, forward and backward.
#pragma once

#include "isa.h"
#include "sums.h"
#include "vec.h"

namespace {

INLINE float lane_sum(vf v) {
    float sum = 0.0f;
    add_lane_sums<1>(&v, &sum);
    return sum;
}

INLINE float inverse_root(const float* row, long width, float epsilon) {
    vf squares = vf{};
    for (long i = 0; i < width; i += W) squares = squares + load(row + i) * load(row + i);
    return 1.0f / __builtin_sqrtf(lane_sum(squares) / (float)width + epsilon);
}

void normalise(const Norm& n, long first, long tokens) {
    for (long t = first; t < first + tokens; t++) {
        float* stream = n.stream + t * n.width;
        for (long i = 0; i < n.width; i += W) {
            vf sum = load(n.hidden + t * n.width + i);
            if (n.residual) sum = sum + load(n.residual + t * n.width + i);
            store(stream + i, sum);
        }
        const float scale = inverse_root(stream, n.width, n.epsilon);
        for (long i = 0; i < n.width; i += W)
            store(n.normed + t * n.width + i, load(stream + i) * scale * load(n.weight + i));
    }
}

// With r the inverse root: grad = grad_stream + r gy w - stream r^3 mean(gy w stream).
void normalise_backward(const Norm& n, long first, long tokens, float* grad_weight) {
    for (long i = 0; i < n.width; i += W) store(grad_weight + i, vf{});
    for (long t = first; t < first + tokens; t++) {
        const float *stream = n.stream + t * n.width, *grad_y = n.grad_normed + t * n.width;
        const float scale = inverse_root(stream, n.width, n.epsilon);
        vf dots = vf{};
        for (long i = 0; i < n.width; i += W) {
            vf s = load(stream + i), gy = load(grad_y + i);
            dots = dots + gy * load(n.weight + i) * s;
            store(grad_weight + i, load(grad_weight + i) + gy * s * scale);
        }
        const float pull = lane_sum(dots) / (float)n.width * scale * scale * scale;
        for (long i = 0; i < n.width; i += W) {
            vf grad = load(grad_y + i) * load(n.weight + i) * scale - load(stream + i) * pull;
            if (n.grad_stream) grad = grad + load(n.grad_stream + t * n.width + i);
            store(n.grad_hidden + t * n.width + i, grad);
        }
    }
}

}  // namespace
