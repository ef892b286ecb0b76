#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "checkpoint/exchange.h"
#include "checkpoint/native_layout.h"
#include "checkpoint/state_source.h"
#include "memory/view.h"

namespace zt::checkpoint {

/// What a native save writes beside the tensors, and where. Equal on all ranks.
struct NativeSaveOptions {
  std::string output_dir;        ///< the save becomes `<output_dir>/checkpoint-<global_step>`
  std::string source;            ///< folder of config.json and generation_config.json; empty: none
  std::string tokenizer_source;  ///< folder of the tokenizer; may be empty
  NativeLayout::Options tensors;
  RunState run_state;
  std::string config;  ///< JSON text of the resolved configuration; empty: none
  Bytes keep_free;     ///< of the disk, beyond what the save needs
  /// Asked on rank 0 when the space does not suffice, which is looked at again then: waits for
  /// deletions that are under way. May be empty.
  std::function<void()> make_room;
};

/// One save of one run: every rank writes its own byte ranges of the shared files, then all publish
/// together. Nothing of it is visible under its final name before `publish` renames the folder.
///
/// Create, write (any number of slices, any order, from one thread at a time), publish. All ranks
/// create and publish; which slices a rank writes is its own choice, but together they cover every
/// element of every kind exactly once. Destroying an unpublished save removes what it wrote.
/// Memory: a few MiB per kind.
/// Source: docs/checkpoint_format.md.
class NativeSave {
 public:
  /// Collective: rank 0 checks free space, makes the partial folder and reserves all files.
  /// `params` outlives the object.
  /// Errors: CheckpointError on all ranks, e.g. what the save needs and what the disk has.
  NativeSave(NativeSaveOptions options, const std::vector<layout::ParamSpec>& params,
             RankExchange exchange);
  ~NativeSave();
  NativeSave(const NativeSave&) = delete;
  NativeSave& operator=(const NativeSave&) = delete;

  [[nodiscard]] const NativeLayout& layout() const;
  /// Host values of a slice, in layout().dtype(slice.kind). `values` may be reused on return.
  /// Never throws for a failing disk: the failure is kept, later writes do nothing, and `publish`
  /// tells all ranks.
  void write(const layout::StateSlice& slice, const View& values);
  /// Collective: syncs, gathers the pieces, writes the manifest, renames. Returns the folder.
  /// Errors: CheckpointError on all ranks naming rank, file and reason; the partial folder is gone
  /// then and earlier checkpoints are as they were. CommError when a peer is gone.
  std::string publish();
  /// Bytes of tensors this rank has written so far.
  [[nodiscard]] Bytes written() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace zt::checkpoint
