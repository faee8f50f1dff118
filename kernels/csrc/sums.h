// Sums over the lanes of several vectors at once.
#pragma once

#include "vec.h"

namespace {

#if W == 16
#define EVEN 0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30
#define ODD 1, 3, 5, 7, 9, 11, 13, 15, 17, 19, 21, 23, 25, 27, 29, 31
#elif W == 8
#define EVEN 0, 2, 4, 6, 8, 10, 12, 14
#define ODD 1, 3, 5, 7, 9, 11, 13, 15
#else
#define EVEN 0, 2, 4, 6
#define ODD 1, 3, 5, 7
#endif

// Sums of neighbours: those of a, then those of b.
INLINE vf neighbours(vf a, vf b) {
#ifdef __clang__
    return __builtin_shufflevector(a, b, EVEN) + __builtin_shufflevector(a, b, ODD);
#else  // GCC has that one from version 12 only
    return __builtin_shuffle(a, b, vi{EVEN}) + __builtin_shuffle(a, b, vi{ODD});
#endif
}

#undef EVEN
#undef ODD

// to[i] += the sum over the lanes of v[i]; COUNT is a power of two, at least 2. Destroys v.
template <int COUNT>
INLINE void add_lane_sums(vf* v, float* to) {
    int left = COUNT, lanes = W;
#pragma GCC unroll 8
    for (; left > 1 && lanes > 1; left /= 2, lanes /= 2)
#pragma GCC unroll 16
        for (int i = 0; i < left / 2; i++) v[i] = neighbours(v[2 * i], v[2 * i + 1]);
#pragma GCC unroll 8
    for (; lanes > 1; lanes /= 2) v[0] = neighbours(v[0], v[0]);
#pragma GCC unroll 16
    for (int i = 0; i < left; i++) {
        if (COUNT >= W) {
            store(to + i * W, load(to + i * W) + v[i]);
        } else {
            typedef float part __attribute__((vector_size(4 * COUNT), aligned(4), may_alias));
            alignas(64) float sums[W];
            store(sums, v[i]);
            *(part*)to = *(const part*)to + *(const part*)sums;
        }
    }
}

}  // namespace
