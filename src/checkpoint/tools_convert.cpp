#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <system_error>

#include "base/error.h"
#include "checkpoint/file_io.h"
#include "checkpoint/model_folder.h"
#include "checkpoint/names.h"
#include "checkpoint/native_checkpoint.h"
#include "checkpoint/native_layout.h"
#include "checkpoint/native_save.h"
#include "checkpoint/piece_writer.h"
#include "checkpoint/tools.h"
#include "kernels/cast/cast.h"

namespace zt::checkpoint {
namespace {

namespace fs = std::filesystem;
using layout::ParamSpec;
using layout::StateKind;

constexpr std::int64_t kChunk = 1 << 20;  ///< elements in memory

/// Takes the values of a slice in the wanted dtype.
using Sink = std::function<void(std::int64_t begin, const View& values)>;

/// Streams tensors out of a checkpoint, cast on the way.
class Reader {
 public:
  Reader(const OpenedCheckpoint& from, const ToolProgress& progress, Bytes total)
      : from_(from), progress_(progress), total_(total), wide_(kChunk), narrow_(kChunk) {}

  /// The kind that gives `kind` in `dtype` with the fewest roundings.
  [[nodiscard]] StateKind best_source(StateKind kind, DType dtype) const {
    const bool has_master = from_.source->has(StateKind::master);
    if (kind == StateKind::weight && dtype != from_.dtype && has_master) return StateKind::master;
    if (kind == StateKind::master && !has_master) return StateKind::weight;
    return kind;
  }

  void stream(StateKind kind, const ParamSpec& param, DType dtype, const Sink& sink) {
    const auto source = best_source(kind, dtype);
    const auto numel = param.numel().value;
    for (std::int64_t begin = 0; begin < numel; begin += kChunk) {
      const auto count = std::min(kChunk, numel - begin);
      from_.source->read(source, param, begin,
                         std::span(wide_).first(static_cast<std::size_t>(count)));
      View values{wide_.data(), count, DType::f32};
      if (dtype != DType::f32) {
        const View cast{narrow_.data(), count, dtype};
        kernels::cast(values, cast, Launch{});
        values = cast;
      }
      sink(begin, values);
      done_ += storage({count}, DType::f32);
      if (progress_) progress_(done_, total_);
    }
  }

 private:
  const OpenedCheckpoint& from_;
  const ToolProgress& progress_;
  Bytes done_, total_;
  std::vector<float> wide_;
  std::vector<std::uint16_t> narrow_;
};

std::string model_folder(const OpenedCheckpoint& from, const ConvertOptions& options) {
  auto folder = options.model.empty() ? from.model_folder : options.model;
  if (folder.empty()) {
    throw ConfigError(
        "[checkpoint.convert] the checkpoint has no config.json: the new one needs one. Give "
        "--model <folder of the model>.");
  }
  return folder;
}

/// A folder beside the target that becomes it; removed when something fails.
class NewFolder {
 public:
  explicit NewFolder(const std::string& target) : target_(fs::path(target).lexically_normal()) {
    if (!target_.has_filename()) target_ = target_.parent_path();
    require_free_target(target_.string());
    std::error_code error;
    const auto parent = target_.has_parent_path() ? target_.parent_path() : fs::path(".");
    partial_ = parent / ("." + target_.filename().string() + ".partial");
    fs::create_directories(parent, error);
    fs::remove_all(partial_, error);
    if (!fs::create_directory(partial_, error)) {
      throw CheckpointError(fmt::format("[checkpoint.convert] {}: cannot be created: {}.",
                                        partial_.string(), error.message()));
    }
  }
  ~NewFolder() {
    std::error_code ignored;
    if (!published_) fs::remove_all(partial_, ignored);
  }
  NewFolder(const NewFolder&) = delete;
  NewFolder& operator=(const NewFolder&) = delete;

  [[nodiscard]] std::string file(const std::string& name) const {
    return (partial_ / name).string();
  }
  [[nodiscard]] std::string path() const { return partial_.string(); }
  void publish() {
    sync_folder(partial_.string());
    std::error_code error;
    fs::remove(target_, error);  // empty
    publish_folder(partial_.string(), target_.string());
    published_ = true;
    sync_folder(partial_.parent_path().string());
  }

