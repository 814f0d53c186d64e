// Marks functions that device code runs too: both compilers see the same lines.
#pragma once

#ifdef __CUDACC__
#define TINTYPE_HOST_DEVICE __host__ __device__
#else
#define TINTYPE_HOST_DEVICE
#endif
