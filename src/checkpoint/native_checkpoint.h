#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "checkpoint/state_source.h"

namespace zt::checkpoint {

/// A published native checkpoint, read slice by slice (pread; nothing is mapped or kept).
/// Opening checks manifest, headers and sizes, not the hashes of values: that is `verify`.
/// `master` of a checkpoint with fp32 weights is absent; read `weight`.
/// Errors: CheckpointError naming file and tensor. Thread-safe after construction.
class NativeCheckpoint : public StateSource {
 public:
  explicit NativeCheckpoint(const std::string& folder);
  ~NativeCheckpoint() override;
  NativeCheckpoint(const NativeCheckpoint&) = delete;
  NativeCheckpoint& operator=(const NativeCheckpoint&) = delete;

  [[nodiscard]] bool has(layout::StateKind kind) const override;
  void read(layout::StateKind kind, const layout::ParamSpec& param, std::int64_t begin,
            std::span<float> values) const override;
  [[nodiscard]] const RunState& run_state() const override;

  /// Compares names and shapes with the model's, for every kind that is there.
  /// Errors: CheckpointError listing every missing, unexpected and mis-shaped tensor.
  void check(const std::vector<layout::ParamSpec>& params) const;
  /// Names and shapes, in name order; of tied parameters the first name only.
  [[nodiscard]] const std::vector<layout::ParamSpec>& params() const;
  [[nodiscard]] DType weight_dtype() const;
  /// JSON text of the resolved configuration of the run that saved; empty: none.
  [[nodiscard]] const std::string& config() const;
  [[nodiscard]] const std::string& folder() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

/// True when the folder has a manifest of ours.
[[nodiscard]] bool is_native(const std::string& folder);

/// What is wrong with a native checkpoint: one line each, none when it is whole.
struct Verification {
  std::vector<std::string> problems;
  std::vector<std::string> notes;  ///< files that somebody has put beside ours
  Bytes read;                      ///< bytes hashed
};

/// Reads every byte of a native checkpoint (manifest included) and compares it with the manifest's
/// hashes. Finds any changed byte, missing, shortened and extended files, and extra ones that would
/// be read. Ranks share the
/// work: part `part` of `parts`; what is wrong with a whole file is said by every part, as is
/// whatever one cannot read. Never throws for a damaged checkpoint. Memory: a few MiB.
/// `progress` is told the bytes of each piece after it was read.
[[nodiscard]] Verification verify(const std::string& folder, int part = 0, int parts = 1,
                                  const std::function<void(Bytes)>& progress = {});
/// The problems of all parts, those that several of them say once; in order.
[[nodiscard]] std::vector<std::string> each_once(const std::vector<std::string>& problems);

}  // namespace zt::checkpoint
