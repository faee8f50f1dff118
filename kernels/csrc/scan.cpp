// The selective scan as an operation of its own, with given time steps; forward and backward.
//
// A task is a group of at most 64 channels of one sequence, whatever the number of threads,
// so that sums over channels add up in the same order everywhere.
#include <cstring>

#include "buffer.h"
#include "dispatch.h"
#include "pool.h"
#include "vfeat_cpu.h"

namespace {

constexpr long kGroupBlocks = 4;

struct Call {
    const vfeat_scan& a;
    const float *exponent, *steepest;
    long blocks = a.channels / kBlock, chunks = (a.length + kChunk - 1) / kChunk;
    long groups = (blocks + kGroupBlocks - 1) / kGroupBlocks;

    // Index of the i-th chunk in the direction of the recurrence.
    long chunk(long i) const { return a.reverse ? chunks - 1 - i : i; }
    float* kept(long b, long chunk, long block) const {
        return a.states + ((b * chunks + chunk) * blocks + block) * kTile;
    }
    long last_block(long group) const {
        return group + 1 < groups ? (group + 1) * kGroupBlocks : blocks;
    }

    Scan scan(long b, long chunk, long block) const {
        const long start = b * a.length + chunk * kChunk, left = a.length - chunk * kChunk;
        const long at = start * a.channels + block * kBlock;
        Scan s{};
        s.tokens = left < kChunk ? left : kChunk;
        s.reverse = a.reverse != 0;
        s.u = a.u_BLE + at;
        s.dt.delta = a.delta_BLE + at;
        s.dt.softplus = a.softplus != 0;
        s.B = a.B + start * a.bc_step;
        s.C = a.C + start * a.bc_step;
        s.u_step = s.dt.delta_step = a.channels;
        s.bc_step = a.bc_step;
        s.exponent = exponent + block * kTile;
        s.steepest = steepest[block];
        s.skip = a.D_E ? a.D_E + block * kBlock : nullptr;
        return s;
    }

    void forward(long b, long group) const {
        alignas(64) float state[kGroupBlocks * kTile] = {}, y[kChunk * kBlock];
        const long first = group * kGroupBlocks;
        for (long i = 0; i < chunks; i++)
            for (long block = first; block < last_block(group); block++) {
                Scan s = scan(b, chunk(i), block);
                s.state = state + (block - first) * kTile;
                if (a.states)
                    std::memcpy(kept(b, chunk(i), block), s.state, kTile * sizeof(float));
                s.y = y;
                s.y_step = kBlock;
                kernels().scan(s);
                const long token = b * a.length + chunk(i) * kChunk, e = block * kBlock;
                kernels().finish({y, 0, kBlock}, s.tokens, 1,
                                 a.z ? a.z + token * a.z_step + e : nullptr, a.z_step, false,
                                 a.y_BLE + token * a.channels + e, a.channels);
            }
        for (long block = first; block < last_block(group); block++)
            transpose(state + (block - first) * kTile, a.last_BEN, b, block);
    }

    void backward(long b, long group, float* room) const {
        alignas(64) float carry[kGroupBlocks * kTile] = {};
        alignas(64) float grad_A[kGroupBlocks * kTile] = {}, grad_D[kGroupBlocks * kBlock] = {};
        const long first = group * kGroupBlocks;
        if (a.grad_last_BEN)
            for (long block = first; block < last_block(group); block++)
                read(a.grad_last_BEN, b, block, carry + (block - first) * kTile);
        for (long i = chunks - 1; i >= 0; i--) {
            const long token = b * a.length + chunk(i) * kChunk;
            float* bc = a.grad_bc + (group * a.batch * a.length + token) * 2 * kStates;
            for (long block = first; block < last_block(group); block++) {
                const long e = block * kBlock, at = token * a.channels + e;
                ScanBackward s{};
                s.scan = scan(b, chunk(i), block);
                s.scan.state = kept(b, chunk(i), block);
                if (block == first) std::memset(bc, 0, s.scan.tokens * 2 * kStates * sizeof(float));
                s.grad_y = a.grad_y_BLE + at;
                s.grad_y_step = s.grad_u_step = a.channels;
                s.z = a.z ? a.z + token * a.z_step + e : nullptr;
                s.z_step = a.z_step;
                s.grad_u = a.grad_u_BLE + at;
                s.grad_delta = a.grad_delta_BLE + at;
                s.grad_z = a.z ? a.grad_z + token * a.grad_z_step + e : nullptr;
                s.grad_z_step = a.grad_z_step;
                s.accumulate = a.accumulate != 0;
                s.grad_bc = bc;
                s.grad_A = grad_A + (block - first) * kTile;
                s.grad_D = grad_D + (block - first) * kBlock;
                s.carry = carry + (block - first) * kTile;
                kernels().scan_backward(s, room);
            }
        }
        for (long block = first; block < last_block(group); block++) {
            transpose(grad_A + (block - first) * kTile, a.grad_A_BEN, b, block);
            std::memcpy(a.grad_D_BE + b * a.channels + block * kBlock,
                        grad_D + (block - first) * kBlock, kBlock * sizeof(float));
        }
    }

    // A block's [state][channel] to and from (B, E, N).
    void transpose(const float* from, float* to_BEN, long b, long block) const {
        float* to = to_BEN + (b * a.channels + block * kBlock) * kStates;
        for (long c = 0; c < kBlock; c++)
            for (long n = 0; n < kStates; n++) to[c * kStates + n] = from[n * kBlock + c];
    }
    void read(const float* from_BEN, long b, long block, float* to) const {
        const float* from = from_BEN + (b * a.channels + block * kBlock) * kStates;
        for (long c = 0; c < kBlock; c++)
            for (long n = 0; n < kStates; n++) to[n * kBlock + c] = from[c * kStates + n];
    }
};

}  // namespace

void vfeat_scan_forward(const vfeat_scan* args) {
    const vfeat_scan& a = *args;
    Buffer exponent(a.channels * kStates), steepest(a.channels / kBlock);
    kernels().pack_decay(a.A_EN, a.logarithmic != 0, a.channels, exponent, steepest);
    const Call call{a, exponent, steepest};
    pool::for_each(a.threads, a.batch * call.groups,
                   [&](long task) { call.forward(task / call.groups, task % call.groups); });
}

void vfeat_scan_backward(const vfeat_scan* args) {
    const vfeat_scan& a = *args;
    Buffer exponent(a.channels * kStates), steepest(a.channels / kBlock);
    kernels().pack_decay(a.A_EN, a.logarithmic != 0, a.channels, exponent, steepest);
    const Call call{a, exponent, steepest};
    pool::for_each(a.threads, a.batch * call.groups, [&](long task) {
        call.backward(task / call.groups, task % call.groups, pool::scratch(kBackwardRoom));
    });
}
