// Functions of each instruction set: one table, filled by isa.cpp.
//
// A block is 16 channels: one AVX-512 vector, two of AVX2, four of SSE or NEON. All channel
// counts are multiples of it; the caller pads. A chunk is at most 64 tokens, so that its
// operands stay in a core's L2 cache.
#pragma once

// Inlined always: a copy compiled for AVX-512 must not stand in for the baseline's.
#define ALWAYS_INLINE inline __attribute__((always_inline))

constexpr long kBlock = 16;   // channels of a block
constexpr long kStates = 16;  // N, states of a channel
constexpr long kTaps = 4;     // of the convolution
constexpr long kChunk = 64;   // tokens of a chunk
constexpr long kTile = kStates * kBlock;  // floats of a block's states, [state][channel]

// Address of 16 channels of a token: data + block * block_step + token * token_step.
struct View {
    const float* data;
    long block_step, token_step;
    ALWAYS_INLINE const float* at(long block, long token) const {
        return data + block * block_step + token * token_step;
    }
};

struct MutableView {
    float* data;
    long block_step, token_step;
    ALWAYS_INLINE float* at(long block, long token) const {
        return data + block * block_step + token * token_step;
    }
    ALWAYS_INLINE operator View() const { return {data, block_step, token_step}; }
};

struct Convolution {
    const float* weight_WE;
    const float* bias_E;
    long channels;  // E
    bool silu, reverse;
};

// Source of a block's time steps: given for each token, or computed from their low rank.
struct TimeStep {
    const float* delta;  // [token][channel]; null for the low rank
    long delta_step;
    const float* rank_rows;  // [token][R]
    long rank_step, rank;
    const float* weight;  // [R][channel]
    const float* bias;    // [channel]; null for none
    bool softplus;
};

// One block of 16 channels over one chunk of tokens. Tokens are stored in their natural
// order; `reverse` runs over them from the last to the first.
struct Scan {
    long tokens;
    bool reverse;
    const float* u;  // [token][channel]
    long u_step;
    float* y;  // the same; may be u itself
    long y_step;
    TimeStep dt;
    const float* B;  // [token][state]
    const float* C;
    long bc_step;
    const float* exponent;  // A / ln 2 as [state][channel]
    float steepest;         // largest |exponent|
    const float* skip;      // D, [channel]; null for none
    float* state;           // [state][channel]
};

// The same block backward; `scan.state` is the state before the chunk and is only read, and
// the time step is given for each token. Sums are added to the existing values.
struct ScanBackward {
    Scan scan;
    const float* grad_y;  // [token][channel], before the gate
    long grad_y_step;
    const float* z;  // null for no gate
    long z_step;
    float* grad_u;  // [token][channel], written, as is the next
    float* grad_delta;
    long grad_u_step;
    float* grad_z;  // written, or added to
    long grad_z_step;
    bool accumulate;
    float* grad_bc;  // [token][B, C]: a sum
    float* grad_A;   // [state][channel]: a sum
    float* grad_D;   // [channel]: a sum
    float* carry;    // [state][channel], gradient of the state: from the chunk after to before
};

// One block of 16 channels of a sequence, backward. Sums are added to the existing values.
struct ConvolutionBackward {
    Convolution forward;
    const float* x;
    long x_step, length;
    const float* grad_y;
    long grad_y_step;
    float* grad_x;
    long grad_x_step;
    bool accumulate;
    float* grad_weight_WE;  // [tap][16 channels]
    float* grad_bias_E;     // [16 channels]
};

// Rows of `width` numbers, a multiple of 16.
struct Norm {
    long width;
    float epsilon;
    const float *hidden, *residual, *weight;  // residual may be null
    float *stream, *normed;                   // stream is read by the backward pass
    const float *grad_normed, *grad_stream;   // the latter may be null
    float* grad_hidden;
};

constexpr long kBackwardRoom = 1 << 16;  // floats that scan_backward works in

struct Kernels {
    // Tokens [start, start + tokens) of a sequence of `length`; out has `tokens` rows.
    void (*convolve)(const Convolution&, View x, long length, long start, long tokens,
                     MutableView out);
    // out[token][columns] = u[token] weight[E][columns]; columns a multiple of 16.
    void (*project)(View u, long tokens, long channels, const float* weight, long columns,
                    float* out);
    void (*scan)(const Scan&);
    void (*scan_backward)(const ScanBackward&, float* room);
    void (*convolve_backward)(const ConvolutionBackward&);
    // out = y, or (out + y) SiLU(z) where z is given, or out + y; 16 channels for each block.
    void (*finish)(View y, long tokens, long blocks, const float* z, long z_step, bool add,
                   float* out, long out_step);
    void (*normalise)(const Norm&, long first, long tokens);
    // grad_weight[width] is this part's own.
    void (*normalise_backward)(const Norm&, long first, long tokens, float* grad_weight);
    // exponent[block][state][channel] = -exp(A_log) / ln 2; steepest[block].
    void (*pack_decay)(const float* A_log_EN, bool logarithmic, long channels, float* exponent,
                       float* steepest);
};
