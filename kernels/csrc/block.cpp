// Everything between in_proj and out_proj, forward: who does which part.
//
// Whole rounds of the batch: a thread takes one sequence and goes through it chunk by chunk,
// once in each direction; a chunk's operands stay in its L2 cache and nothing but y is written.
// What is left of the batch, or a batch smaller than the threads: first all chunks are
// convolved and projected, then blocks of channels are scanned, both shared out. The
// convolved tokens of these sequences alone are kept for that.
#include <cstring>

#include "buffer.h"
#include "dispatch.h"
#include "packed.h"
#include "pool.h"

namespace {

struct Call {
    const vfeat_block& a;
    Packed weights[2];
    long blocks, chunks, columns;

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

    // Forward comes first; backward adds to it and gates.
    void finish(long b, long d, long chunk, long block, long count, View y) const {
        long token = b * a.length + chunk * kChunk, e = block * kBlock;
        const float* z = a.xz_BL2E + token * 2 * a.channels + a.channels + e;
        kernels().finish(y, tokens(chunk), count, d ? z : nullptr, 2 * a.channels, d,
                         a.y_BLE + token * a.channels + e, a.channels);
    }

    void whole_sequence(long b) const {
        const long u_floats = kChunk * a.channels, state_floats = blocks * kTile;
        float* u = pool::scratch(u_floats + kChunk * columns + state_floats);
        float *projected = u + u_floats, *state = projected + kChunk * columns;
        const MutableView view{u, kChunk * kBlock, kBlock};
        for (long d = 0; d < 2; d++) {
            std::memset(state, 0, state_floats * sizeof(float));
            for (long i = 0; i < chunks; i++) {
                const long c = chunk(i, d);
                prepare(b, d, c, view, projected);
                for (long k = 0; k < blocks; k++)
                    scan(b, d, c, k, view.at(k, 0), projected, state + k * kTile);
                finish(b, d, c, 0, blocks, view);
            }
        }
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
                    finish(first + b, d, c, block, 1, {own, 0, kBlock});
                }
            }
        });
    }
};

}  // namespace

void vfeat_block_forward(const vfeat_block* args) {
    const vfeat_block& a = *args;
    Call call{a, {}, a.channels / kBlock, (a.length + kChunk - 1) / kChunk,
              Packed::columns_of(a.rank)};
    const long floats = Packed::floats(a.channels, a.rank);
    const Buffer room(2 * floats);
    pool::for_each(a.threads, 2, [&](long d) {
        call.weights[d].fill(a.direction[d], a.channels, a.rank, room + d * floats);
    });
    const long rest = a.batch % a.threads, whole = a.batch - rest;
    pool::for_each(a.threads, whole, [&](long b) { call.whole_sequence(b); });
    if (rest) call.shared_out(whole, rest);
}
