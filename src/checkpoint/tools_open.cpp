#include <fmt/format.h>

#include <filesystem>
#include <map>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "checkpoint/deepspeed.h"
#include "checkpoint/file_io.h"
#include "checkpoint/huggingface.h"
#include "checkpoint/native_checkpoint.h"
#include "checkpoint/store.h"
#include "checkpoint/tools.h"
#include "model/family.h"

namespace zt::checkpoint {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

constexpr std::int64_t kMaxConfig = 1 << 24;

/// Weights alone, without a run.
class HuggingFaceSource : public StateSource {
 public:
  explicit HuggingFaceSource(const std::string& folder) : tensors_(TensorSet::weights(folder)) {
    for (const auto& [name, place] : tensors_.tensors()) {
      stored_.emplace(model::current_name(name), name);
    }
  }

  [[nodiscard]] bool has(layout::StateKind kind) const override {
    return kind == layout::StateKind::weight;
  }
  void read(layout::StateKind kind, const layout::ParamSpec& param, std::int64_t begin,
            std::span<float> values) const override {
    const auto stored = stored_.find(param.name);
    if (!has(kind) || stored == stored_.end()) {
      throw CheckpointError(fmt::format("[checkpoint.huggingface] '{}' is missing.", param.name));
    }
    tensors_.find(stored->second)->file->read(stored->second, begin, values);
  }
  [[nodiscard]] const RunState& run_state() const override { return run_state_; }
  [[nodiscard]] DType weight_dtype() const { return tensors_.weight_dtype(); }
  /// Under today's names.
  [[nodiscard]] std::vector<layout::ParamSpec> params() const {
    auto specs = tensors_.specs();
    for (auto& spec : specs) spec.name = model::current_name(spec.name);
    return specs;
  }

 private:
  TensorSet tensors_;
  std::map<std::string, std::string> stored_;  ///< name in the files, by today's name
  RunState run_state_;
};

/// Safetensors files hold a tied tensor once; DeepSpeed's hold both names.
void add_tied_name(OpenedCheckpoint& opened) {
  const auto path = fs::path(opened.model_folder) / "config.json";
  if (!fs::exists(path)) return;
  const auto config = json::parse(read_text(path.string(), kMaxConfig), nullptr, false);
  if (!config.is_object() || config.value("tie_word_embeddings", json()) != true) return;
  for (auto& param : opened.params) {
    if (param.name == "lm_head.weight") return;
  }
  for (auto& param : opened.params) {
    if (model::is_embedding(param.name)) param.aliases = {"lm_head.weight"};
  }
}

OpenedCheckpoint open_huggingface(const std::string& folder) {
  auto source = std::make_unique<HuggingFaceSource>(folder);
  OpenedCheckpoint opened;
  opened.params = source->params();
  opened.dtype = source->weight_dtype();
  opened.format = "huggingface";
  opened.source = std::move(source);
  opened.model_folder = folder;
  add_tied_name(opened);
  return opened;
}

OpenedCheckpoint open_native(const std::string& folder) {
  auto source = std::make_unique<NativeCheckpoint>(folder);
  OpenedCheckpoint opened;
  opened.format = "native";
  opened.params = source->params();
  opened.dtype = source->weight_dtype();
  opened.source = std::move(source);
  opened.model_folder = folder;
  add_tied_name(opened);
  return opened;
}

bool is_checkpoint(const std::string& folder) {
  return is_native(folder) || has_weights(folder) || !find_deepspeed(folder).folder.empty();
}

}  // namespace

std::string resolve_checkpoint(const std::string& path) {
  if (!fs::is_directory(path)) {
    throw CheckpointError(fmt::format(
        "[checkpoint.open] {}: is not a folder. Give the folder of a checkpoint.", path));
  }
  // The end of a run leaves weights beside the checkpoints: the folder itself is meant then.
  if (is_checkpoint(path)) return path;
  const auto found = list_checkpoints(path);
  if (!found.empty()) return found.front().path;
  throw CheckpointError(fmt::format(
      "[checkpoint.open] {}: holds no checkpoint of zerotrain, DeepSpeed or Hugging Face. Give a "
      "folder with zt_manifest.json, `latest`, model.safetensors or pytorch_model.bin.",
      path));
}

OpenedCheckpoint open_checkpoint(const std::string& path) {
  const auto folder = resolve_checkpoint(path);
  if (is_native(folder)) return open_native(folder);
  if (!find_deepspeed(folder).folder.empty()) return open_deepspeed(folder);
  return open_huggingface(folder);
}

Bytes widened_bytes(const std::vector<layout::ParamSpec>& params) {
  Bytes bytes;
  for (const auto& param : params) bytes += storage(param.numel(), DType::f32);
  return bytes;
}

}  // namespace zt::checkpoint
