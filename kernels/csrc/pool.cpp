#include "pool.h"

#include <pthread.h>

#include <atomic>
#include <condition_variable>
#include <cstdlib>
#include <mutex>
#include <new>
#include <thread>

#if defined(__x86_64__)
#include <xmmintrin.h>
#endif

namespace {

struct Job {
    void (*task)(void*, long);
    void* context;
    long tasks;
    std::atomic<long> next{0};

    void work() {
        for (long i; (i = next.fetch_add(1, std::memory_order_relaxed)) < tasks;) task(context, i);
    }
};

// Numbers below 1e-38 count as zero: a state that decays on black frames would otherwise
// slow some processors a hundredfold. The caller's mode is restored.
class FlushDenormals {
#if defined(__x86_64__)
    unsigned before = _mm_getcsr();

   public:
    FlushDenormals() { _mm_setcsr(before | 0x8040); }
    ~FlushDenormals() { _mm_setcsr(before); }
#elif defined(__aarch64__)
    unsigned long before;

   public:
    FlushDenormals() {
        asm volatile("mrs %0, fpcr" : "=r"(before));
        asm volatile("msr fpcr, %0" ::"r"(before | (1ul << 24)));
    }
    ~FlushDenormals() { asm volatile("msr fpcr, %0" ::"r"(before)); }
#else
   public:
    FlushDenormals() {}
#endif
};

class Pool {
   public:
    // Workers that have not woken when the caller runs out of tasks are not waited for.
    void run(long threads, Job& job) {
        std::unique_lock<std::mutex> only(one_caller_, std::try_to_lock);
        if (!only || threads <= 1 || job.tasks <= 1) return job.work();
        {
            std::lock_guard<std::mutex> lock(mutex_);
            wanted_ = (threads < job.tasks ? threads : job.tasks) - 1;
            while (started_ < wanted_) start_one();
            job_ = &job;
            generation_++;
        }
        wake_.notify_all();
        job.work();
        std::unique_lock<std::mutex> lock(mutex_);
        job_ = nullptr;
        done_.wait(lock, [&] { return working_ == 0; });
    }

   private:
    void start_one() {
        std::thread(&Pool::serve, this, started_).detach();
        started_++;
    }

    void serve(long index) {
        FlushDenormals flush;
        std::unique_lock<std::mutex> lock(mutex_);
        for (long seen = 0;;) {
            wake_.wait(lock, [&] { return job_ && generation_ != seen && index < wanted_; });
            seen = generation_;
            Job* job = job_;
            working_++;
            lock.unlock();
            job->work();
            lock.lock();
            if (--working_ == 0) done_.notify_one();
        }
    }

    std::mutex one_caller_, mutex_;
    std::condition_variable wake_, done_;
    Job* job_ = nullptr;
    long generation_ = 0, started_ = 0, wanted_ = 0, working_ = 0;
};

// Never destroyed: its threads outlive main. A forked child has none of them and starts anew.
Pool* current = new Pool;
const int registered = pthread_atfork(nullptr, nullptr, [] { current = new Pool; });

struct Scratch {
    float* memory = nullptr;
    long size = 0;
    ~Scratch() { std::free(memory); }
};
thread_local Scratch own;

}  // namespace

void pool::run(long threads, long tasks, void (*task)(void*, long), void* context) {
    FlushDenormals flush;
    Job job{task, context, tasks};
    current->run(threads, job);
}

float* pool::scratch(long floats) {
    if (own.size < floats) {
        std::free(own.memory);
        own.size = (floats + 1023) / 1024 * 1024;
        own.memory = static_cast<float*>(std::aligned_alloc(64, own.size * sizeof(float)));
        if (!own.memory) std::abort();
    }
    return own.memory;
}
