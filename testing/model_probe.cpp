// model_probe MODEL_DIR INPUT OUTPUT fp32|bf16|fp16 all|selective
// INPUT (text): B T D, then B x T ids, B x T targets, B x T positions; D document starts (0: no
// mask). OUTPUT (safetensors): logits [B x T, V] fp32, loss_sum [1], grad of every parameter (fp32,
// sum over targets).
#include <ATen/TensorOperators.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>

#include <fstream>
#include <iostream>
#include <string>

#include "checkpoint/huggingface.h"
#include "checkpoint/safetensors.h"
#include "kernels/gemm/gemm.h"
#include "kernels/rms_norm/rms_norm.h"
#include "layer/tensor_view.h"
#include "model/family.h"
#include "testing/run_layers.h"

namespace zt::testing {
namespace {

layer::Batch read_batch(const std::string& path, layer::BatchShape& shape) {
  std::ifstream file(path);
  std::int64_t documents = 0;
  file >> shape.batch >> shape.sequence >> documents;
  layer::Batch batch;
  for (auto* tensor : {&batch.input_ids, &batch.targets, &batch.position_ids}) {
    *tensor = at::empty({shape.batch, shape.sequence}, at::kLong);
    for (std::int64_t i = 0; i < shape.tokens(); ++i) file >> tensor->data_ptr<std::int64_t>()[i];
  }
  shape.document_mask = documents > 0;
  if (documents > 0) {
    batch.cu_seqlens = at::empty({documents}, at::kInt);
    for (std::int64_t i = 0; i < documents; ++i)
      file >> batch.cu_seqlens.data_ptr<std::int32_t>()[i];
  }
  if (!file) throw FileError("[testing.probe] " + path + " is cut short");
  return batch;
}

at::Tensor logits_of(const model::EndsConfig& config, const at::Tensor& hidden,
                     const at::Tensor& norm, const at::Tensor& head) {
  const auto normed = at::empty_like(hidden, head.options());
  kernels::rms_norm_forward(
      {.x = layer::view_of(hidden), .weight = layer::view_of(norm), .y = layer::view_of(normed)},
      {hidden.size(0), config.hidden, static_cast<float>(config.rms_epsilon)}, Launch{});
  const auto logits = at::empty({hidden.size(0), config.vocab}, head.options());
  kernels::linear_forward(normed, head, logits);
  return logits.to(at::kFloat);
}

void run(const std::string& folder, const std::string& input, const std::string& output,
         const std::string& dtype, layer::Keep keep) {
  const auto model = model::read_model(folder);
  const auto parts = model.make();
  const checkpoint::HuggingFaceWeights weights(folder);
  weights.check(parts.params);
  const auto params = flatten_params(parts, dtype == "bf16"   ? at::kBFloat16
                                            : dtype == "fp16" ? at::kHalf
                                                              : at::kFloat);
  for (std::size_t p = 0; p < params.size(); ++p) {
    const auto values = at::empty({params[p].numel()}, at::kFloat);
    weights.read(parts.params[p], 0,
                 {values.data_ptr<float>(), static_cast<std::size_t>(values.numel())});
    params[p].view(-1).copy_(values);
  }
  layer::Context context;
  const auto batch = read_batch(input, context.shape);
  context.batch = &batch;
  context.compute = layer::view_of(params.front()).dtype;
  const auto result = run_layers(parts, params, context, keep);
  const auto& head = parts.layers.back()->params();
  const auto at = [&](layout::ParamId id) { return params[static_cast<std::size_t>(id.value)]; };
  const auto logits = logits_of(model.ends(), result.hidden, at(head[0]), at(head[1]));
  std::vector<checkpoint::SafetensorsWriter::Tensor> tensors{
      {"logits", DType::f32, logits.sizes().vec()}, {"loss_sum", DType::f32, {1}}};
  for (const auto& param : parts.params) tensors.push_back({param.name, DType::f32, param.shape});
  checkpoint::SafetensorsWriter writer(output, tensors);
  writer.write(layer::view_of(logits));
  auto loss = static_cast<float>(result.loss_sum);
  writer.write({&loss, 1, DType::f32});
  for (const auto& grad : result.grads) writer.write(layer::view_of(grad));
  writer.finish();
}

}  // namespace
}  // namespace zt::testing

int main(int argc, char** argv) {
  if (argc != 6) {
    std::cerr << "usage: model_probe MODEL_DIR INPUT OUTPUT fp32|bf16|fp16 all|selective\n";
    return 2;
  }
  const bool selective = std::string(argv[5]) == "selective";
  try {
    zt::testing::run(argv[1], argv[2], argv[3], argv[4],
                     selective ? zt::layer::Keep::selective : zt::layer::Keep::all);
  } catch (const std::exception& error) {
    std::cerr << error.what() << '\n';
    return 1;
  }
  return 0;
}
