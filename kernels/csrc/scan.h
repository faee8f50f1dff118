// The recurrence over one chunk, forward pass.
//
//     h[l] = exp(dt[l] A) h[l-1] + dt[l] u[l] B[l]        y[l] = C[l]·h[l] + D u[l]
//
// Channels lie across a vector, states in registers: kGroup of the 16 at a time.
#pragma once

#include "isa.h"
#include "matmul.h"
#include "vec.h"

namespace {

#if W == 16
constexpr int kGroup = 16;
#else
constexpr int kGroup = 4;
#endif

// A block's time steps over a chunk, and their products with the input; [token][channel].
struct Steps {
    alignas(64) float dt[kChunk * kBlock];
    alignas(64) float input[kChunk * kBlock];
};

// delta[token][channel], before the softplus; points at `room` or at the given one.
INLINE View block_delta(const TimeStep& s, long tokens, float* room) {
    if (s.delta) return {s.delta, 0, s.delta_step};
    product({s.rank_rows, kBlock, s.rank_step}, tokens, s.rank, s.weight, kBlock, kBlock, s.bias,
            room, kBlock);
    return {room, 0, kBlock};
}

// Fill `steps`; true when every exponent is within the range of exp2_near.
INLINE bool prepare(const Scan& s, Steps& steps) {
    View delta = block_delta(s.dt, s.tokens, steps.dt);
    vf largest = vf{};
    for (long t = 0; t < s.tokens; t++) {
        for (long c = 0; c < kBlock; c += W) {
            vf dt = load(delta.at(0, t) + c);
            if (s.dt.delta && s.dt.bias) dt = dt + load(s.dt.bias + c);
            if (s.dt.softplus) dt = softplus(dt);
            store(steps.dt + t * kBlock + c, dt);
            store(steps.input + t * kBlock + c, dt * load(s.u + t * s.u_step + c));
            vf size = magnitude(dt);
            largest = size > largest ? size : largest;
        }
    }
    bool near = true;
    for (int i = 0; i < W; i++) near &= largest[i] * s.steepest < 125.0f;
    return near;
}

template <bool kNear>
INLINE vf decay(vf dt, vf exponent) {
    vf x = rounded(dt * exponent);
    return kNear ? exp2_near(x) : exp2_any(x);
}

// kGroup states of one vector of channels, from `state` on; their part of y is added.
template <bool kNear>
INLINE void scan_group(const Scan& s, const Steps& steps, long channel, long state) {
    const float* exponent = s.exponent + state * kBlock + channel;
    float* kept = s.state + state * kBlock + channel;
    vf h[kGroup];
#pragma GCC unroll 16
    for (int n = 0; n < kGroup; n++) h[n] = load(kept + n * kBlock);
    for (long i = 0; i < s.tokens; i++) {
        const long t = s.reverse ? s.tokens - 1 - i : i;
        const float *B = s.B + t * s.bc_step + state, *C = s.C + t * s.bc_step + state;
        vf dt = load(steps.dt + t * kBlock + channel);
        vf input = load(steps.input + t * kBlock + channel);
        vf even = load(s.y + t * s.y_step + channel), odd = vf{};
#pragma GCC unroll 16
        for (int n = 0; n < kGroup; n++) {
            vf e = decay<kNear>(dt, load(exponent + n * kBlock));
            h[n] = e * h[n] + input * B[n];
            if (n % 2)
                odd = odd + h[n] * C[n];
            else
                even = even + h[n] * C[n];
        }
        store(s.y + t * s.y_step + channel, even + odd);
    }
#pragma GCC unroll 16
    for (int n = 0; n < kGroup; n++) store(kept + n * kBlock, h[n]);
}

void scan(const Scan& s) {
    Steps steps;
    const bool near = prepare(s, steps);
    for (long t = 0; t < s.tokens; t++)
        for (long c = 0; c < kBlock; c += W) {
            vf u = load(s.u + t * s.u_step + c);
            store(s.y + t * s.y_step + c, s.skip ? load(s.skip + c) * u : vf{});
        }
    for (long c = 0; c < kBlock; c += W)
        for (long n = 0; n < kStates; n += kGroup)
            near ? scan_group<true>(s, steps, c, n) : scan_group<false>(s, steps, c, n);
}

void finish(View y, long tokens, long blocks, const float* z, long z_step, bool add, float* out,
            long out_step) {
    for (long t = 0; t < tokens; t++)
        for (long e = 0; e < blocks * kBlock; e += W) {
            float* to = out + t * out_step + e;
            vf sum = load(y.at(e / kBlock, t) + e % kBlock);
            if (add) sum = load(to) + sum;
            store(to, z ? sum * silu(load(z + t * z_step + e)) : sum);
        }
}

// A slope that is NaN or infinite makes `steepest` infinite, and so every chunk far.
void pack_decay(const float* A_EN, bool logarithmic, long channels, float* exponent,
                float* steepest) {
    for (long block = 0; block < channels / kBlock; block++, exponent += kTile) {
        vf largest = vf{};
        for (long n = 0; n < kStates; n++)
            for (long c = 0; c < kBlock; c += W) {
                vf a;
                for (int i = 0; i < W; i++)
                    a[i] = A_EN[(block * kBlock + c + i) * kStates + n];
                if (logarithmic) a = -exp_any(a);
                a = a * 1.44269504f;
                store(exponent + n * kBlock + c, a);
                vf size = a == a ? magnitude(a) : all(__builtin_inff());
                largest = size > largest ? size : largest;
            }
        steepest[block] = 0.0f;
        for (int i = 0; i < W; i++)
            if (largest[i] > steepest[block]) steepest[block] = largest[i];
    }
}

}  // namespace
