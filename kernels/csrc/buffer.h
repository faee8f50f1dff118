// Uninitialised floats aligned to 64 bytes, freed at the end of a scope.
#pragma once

#include <cstdlib>

class Buffer {
   public:
    explicit Buffer(long floats)
        : memory_(static_cast<float*>(
              std::aligned_alloc(64, (floats * sizeof(float) + 63) / 64 * 64 + 64))) {
        if (!memory_) std::abort();
    }
    ~Buffer() { std::free(memory_); }
    Buffer(const Buffer&) = delete;
    Buffer& operator=(const Buffer&) = delete;
    operator float*() const { return memory_; }

   private:
    float* memory_;
};
