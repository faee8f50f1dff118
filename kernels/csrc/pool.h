// Threads that block between calls and share out numbered tasks.
//
// A task's result must not depend on which thread runs it. A call that finds the pool busy
// with another caller's tasks runs its own alone: several Python threads never wait for each
// other, nor start more threads than were asked for.
#pragma once

namespace pool {

void run(long threads, long tasks, void (*task)(void* context, long index), void* context);

// task(index) for every index in [0, tasks), on at most `threads` threads.
template <class Task>
void for_each(long threads, long tasks, Task task) {
    run(threads, tasks, [](void* context, long index) { (*static_cast<Task*>(context))(index); },
        &task);
}

// Memory of the calling thread, aligned to 64 bytes, kept for its next task; uninitialised.
float* scratch(long floats);

}  // namespace pool
