// The official convolution as operators of torch; results are written into tensors of the caller.
#include "causal_conv1d.cpp"

using Optional = std::optional<at::Tensor>;

static void forward(
    const at::Tensor &x, const at::Tensor &weight, const Optional &bias, const Optional &seq_idx,
    const Optional &initial_states, const at::Tensor &out, const Optional &final_states,
    bool silu) {
    at::Tensor written = out;
    Optional last = final_states;
    causal_conv1d_fwd(x, weight, bias, seq_idx, initial_states, written, last, silu);
}

static void backward(
    const at::Tensor &x, const at::Tensor &weight, const Optional &bias, const at::Tensor &dout,
    const Optional &seq_idx, const Optional &initial_states, const Optional &dfinal_states,
    const at::Tensor &dx, const at::Tensor &dweight, const Optional &dbias,
    const Optional &dinitial_states, bool silu) {
    at::Tensor given = dout, to_x = dx, to_weight = dweight;
    Optional to_bias = dbias, to_initial = dinitial_states;
    causal_conv1d_bwd(
        x, weight, bias, given, seq_idx, initial_states, dfinal_states, to_x, to_weight, to_bias,
        to_initial, silu);
}

TORCH_LIBRARY_FRAGMENT(official_mamba, m) {
    m.def(
        "conv_forward(Tensor x, Tensor weight, Tensor? bias, Tensor? seq_idx, "
        "Tensor? initial_states, Tensor(a!) out, Tensor(b!)? final_states, bool silu) -> ()",
        forward);
    m.def(
        "conv_backward(Tensor x, Tensor weight, Tensor? bias, Tensor dout, Tensor? seq_idx, "
        "Tensor? initial_states, Tensor? dfinal_states, Tensor(a!) dx, Tensor(b!) dweight, "
        "Tensor(c!)? dbias, Tensor(d!)? dinitial_states, bool silu) -> ()",
        backward);
}
