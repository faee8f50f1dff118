// Stands in for torch/extension.h and torch/python.h: the official bindings need no Python here.
#pragma once
#include <torch/library.h>
#include <torch/types.h>

struct UnusedModule {
    template <typename... Arguments>
    void def(Arguments &&...) {}
};
#define PYBIND11_MODULE(name, variable) [[maybe_unused]] static void unused_module(UnusedModule &variable)
