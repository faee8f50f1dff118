// Everything between in_proj and out_proj, forward: how threads share the work.
//
// Whole rounds of the batch: a thread takes one direction of a sequence and goes through it
// chunk by chunk; a chunk's operands stay in its L2 cache and nothing but y is written.
// What is left, fewer directions than threads: first all chunks are convolved and projected,
// then blocks of channels are scanned, both shared out. Their convolved tokens are kept for
// that, which costs more the longer they are: 1.6 times at 12545 tokens, 1.06 at 1569.
#include <atomic>
#include <cstdlib>
#include <cstring>
#include <memory>

#include "buffer.h"
#include "dispatch.h"
#include "packed.h"
#include "pool.h"

namespace {

// Markers in a chunk's slot, besides null and a copy of y.
float marks[2];
float *const kWriting = &marks[0], *const kWritten = &marks[1];

struct Call {
    const vfeat_block& a;
    Packed weights[2];
    long blocks, chunks, columns;
    std::atomic<float*>* met;  // of each chunk: null, one of the two below, or a copy of y

    long tokens(long chunk) const {
        long left = a.length - chunk * kChunk;
        return left < kChunk ? left : kChunk;
    }
    View x(long b) const {
        return {a.xz_BL2E + b * a.length * 2 * a.channels, kBlock, 2 * a.channels};
    }
    // The i-th chunk that direction d comes to.
    long chunk(long i, long d) const { return d ? chunks - 1 - i : i; }
    float* kept(long b, long d, long chunk) const {
        return a.states + ((d * a.batch + b) * chunks + chunk) * blocks * kTile;
    }

    void prepare(long b, long d, long chunk, MutableView u, float* projected) const {
        const Kernels& k = kernels();
        k.convolve(weights[d].convolution(d), x(b), a.length, chunk * kChunk, tokens(chunk), u);
        k.project(u, tokens(chunk), a.channels, weights[d].project, columns, projected);
    }

    // y takes the place of u.
    void scan(long b, long d, long chunk, long block, float* u, const float* projected,
              float* state) const {
        if (a.states)
            std::memcpy(kept(b, d, chunk) + block * kTile, state, kTile * sizeof(float));
        Scan s = weights[d].scan(block, d, projected, tokens(chunk));
        s.u = s.y = u;
        s.u_step = s.y_step = kBlock;
        s.state = state;
        kernels().scan(s);
    }

    // Write y, or add it to what is there and gate.
    void finish(long b, long chunk, long block, long count, View y, bool second) const {
        const long token = b * a.length + chunk * kChunk, e = block * kBlock;
        const float* z = a.xz_BL2E + token * 2 * a.channels + a.channels + e;
        kernels().finish(y, tokens(chunk), count, second ? z : nullptr, 2 * a.channels, second,
                         a.y_BLE + token * a.channels + e, a.channels);
    }

    void one_direction(long b, long d) const {
        const long u_floats = kChunk * a.channels, state_floats = blocks * kTile;
        float* u = pool::scratch(u_floats + kChunk * columns + state_floats);
        float *projected = u + u_floats, *state = projected + kChunk * columns;
        const MutableView view{u, kChunk * kBlock, kBlock};
        std::memset(state, 0, state_floats * sizeof(float));
        for (long i = 0; i < chunks; i++) {
            const long c = chunk(i, d);
            prepare(b, d, c, view, projected);
            for (long k = 0; k < blocks; k++)
                scan(b, d, c, k, view.at(k, 0), projected, state + k * kTile);
            meet(b, c, view);
        }
    }

    // The first direction to reach a chunk writes y, the second adds its own and gates.
    // Neither waits: one that finds the other still writing leaves a copy of its y, which
    // the other then adds.
    void meet(long b, long chunk, MutableView y) const {
        std::atomic<float*>& slot = met[b * chunks + chunk];
        float* found = nullptr;
        if (slot.compare_exchange_strong(found, kWriting)) {
            finish(b, chunk, 0, blocks, y, false);
            found = kWriting;
            if (slot.compare_exchange_strong(found, kWritten)) return;
            finish(b, chunk, 0, blocks, {found, kChunk * kBlock, kBlock}, true);
            std::free(found);
            return;
        }
        if (found == kWriting) {
            const long bytes = kChunk * a.channels * sizeof(float);
            float* copy = static_cast<float*>(std::aligned_alloc(64, bytes));
            if (!copy) std::abort();
            std::memcpy(copy, y.data, bytes);
            if (slot.compare_exchange_strong(found, copy)) return;
            std::free(copy);
        }
        finish(b, chunk, 0, blocks, y, true);
    }

    // Sequences [first, first + count): all their chunks, then all their blocks of channels.
    void shared_out(long first, long count) const {
        const long u_chunk = kChunk * a.channels, row_chunk = kChunk * columns;
        const long all = count * 2 * chunks;
        const Buffer u(all * u_chunk), projected(all * row_chunk);
        pool::for_each(a.threads, all, [&](long i) {
            const long c = i % chunks, d = i / chunks % 2, b = first + i / chunks / 2;
            prepare(b, d, c, {u + i * u_chunk, kChunk * kBlock, kBlock}, projected + i * row_chunk);
        });
        pool::for_each(a.threads, count * blocks, [&](long task) {
            const long block = task % blocks, b = task / blocks;
            alignas(64) float state[kTile];
            for (long d = 0; d < 2; d++) {
                std::memset(state, 0, sizeof state);
                for (long i = 0; i < chunks; i++) {
                    const long c = chunk(i, d), at = (b * 2 + d) * chunks + c;
                    float* own = u + at * u_chunk + block * kChunk * kBlock;
                    scan(first + b, d, c, block, own, projected + at * row_chunk, state);
                    finish(first + b, c, block, 1, {own, 0, kBlock}, d);
                }
            }
        });
    }
};

}  // namespace

void vfeat_block_forward(const vfeat_block* args) {
    const vfeat_block& a = *args;
    Call call{a, {}, a.channels / kBlock, (a.length + kChunk - 1) / kChunk,
              Packed::columns_of(a.rank), nullptr};
    const long floats = Packed::floats(a.channels, a.rank);
    const Buffer room(2 * floats);
    pool::for_each(a.threads, 2, [&](long d) {
        call.weights[d].fill(a.direction[d], a.channels, a.rank, room + d * floats);
    });
    const long whole = 2 * a.batch / a.threads * a.threads / 2;
    const std::unique_ptr<std::atomic<float*>[]> met(
        new std::atomic<float*>[whole * call.chunks]());
    call.met = met.get();
    pool::for_each(a.threads, 2 * whole, [&](long i) { call.one_direction(i / 2, i % 2); });
    if (whole < a.batch) call.shared_out(whole, a.batch - whole);
}
