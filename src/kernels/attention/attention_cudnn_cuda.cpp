// ATen never asks cuDNN for its deterministic backward, so the graph is built here, by the headers
// of nvidia-cudnn-frontend; handle and library are ATen's.
#include <ATen/cudnn/Handle.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>
#include <cudnn_frontend.h>
#include <fmt/format.h>

#include <array>
#include <cmath>
#include <map>
#include <memory>
#include <unordered_map>

#include "base/error.h"
#include "kernels/attention/attention_cudnn.h"

namespace zt::kernels {
namespace {

namespace fe = cudnn_frontend;

enum Operand : std::int64_t { kQ = 1, kK, kV, kOut, kLogSumExp, kGradOut, kGradQ, kGradK, kGradV };

/// What a plan depends on: device, dtype, batch, sequence, heads, head size.
using Key = std::array<std::int64_t, 7>;

struct Plan {
  std::unique_ptr<fe::graph::Graph> graph;  ///< null: cuDNN refused the shape
  std::int64_t workspace = 0;               ///< bytes
};

/// A contiguous [B, T, heads, D] tensor under cuDNN's order of axes, [B, heads, T, D].
fe::graph::Tensor_attributes operand(Operand uid, const AttentionShape& shape, std::int64_t heads) {
  const std::int64_t row = heads * shape.head_dim;
  return fe::graph::Tensor_attributes()
      .set_uid(uid)
      .set_dim({shape.batch, heads, shape.sequence, shape.head_dim})
      .set_stride({shape.sequence * row, shape.head_dim, row, 1});
}

void declare(fe::graph::Graph& graph, const AttentionShape& shape) {
  const auto input = [&](Operand uid, std::int64_t heads) {
    return graph.tensor(operand(uid, shape, heads));
  };
  const auto statistics =
      graph.tensor(fe::graph::Tensor_attributes()
                       .set_uid(kLogSumExp)
                       .set_dim({shape.batch, shape.q_heads, shape.sequence, 1})
                       .set_stride({shape.q_heads * shape.sequence, shape.sequence, 1, 1})
                       .set_data_type(fe::DataType_t::FLOAT));
  const auto options = fe::graph::SDPA_backward_attributes()
                           .set_causal_mask(true)
                           .set_deterministic_algorithm(true)
                           .set_attn_scale(1.0F / std::sqrt(static_cast<float>(shape.head_dim)));
  const auto grads = graph.sdpa_backward(input(kQ, shape.q_heads), input(kK, shape.kv_heads),
                                         input(kV, shape.kv_heads), input(kOut, shape.q_heads),
                                         input(kGradOut, shape.q_heads), statistics, options);
  constexpr Operand kGrads[] = {kGradQ, kGradK, kGradV};
  for (std::size_t i = 0; i < grads.size(); ++i) {
    const auto want = operand(kGrads[i], shape, i == 0 ? shape.q_heads : shape.kv_heads);
    grads.at(i)
        ->set_output(true)
        .set_uid(kGrads[i])
        .set_dim(want.get_dim())
        .set_stride(want.get_stride());
  }
}

Plan make_plan(const at::Tensor& q, const AttentionShape& shape) {
  auto graph = std::make_unique<fe::graph::Graph>();
  graph
      ->set_io_data_type(q.scalar_type() == at::kHalf ? fe::DataType_t::HALF
                                                      : fe::DataType_t::BFLOAT16)
      .set_intermediate_data_type(fe::DataType_t::FLOAT)
      .set_compute_data_type(fe::DataType_t::FLOAT);
  declare(*graph, shape);
  if (graph->build(at::native::getCudnnHandle(), {fe::HeurMode_t::A}).is_bad()) return {};
  const std::int64_t workspace = graph->get_workspace_size();
  return {std::move(graph), workspace};
}

/// Plans are not safe to share between threads, so each thread has its own.
const Plan& plan_of(const at::Tensor& q, const AttentionShape& shape) {
  thread_local std::map<Key, Plan> plans;
  const Key key = {q.get_device(), static_cast<std::int64_t>(q.scalar_type()),
                   shape.batch,    shape.sequence,
                   shape.q_heads,  shape.kv_heads,
                   shape.head_dim};
  const auto found = plans.find(key);
  return found != plans.end() ? found->second
                              : plans.emplace(key, make_plan(q, shape)).first->second;
}

at::Tensor given_or_new(const at::Tensor& grad, const at::Tensor& like) {
  return grad.defined() ? grad : at::empty_like(like);
}

}  // namespace

bool attention_cudnn_available() { return true; }

std::optional<AttentionGrads> attention_cudnn_backward(const AttentionBackward& io,
                                                       const AttentionShape& shape) {
  const Plan& plan = plan_of(io.q, shape);
  if (plan.graph == nullptr) return std::nullopt;
  const AttentionGrads grads{given_or_new(io.grad_q, io.q), given_or_new(io.grad_k, io.k),
                             given_or_new(io.grad_v, io.v)};
  const at::Tensor workspace = at::empty({plan.workspace}, io.q.options().dtype(at::kByte));
  std::unordered_map<std::int64_t, void*> pointers;
  const auto pass = [&](Operand uid, const at::Tensor& tensor) {
    ZT_ASSERT(tensor.is_contiguous(), "attention operands");
    pointers.emplace(uid, tensor.data_ptr());
  };
  pass(kQ, io.q);
  pass(kK, io.k);
  pass(kV, io.v);
  pass(kOut, io.out);
  pass(kLogSumExp, io.log_sum_exp);
  pass(kGradOut, io.grad_out);
  pass(kGradQ, grads.q);
  pass(kGradK, grads.k);
  pass(kGradV, grads.v);
  auto status = plan.graph->execute(at::native::getCudnnHandle(), pointers, workspace.data_ptr());
  if (status.is_bad()) {
    throw DeviceError(fmt::format("[kernels.attention] cuDNN: {}", status.get_message()));
  }
  return grads;
}

}  // namespace zt::kernels