 private:
  fs::path target_, partial_;
  bool published_ = false;
};

std::vector<layout::ParamId> in_order(const std::vector<ParamSpec>& params) {
  std::vector<layout::ParamId> order;
  order.reserve(params.size());
  for (int i = 0; i < checked_narrow<int>(params.size()); ++i) order.push_back({i});
  return order;
}

void check_space(const NewFolder& folder, std::int64_t need) {
  const auto there = free_bytes(folder.file("."));
  if (need <= there) return;
  throw CheckpointError(
      fmt::format("[checkpoint.convert] the disk is too small: it has {} free, the new checkpoint "
                  "needs {}. Free space or choose another folder.",
                  format_bytes({there}), format_bytes({need})));
}

}  // namespace

void require_free_target(const std::string& target) {
  std::error_code error;
  if (!fs::exists(target) || fs::is_empty(target, error)) return;
  throw ConfigError(fmt::format(
      "[checkpoint.convert] {}: is there already and not empty. Choose another folder.", target));
}

void convert_to_huggingface(const OpenedCheckpoint& from, const ConvertOptions& options,
                            const ToolProgress& progress) {
  const auto dtype = options.dtype.value_or(from.dtype);
  const auto model = model_folder(from, options);
  const auto side_files = model_side_files(model, model, dtype);
  const auto set =
      TensorFileSet::plan("model", from.params, in_order(from.params), dtype, options.shard_bytes);
  NewFolder folder(options.target);
  std::int64_t need = 0;
  for (const auto& file : set.files) need += file.size;
  check_space(folder, need);
  for (const auto& file : set.files) {
    File(folder.file(file.path), File::Mode::create).reserve(file.size);
  }
  PieceWriter writer(folder.path(), set.files, 1);
  Reader reader(from, progress, widened_bytes(from.params));
  for (std::size_t f = 0; f < set.files.size(); ++f) {
    const auto& file = set.files[f];
    writer.append(0, f, 0, std::as_bytes(std::span<const char>(file.header)));
    for (std::size_t i = 0; i < file.params.size(); ++i) {
      const auto& param = from.params.at(static_cast<std::size_t>(file.params[i].value));
      const auto own = param.dtype(dtype);
      reader.stream(StateKind::weight, param, own, [&](std::int64_t begin, const View& values) {
        writer.append(
            0, f, file.begin[i] + begin * size_of(own).value,
            {values.as<const std::byte>(), static_cast<std::size_t>(values.bytes().value)});
      });
    }
  }
  writer.finish();
  if (!set.index_path.empty()) write_text(folder.file(set.index_path), set.index);
  for (const auto& file : side_files) write_text(folder.file(file.name), file.text);
  folder.publish();
}

std::string convert_to_native(const OpenedCheckpoint& from, const ConvertOptions& options,
                              const ToolProgress& progress) {
  NativeSaveOptions save;
  save.output_dir = options.target;
  save.source = save.tokenizer_source = model_folder(from, options);
  save.run_state = from.source->run_state();
  require_free_target(
      (fs::path(options.target) / checkpoint_name(save.run_state.global_step)).string());
  // Without it a run that goes on would not keep the seeds of the one that saved.
  if (const auto* native = dynamic_cast<const NativeCheckpoint*>(from.source.get())) {
    save.config = native->config();
  }
  save.tensors = {options.dtype.value_or(from.dtype), from.source->has(StateKind::exp_avg),
                  options.shard_bytes};
  NativeSave native(save, from.params, exchange_alone());
  std::vector<StateKind> kinds;
  for (const auto kind :
       {StateKind::weight, StateKind::master, StateKind::exp_avg, StateKind::exp_avg_sq}) {
    if (native.layout().has(kind)) kinds.push_back(kind);
  }
  Reader reader(from, progress,
                widened_bytes(from.params) * static_cast<std::int64_t>(kinds.size()));
  for (const auto kind : kinds) {
    for (const auto id : in_order(from.params)) {
      reader.stream(kind, from.params.at(static_cast<std::size_t>(id.value)),
                    native.layout().dtype(kind, id), [&](std::int64_t begin, const View& values) {
                      native.write({kind, id, begin, {values.numel}}, values);
                    });
    }
  }
  return native.publish();
}

}  // namespace zt::checkpoint
