#include "checkpoint/native_checkpoint.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <filesystem>
#include <optional>
#include <set>

#include "checkpoint/file_io.h"
#include "checkpoint/manifest.h"
#include "checkpoint/native_layout.h"
#include "checkpoint/run_state.h"
#include "checkpoint/tensor_set.h"

namespace zt::checkpoint {
namespace {

namespace fs = std::filesystem;
using layout::ParamSpec;
using layout::StateKind;

constexpr std::array<StateKind, 4> kKinds{StateKind::weight, StateKind::master, StateKind::exp_avg,
                                          StateKind::exp_avg_sq};
constexpr std::int64_t kMaxText = 1 << 28;
constexpr std::int64_t kMaxTrainerState = std::int64_t{1} << 32;  ///< grows with every logged step

std::string stem_of(StateKind kind) {
  return kind == StateKind::weight ? std::string("model") : std::string("zero/") + to_string(kind);
}

[[noreturn]] void fail(const std::string& folder, const std::string& what) {
  throw CheckpointError(fmt::format("[checkpoint.native] {}: {}", folder, what));
}

/// Names and sizes of files as the manifest has them.
void check_sizes(const std::string& folder, const Manifest& manifest) {
  for (const auto& file : manifest.files) {
    std::error_code error;
    const auto size = fs::file_size(fs::path(folder) / file.path, error);
    if (error)
      fail(folder, fmt::format("{}: {}. Use another checkpoint.", file.path, error.message()));
    if (static_cast<std::int64_t>(size) != file.size) {
      fail(folder, fmt::format("{}: got {} bytes, expected {}. Use another checkpoint.", file.path,
                               size, file.size));
    }
  }
}

}  // namespace

struct NativeCheckpoint::Impl {
  std::string folder;
  std::array<std::optional<TensorSet>, kKinds.size()> sets;  ///< by StateKind
  std::vector<ParamSpec> params;
  DType weight_dtype = DType::f32;
  ParsedRunState run;

  void open() {
    const auto manifest = Manifest::read(folder);
    check_sizes(folder, manifest);
    for (const auto kind : kKinds) {
      if (TensorSet::exists(folder, stem_of(kind))) set(kind).emplace(folder, stem_of(kind));
    }
    if (!set(StateKind::weight)) fail(folder, "holds no weights. Use another checkpoint.");
    params = set(StateKind::weight)->specs();
    weight_dtype = set(StateKind::weight)->weight_dtype();
    const auto path = folder + "/" + kRunStateName;
    run = parse_run_state(read_text(path, kMaxText), path);
    if (run.state.global_step != manifest.global_step) {
      fail(folder, "manifest and run state are of different steps. Use another checkpoint.");
    }
    const auto trainer = folder + "/" + kTrainerStateName;
    if (fs::exists(trainer)) run.state.trainer_state = read_text(trainer, kMaxTrainerState);
  }

  [[nodiscard]] std::optional<TensorSet>& set(StateKind kind) {
    return sets.at(static_cast<std::size_t>(kind));
  }
  [[nodiscard]] const std::optional<TensorSet>& set(StateKind kind) const {
    return sets.at(static_cast<std::size_t>(kind));
  }
};

NativeCheckpoint::NativeCheckpoint(const std::string& folder) : impl_(std::make_unique<Impl>()) {
  impl_->folder = folder;
  try {
    impl_->open();
  } catch (const CheckpointError&) {
    throw;
  } catch (const FileError& error) {
    throw CheckpointError(error.what());
  }
}

NativeCheckpoint::~NativeCheckpoint() = default;

bool NativeCheckpoint::has(StateKind kind) const { return impl_->set(kind).has_value(); }

void NativeCheckpoint::read(StateKind kind, const ParamSpec& param, std::int64_t begin,
                            std::span<float> values) const {
  const auto& set = impl_->set(kind);
  if (!set) fail(impl_->folder, fmt::format("holds no {}.", to_string(kind)));
  const auto* place = set->find(param.name);
  if (place == nullptr) {
    fail(impl_->folder, fmt::format("{} of '{}' is missing.", to_string(kind), param.name));
  }
  const auto count = static_cast<std::int64_t>(values.size());
  if (begin < 0 || begin + count > place->entry->numel()) {
    fail(impl_->folder,
         fmt::format("{} of '{}' has {} elements, asked for [{}, {}).", to_string(kind), param.name,
                     place->entry->numel(), begin, begin + count));
  }
  try {
    place->file->read(param.name, begin, values);
  } catch (const CheckpointError&) {
    throw;
  } catch (const FileError& error) {
    throw CheckpointError(error.what());
  }
}

const RunState& NativeCheckpoint::run_state() const { return impl_->run.state; }
const std::vector<ParamSpec>& NativeCheckpoint::params() const { return impl_->params; }
DType NativeCheckpoint::weight_dtype() const { return impl_->weight_dtype; }
const std::string& NativeCheckpoint::config() const { return impl_->run.config; }
const std::string& NativeCheckpoint::folder() const { return impl_->folder; }

void NativeCheckpoint::check(const std::vector<ParamSpec>& params) const {
  std::string problems;
  for (const auto kind : kKinds) {
    const auto& set = impl_->set(kind);
    if (!set) continue;
    std::set<std::string> known;
    for (const auto& param : params) {
      known.insert(param.name);
      const auto* place = set->find(param.name);
      if (place == nullptr) {
        problems += fmt::format("\n  missing: {} of {}", to_string(kind), param.name);
      } else if (place->entry->shape != param.shape) {
        problems += fmt::format("\n  {} of {}: got {}, expected {}", to_string(kind), param.name,
                                shape_text(place->entry->shape), shape_text(param.shape));
      }
    }
    for (const auto& [name, place] : set->tensors()) {
      if (known.count(name) == 0) {
        problems += fmt::format("\n  unexpected: {} of {}", to_string(kind), name);
      }
    }
  }
  if (!problems.empty()) {
    fail(impl_->folder,
         "is of another model:" + problems + "\n  Resume with the model that saved it.");
  }
}

bool is_native(const std::string& folder) { return fs::exists(fs::path(folder) / kManifestName); }

}  // namespace zt::checkpoint
