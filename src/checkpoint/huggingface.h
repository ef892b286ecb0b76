#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "checkpoint/tensor_set.h"
#include "layout/layout.h"
#include "memory/view.h"

namespace zt::checkpoint {

/// The weights of a Hugging Face folder: model.safetensors or pytorch_model.bin, or the shards of
/// its index. Names of older folders are taken for today's (model::current_name). A rank reads only
/// the slices it asks for. Errors: FileError.
class HuggingFaceWeights {
 public:
  explicit HuggingFaceWeights(const std::string& folder);

  /// Compares names and shapes with the model's; an alias (`lm_head.weight` of a tied model) may be
  /// there or not. Errors: FileError listing every missing, unexpected and mis-shaped tensor.
  void check(const std::vector<layout::ParamSpec>& params) const;
  /// Elements [begin, begin + values.size()) of a parameter, widened to fp32.
  void read(const layout::ParamSpec& param, std::int64_t begin, std::span<float> values) const;

 private:
  std::string folder_;
  TensorSet tensors_;
  std::map<std::string, std::string> names_;  ///< in the files, by today's name
};

/// True when the folder holds weights in a form that HuggingFaceWeights reads.
bool has_weights(const std::string& folder);

/// Writes a folder that `transformers` loads: config.json (of `source`, with the saved dtype),
/// generation_config.json and tokenizer files of the sources byte for byte, and the weights in one
/// file or in shards of at most `shard_bytes` with an index. Parameters come in the order `order`;
/// a tied parameter is written once, under its first name. Weight files of an earlier save that are
/// not part of this one are removed. Errors: FileError.
struct HuggingFaceSave {
  std::string folder;            ///< created when missing
  std::string source;            ///< folder of config.json
  std::string tokenizer_source;  ///< folder of the tokenizer; may be empty
  DType dtype = DType::f32;
  Bytes shard_bytes{5'000'000'000};
};
class HuggingFaceWriter {
 public:
  HuggingFaceWriter(HuggingFaceSave save, const std::vector<layout::ParamSpec>& params,
                    std::vector<layout::ParamId> order);
  ~HuggingFaceWriter();
  /// The next parameter of the order, host memory, in ParamSpec::dtype(save.dtype).
  void write(layout::ParamId id, const View& values);
  /// Index, configuration and tokenizer files; the folder is complete afterwards.
  void finish();

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace zt::checkpoint
