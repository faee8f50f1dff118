// The instruction set in use.
#pragma once

#include "isa.h"

const Kernels& kernels();
