#include <fmt/format.h>

#include <set>

#include "checkpoint/huggingface.h"
#include "model/family.h"

namespace zt::checkpoint {
namespace {

[[noreturn]] void fail(const std::string& path, const std::string& what) {
  throw FileError(fmt::format("[checkpoint.huggingface] {}: {}", path, what));
}

/// Old files hold buffers that are no parameters.
bool is_buffer(const std::string& name) {
  return name.find("rotary_emb.inv_freq") != std::string::npos;
}

TensorSet open_weights(const std::string& folder) {
  if (!has_weights(folder)) {
    fail(
        folder,
        "has no model.safetensors, no pytorch_model.bin and no index of either. Give a folder with "
        "weights, or --from_scratch True to initialise them.");
  }
  return TensorSet::weights(folder);
}

}  // namespace

bool has_weights(const std::string& folder) { return TensorSet::has_weights(folder); }

HuggingFaceWeights::HuggingFaceWeights(const std::string& folder)
    : folder_(folder), tensors_(open_weights(folder)) {
  for (const auto& [name, place] : tensors_.tensors()) {
    names_.emplace(model::current_name(name), name);
  }
}

void HuggingFaceWeights::check(const std::vector<layout::ParamSpec>& params) const {
  std::string problems;
  std::set<std::string> known;
  for (const auto& param : params) {
    known.insert(param.name);
    known.insert(param.aliases.begin(), param.aliases.end());
    const auto found = names_.find(param.name);
    if (found == names_.end()) {
      problems += fmt::format("\n  missing: {} {}", param.name, shape_text(param.shape));
      continue;
    }
    const auto& entry = *tensors_.find(found->second)->entry;
    if (entry.shape != param.shape) {
      problems += fmt::format("\n  {}: got {}, expected {}", param.name, shape_text(entry.shape),
                              shape_text(param.shape));
    }
    if (entry.dtype != DType::f32 && entry.dtype != DType::bf16 && entry.dtype != DType::f16) {
      problems += fmt::format("\n  {}: got {}, expected fp32, bf16 or fp16", param.name,
                              to_string(entry.dtype));
    }
  }
  for (const auto& [name, stored] : names_) {
    if (known.count(name) == 0 && !is_buffer(name))
      problems += fmt::format("\n  unexpected: {}", name);
  }
  if (!problems.empty()) {
    fail(folder_, "the weights do not fit config.json:" + problems +
                      "\n  Use the config.json that belongs to these weights.");
  }
}

void HuggingFaceWeights::read(const layout::ParamSpec& param, std::int64_t begin,
                              std::span<float> values) const {
  const auto found = names_.find(param.name);
  if (found == names_.end()) fail(folder_, "has no tensor '" + param.name + "'.");
  tensors_.find(found->second)->file->read(found->second, begin, values);
}

}  // namespace zt::checkpoint
