// The library's interface: plain C, pointers to float32 data, no torch.
//
// Every array is contiguous unless a step is named; channels E are a multiple of 16, states
// are 16, taps 4. B sequences of L tokens. kernels/cpu_library.py mirrors these structs.
#pragma once

#ifdef __cplusplus
extern "C" {
#endif

#define VFEAT_EXPORT __attribute__((visibility("default")))

// One direction's weights, as torch has them.
typedef struct {
    const float *conv_weight_EW, *conv_bias_E;  // bias may be null
    const float *x_proj;                        // (R + 32, E): time step, B, C
    const float *dt_weight_ER, *dt_bias_E;
    const float *A_log_EN, *D_E;
} vfeat_direction;

typedef struct {
    long batch, length, channels, rank, threads;
    const float* xz_BL2E;
    vfeat_direction direction[2];  // forward, backward
    float* y_BLE;
    float* states;  // null, or (2, B, chunks, E/16, 16 states, 16 channels): before each chunk
} vfeat_block;

typedef struct {
    long batch, length, channels, threads;
    long x_step;  // floats from a token to the next; a sequence is length * x_step
    int silu, reverse;
    const float *x, *weight_EW, *bias_E;
    float* y_BLE;
    // Backward only: grad_x is written, or added to where `accumulate`; the rest by sequence.
    const float* grad_y_BLE;
    int accumulate;
    long grad_x_step;
    float *grad_x, *grad_weight_BEW, *grad_bias_BE;
} vfeat_conv;

typedef struct {
    long batch, length, channels, threads;
    int softplus, reverse;
    const float *u_BLE, *delta_BLE;
    const float *A_EN;
    int logarithmic;          // A_EN holds log(-A)
    const float *B, *C;       // [sequence][token][16]
    long bc_step;             // floats from a token to the next; a sequence is length * bc_step
    const float *D_E;         // may be null
    const float *z;           // may be null
    long z_step;
    float* y_BLE;
    float* states;            // as in vfeat_block, one direction; may be null
    float* last_BEN;
    // Backward only. Gradients by sequence; grad_bc by group of 64 channels.
    const float *grad_y_BLE, *grad_last_BEN;
    int accumulate;           // add to grad_z
    float *grad_u_BLE, *grad_delta_BLE, *grad_z;
    long grad_z_step;
    float* grad_bc;           // (groups, B, L, 32)
    float *grad_A_BEN, *grad_D_BE;
} vfeat_scan;

typedef struct {
    long tokens, width, threads;  // width is a multiple of 16
    float epsilon;
    const float *hidden, *residual, *weight;  // residual may be null
    float *stream, *normed;
    // Backward only, `stream` given: grad_stream may be null, grad_weight is (parts, width).
    const float *grad_normed, *grad_stream;
    float *grad_hidden, *grad_weight;
} vfeat_norm;

// Which set runs: "avx512", "avx2", "neon", "baseline". `vfeat_use_isa` returns 0 when this
// machine or this library has none of that name.
VFEAT_EXPORT const char* vfeat_isa(void);
VFEAT_EXPORT int vfeat_use_isa(const char* name);
VFEAT_EXPORT const char* vfeat_source(void);  // digest of the sources it was built from
VFEAT_EXPORT long vfeat_chunk(void);          // tokens of a chunk

VFEAT_EXPORT void vfeat_block_forward(const vfeat_block*);
VFEAT_EXPORT void vfeat_conv_forward(const vfeat_conv*);
VFEAT_EXPORT void vfeat_conv_backward(const vfeat_conv*);
VFEAT_EXPORT void vfeat_scan_forward(const vfeat_scan*);
VFEAT_EXPORT void vfeat_scan_backward(const vfeat_scan*);
VFEAT_EXPORT void vfeat_norm_forward(const vfeat_norm*);
VFEAT_EXPORT void vfeat_norm_backward(const vfeat_norm*);
VFEAT_EXPORT long vfeat_norm_parts(long tokens);

#ifdef __cplusplus
}
#endif
