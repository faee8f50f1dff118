#include "dispatch.h"

#include <atomic>
#include <cstring>

#include "vfeat_cpu.h"

extern const Kernels kernels_baseline;
#if defined(__x86_64__)
extern const Kernels kernels_avx2, kernels_avx512;
#endif

namespace {

struct Isa {
    const char* name;
    const Kernels* kernels;
    bool (*runs)();
};

// Best first.
const Isa kIsas[] = {
#if defined(__x86_64__)
    {"avx512", &kernels_avx512,
     [] {
         __builtin_cpu_init();
         return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") &&
                __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512bw") &&
                __builtin_cpu_supports("fma");
     }},
    {"avx2", &kernels_avx2,
     [] {
         __builtin_cpu_init();
         return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
     }},
#endif
#if defined(__aarch64__)
    {"neon", &kernels_baseline, [] { return true; }},
#else
    {"baseline", &kernels_baseline, [] { return true; }},
#endif
};

const Isa* best() {
    for (const Isa& isa : kIsas)
        if (isa.runs()) return &isa;
    return nullptr;
}

std::atomic<const Isa*> chosen{best()};

}  // namespace

const Kernels& kernels() { return *chosen.load(std::memory_order_relaxed)->kernels; }

const char* vfeat_isa() { return chosen.load()->name; }

int vfeat_use_isa(const char* name) {
    for (const Isa& isa : kIsas)
        if (!std::strcmp(isa.name, name) && isa.runs()) {
            chosen = &isa;
            return 1;
        }
    return 0;
}

const char* vfeat_source() { return VFEAT_SOURCE; }

long vfeat_chunk() { return kChunk; }
