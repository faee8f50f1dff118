// Add and RMSNorm as an operation, forward and backward.
#include "dispatch.h"
#include "pool.h"
#include "vfeat_cpu.h"

namespace {

constexpr long kRows = 128;  // tokens of a task; fixed, so that sums have one order

template <class Rows>
void share_out(const vfeat_norm& a, Rows rows) {
    pool::for_each(a.threads, vfeat_norm_parts(a.tokens), [&](long part) {
        const long first = part * kRows, left = a.tokens - first;
        rows(part, first, left < kRows ? left : kRows);
    });
}

Norm as_norm(const vfeat_norm& a) {
    return {a.width, a.epsilon, a.hidden, a.residual, a.weight, a.stream, a.normed,
            a.grad_normed, a.grad_stream, a.grad_hidden};
}

}  // namespace

long vfeat_norm_parts(long tokens) { return (tokens + kRows - 1) / kRows; }

void vfeat_norm_forward(const vfeat_norm* args) {
    const Norm norm = as_norm(*args);
    share_out(*args, [&](long, long first, long tokens) {
        kernels().normalise(norm, first, tokens);
    });
}

void vfeat_norm_backward(const vfeat_norm* args) {
    const Norm norm = as_norm(*args);
    share_out(*args, [&](long part, long first, long tokens) {
        kernels().normalise_backward(norm, first, tokens, args->grad_weight + part * args->width);
    });
}
