// The official selective scan as operators of torch: no symbol of Python, so no version of it.
#include "selective_scan.cpp"

using Optional = std::optional<at::Tensor>;

static std::vector<at::Tensor> forward(
    const at::Tensor &u, const at::Tensor &delta, const at::Tensor &A, const at::Tensor &B,
    const at::Tensor &C, const Optional &D, const Optional &z, const Optional &bias, bool softplus) {
    return selective_scan_fwd(u, delta, A, B, C, D, z, bias, softplus);
}

static std::vector<at::Tensor> backward(
    const at::Tensor &u, const at::Tensor &delta, const at::Tensor &A, const at::Tensor &B,
    const at::Tensor &C, const Optional &D, const Optional &z, const Optional &bias,
    const at::Tensor &dout, const Optional &x, const Optional &out, const Optional &dz,
    bool softplus, bool recompute_out_z) {
    Optional written = dz;
    return selective_scan_bwd(
        u, delta, A, B, C, D, z, bias, dout, x, out, written, softplus, recompute_out_z);
}

TORCH_LIBRARY_FRAGMENT(official_mamba, m) {
    m.def(
        "scan_forward(Tensor u, Tensor delta, Tensor A, Tensor B, Tensor C, Tensor? D, Tensor? z, "
        "Tensor? bias, bool softplus) -> Tensor[]",
        forward);
    m.def(
        "scan_backward(Tensor u, Tensor delta, Tensor A, Tensor B, Tensor C, Tensor? D, Tensor? z, "
        "Tensor? bias, Tensor dout, Tensor? x, Tensor? out, Tensor? dz, bool softplus, "
        "bool recompute_out_z) -> Tensor[]",
        backward);
}
