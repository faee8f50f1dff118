// The recurrence over one chunk, backward pass: its states recomputed from the one before it;
// then, from the last token to the first,
//
//     g[l]   = gy[l] C[l] + exp(dt[l+1] A) g[l+1]      gB[l] = Σ_e g[l] dt[l] u[l]
//     w[l]   = g[l] h[l-1] exp(dt[l] A)                gC[l] = Σ_e gy[l] h[l]
//     gu[l]  = dt[l] Σ_n g[l] B[l] + D gy[l]           gA    = Σ_l w[l] dt[l]
//     gdt[l] = u[l] Σ_n g[l] B[l] + Σ_n w[l] A
#pragma once

#include "isa.h"
#include "scan.h"
#include "sums.h"
#include "vec.h"

namespace {

constexpr int kBack = W == 16 ? 8 : 4;  // states at a time: their decays and states fit L1

// A block's operands and sums over a chunk; [token][channel].
struct Gradients {
    Steps steps;
    alignas(64) float slope[kChunk * kBlock];     // of the softplus
    alignas(64) float y[kChunk * kBlock];
    alignas(64) float grad_y[kChunk * kBlock];    // behind the gate
    alignas(64) float through_B[kChunk * kBlock]; // Σ_n g B
    alignas(64) float through_A[kChunk * kBlock]; // Σ_n w A
    alignas(64) float h[(kChunk + 1) * kBack * W];
    alignas(64) float decay[kChunk * kBack * W];
};

INLINE long in_time(const Scan& s, long i) { return s.reverse ? s.tokens - 1 - i : i; }

template <bool kNear>
INLINE void recompute(const ScanBackward& b, Gradients& g, long channel, long state) {
    const Scan& s = b.scan;
    vf h[kBack];
    for (int n = 0; n < kBack; n++) {
        h[n] = load(s.state + (state + n) * kBlock + channel);
        store(g.h + n * W, h[n]);
    }
    for (long i = 0; i < s.tokens; i++) {
        const long t = in_time(s, i), at = t * kBlock + channel;
        const float *B = s.B + t * s.bc_step + state, *C = s.C + t * s.bc_step + state;
        vf dt = load(g.steps.dt + at), input = load(g.steps.input + at), gy = load(g.grad_y + at);
        vf y = load(g.y + at), through_C[kBack];
#pragma GCC unroll 8
        for (int n = 0; n < kBack; n++) {
            vf e = decay<kNear>(dt, load(s.exponent + (state + n) * kBlock + channel));
            h[n] = e * h[n] + input * B[n];
            store(g.decay + (i * kBack + n) * W, e);
            store(g.h + ((i + 1) * kBack + n) * W, h[n]);
            y = y + h[n] * C[n];
            through_C[n] = gy * h[n];
        }
        store(g.y + at, y);
        add_lane_sums<kBack>(through_C, b.grad_bc + t * 2 * kStates + kStates + state);
    }
}

INLINE void run_back(const ScanBackward& b, Gradients& g, long channel, long state) {
    const Scan& s = b.scan;
    const long first = state * kBlock + channel;
    vf carry[kBack], grad_A[kBack];
    for (int n = 0; n < kBack; n++) {
        carry[n] = load(b.carry + first + n * kBlock);
        grad_A[n] = load(b.grad_A + first + n * kBlock);
    }
    for (long i = s.tokens - 1; i >= 0; i--) {
        const long t = in_time(s, i), at = t * kBlock + channel;
        const float *B = s.B + t * s.bc_step + state, *C = s.C + t * s.bc_step + state;
        vf dt = load(g.steps.dt + at), input = load(g.steps.input + at), gy = load(g.grad_y + at);
        vf through_B = load(g.through_B + at), through_A = load(g.through_A + at);
        vf to_B[kBack];
#pragma GCC unroll 8
        for (int n = 0; n < kBack; n++) {
            vf grad = carry[n] + gy * C[n];
            to_B[n] = grad * input;
            through_B = through_B + grad * B[n];
            carry[n] = grad * load(g.decay + (i * kBack + n) * W);
            vf w = carry[n] * load(g.h + (i * kBack + n) * W);
            through_A = through_A + w * load(s.exponent + first + n * kBlock);
            grad_A[n] = grad_A[n] + w * dt;
        }
        store(g.through_B + at, through_B);
        store(g.through_A + at, through_A);
        add_lane_sums<kBack>(to_B, b.grad_bc + t * 2 * kStates + state);
    }
    for (int n = 0; n < kBack; n++) {
        store(b.carry + first + n * kBlock, carry[n]);
        store(b.grad_A + first + n * kBlock, grad_A[n]);
    }
}

// The gate taken off grad_y, the skip into y, the softplus's slope; sums start at zero.
INLINE void open(const ScanBackward& b, Gradients& g) {
    const Scan& s = b.scan;
    for (long t = 0; t < s.tokens; t++)
        for (long c = 0; c < kBlock; c += W) {
            const long at = t * kBlock + c;
            vf gy = load(b.grad_y + t * b.grad_y_step + c);
            if (b.z) gy = gy * silu(load(b.z + t * b.z_step + c));
            store(g.grad_y + at, gy);
            vf slope = all(1.0f);
            if (s.dt.softplus) slope = sigmoid(load(s.dt.delta + t * s.dt.delta_step + c));
            store(g.slope + at, slope);
            vf u = load(s.u + t * s.u_step + c);
            store(g.y + at, s.skip ? load(s.skip + c) * u : vf{});
            store(g.through_A + at, vf{});
            store(g.through_B + at, vf{});
        }
}

INLINE void close(const ScanBackward& b, const Gradients& g) {
    const Scan& s = b.scan;
    for (long c = 0; c < kBlock; c += W) {
        vf skip = s.skip ? load(s.skip + c) : vf{}, grad_skip = load(b.grad_D + c);
        for (long t = 0; t < s.tokens; t++) {
            const long at = t * kBlock + c;
            vf u = load(s.u + t * s.u_step + c), gy = load(g.grad_y + at);
            vf through_B = load(g.through_B + at);
            vf through_A = load(g.through_A + at) * 6.93147181e-1f;
            store(b.grad_u + t * b.grad_u_step + c,
                  load(g.steps.dt + at) * through_B + skip * gy);
            store(b.grad_delta + t * b.grad_u_step + c,
                  load(g.slope + at) * (u * through_B + through_A));
            grad_skip = grad_skip + gy * u;
            if (!b.z) continue;
            vf z = load(b.z + t * b.z_step + c), gate = sigmoid(z);
            vf grad_z = load(b.grad_y + t * b.grad_y_step + c) * load(g.y + at) * gate *
                        (1.0f + z * (1.0f - gate));
            float* to = b.grad_z + t * b.grad_z_step + c;
            store(to, b.accumulate ? load(to) + grad_z : grad_z);
        }
        store(b.grad_D + c, grad_skip);
    }
}

void scan_backward(const ScanBackward& b, float* room) {
    static_assert(sizeof(Gradients) <= kBackwardRoom * sizeof(float), "room");
    Gradients& g = *(Gradients*)room;
    const bool near = prepare(b.scan, g.steps);
    open(b, g);
    for (long c = 0; c < kBlock; c += W)
        for (long n = 0; n < kStates; n += kBack) {
            near ? recompute<true>(b, g, c, n) : recompute<false>(b, g, c, n);
            run_back(b, g, c, n);
        }
    close(b, g);
}

}  // namespace
