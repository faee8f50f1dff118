// What the official dispatch could call and a VideoMamba never does: float16, complex states, mixed
// types, channels last, updates token by token. Compiling those would take most of an hour.
#include <cuda_runtime_api.h>
#include <torch/types.h>

#include "causal_conv1d.h"
#include "selective_scan.h"

using Half = at::Half;
using Wide = float;
using Narrow = at::BFloat16;
using Complex = c10::complex<float>;

#define REFUSED(function, parameters, ...)                                     \
    template <>                                                                \
    void function<__VA_ARGS__>(parameters &, cudaStream_t) {                   \
        TORCH_CHECK(false, #function " was not built for these types");        \
    }

template <typename Input, typename Weight>
void selective_scan_fwd_cuda(SSMParamsBase &params, cudaStream_t stream);
template <typename Input, typename Weight>
void selective_scan_bwd_cuda(SSMParamsBwd &params, cudaStream_t stream);

#define REFUSED_SCAN(...)                                         \
    REFUSED(selective_scan_fwd_cuda, SSMParamsBase, __VA_ARGS__)  \
    REFUSED(selective_scan_bwd_cuda, SSMParamsBwd, __VA_ARGS__)
REFUSED_SCAN(Half, Wide)
REFUSED_SCAN(Half, Complex)
REFUSED_SCAN(Wide, Complex)
REFUSED_SCAN(Narrow, Complex)

template <typename Input, typename Weight>
void causal_conv1d_fwd_cuda(ConvParamsBase &params, cudaStream_t stream);
template <typename Input, typename Weight>
void causal_conv1d_channellast_fwd_cuda(ConvParamsBase &params, cudaStream_t stream);
template <typename Input, typename Weight>
void causal_conv1d_bwd_cuda(ConvParamsBwd &params, cudaStream_t stream);
template <typename Input, typename Weight>
void causal_conv1d_channellast_bwd_cuda(ConvParamsBwd &params, cudaStream_t stream);
template <typename Input, typename Weight>
void causal_conv1d_update_cuda(ConvParamsBase &params, cudaStream_t stream);

#define REFUSED_CONV(...)                                        \
    REFUSED(causal_conv1d_fwd_cuda, ConvParamsBase, __VA_ARGS__) \
    REFUSED(causal_conv1d_bwd_cuda, ConvParamsBwd, __VA_ARGS__)
#define REFUSED_REST(...)                                                    \
    REFUSED(causal_conv1d_channellast_fwd_cuda, ConvParamsBase, __VA_ARGS__) \
    REFUSED(causal_conv1d_channellast_bwd_cuda, ConvParamsBwd, __VA_ARGS__)  \
    REFUSED(causal_conv1d_update_cuda, ConvParamsBase, __VA_ARGS__)
REFUSED_CONV(Half, Wide)
REFUSED_CONV(Narrow, Wide)
REFUSED_CONV(Wide, Half)
REFUSED_CONV(Half, Half)
REFUSED_CONV(Narrow, Half)
REFUSED_CONV(Wide, Narrow)
REFUSED_CONV(Half, Narrow)
REFUSED_REST(Wide, Wide)
REFUSED_REST(Half, Wide)
REFUSED_REST(Narrow, Wide)
REFUSED_REST(Wide, Half)
REFUSED_REST(Half, Half)
REFUSED_REST(Narrow, Half)
REFUSED_REST(Wide, Narrow)
REFUSED_REST(Half, Narrow)
REFUSED_REST(Narrow, Narrow)
