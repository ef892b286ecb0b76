#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/units.h"
#include "layout/training_state.h"

namespace zt::checkpoint {

/// One safetensors file of a set: whole tensors under Hugging Face names.
struct TensorFile {
  std::string path;    ///< inside the folder: `model.safetensors`, `zero/exp_avg.safetensors`
  std::string header;  ///< first bytes of the file: length and JSON, padded
  std::vector<layout::ParamId> params;  ///< in storage order
  std::vector<std::int64_t> begin;      ///< absolute offset of each parameter's first byte
  std::int64_t size = 0;                ///< of the whole file
};

/// Where the tensors of one kind lie: one file, or shards of at most `shard_bytes` with an index.
/// A pure function of names, shapes, dtype and limit: no rank, world size or stage enters.
struct TensorFileSet {
  DType dtype = DType::f32;
  std::vector<TensorFile> files;
  std::string index_path;  ///< `model.safetensors.index.json`; empty with one file
  std::string index;       ///< its text

  /// `stem` is `model`, `zero/exp_avg`, ...; `order` the parameters in storage order.
  static TensorFileSet plan(const std::string& stem, const std::vector<layout::ParamSpec>& params,
                            const std::vector<layout::ParamId>& order, DType dtype,
                            Bytes shard_bytes);
};

/// Position of a parameter's first byte.
struct TensorPlace {
  std::size_t file = 0;  ///< in NativeLayout::files()
  std::int64_t begin = 0;
};

/// All tensor files of a native checkpoint. Source: docs/checkpoint_format.md.
class NativeLayout {
 public:
  struct Options {
    DType dtype = DType::f32;  ///< of the weights, except those with ParamSpec::keep_fp32
    bool optimizer = true;     ///< false: weights only
    Bytes shard_bytes{5'000'000'000};
  };
  NativeLayout(const std::vector<layout::ParamSpec>& params, const Options& options);

  /// False: the kind has no file (weights only; `master` when the weights are fp32 themselves).
  [[nodiscard]] bool has(layout::StateKind kind) const;
  [[nodiscard]] DType dtype(layout::StateKind kind, layout::ParamId param) const;
  /// Errors: InternalError when the kind has no file.
  [[nodiscard]] TensorPlace place(layout::StateKind kind, layout::ParamId param) const;
  [[nodiscard]] const std::vector<TensorFile>& files() const { return files_; }
  struct Index {
    std::string path, text;
  };
  [[nodiscard]] const std::vector<Index>& indexes() const { return indexes_; }
  [[nodiscard]] Bytes total() const;

 private:
  void add(layout::StateKind kind, TensorFileSet set);

  std::vector<DType> weight_dtypes_;  ///< by ParamId
  std::vector<TensorFile> files_;
  std::vector<Index> indexes_;
  std::vector<std::vector<TensorPlace>> places_;  ///< by StateKind, by ParamId; empty: no file
};

/// `weight`, `master`, `exp_avg`, `exp_avg_sq`.
[[nodiscard]] const char* to_string(layout::StateKind kind);

}  // namespace zt::checkpoint
