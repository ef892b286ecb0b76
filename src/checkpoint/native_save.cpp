#include "checkpoint/native_save.h"

#include <fmt/format.h>

#include <atomic>
#include <charconv>
#include <filesystem>
#include <system_error>

#include "checkpoint/manifest.h"
#include "checkpoint/model_folder.h"
#include "checkpoint/names.h"
#include "checkpoint/piece_writer.h"
#include "checkpoint/run_state.h"

namespace zt::checkpoint {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t kKinds = 4;
constexpr std::int64_t kManifestPerPiece = 64;  ///< bytes of text, for the free-space check

/// One line `file begin end hash` per piece.
std::string pieces_text(const std::vector<PieceWriter::FilePiece>& pieces) {
  std::string text;
  for (const auto& it : pieces) {
    text += fmt::format("{} {} {} {}\n", it.file, it.piece.begin, it.piece.end, it.piece.hash);
  }
  return text;
}

void add_pieces(const std::string& text, std::vector<ManifestFile>& files) {
  const char* at = text.data();
  const char* const end = at + text.size();
  const auto next = [&](auto& value) {
    const auto result = std::from_chars(at, end, value);
    ZT_ASSERT(result.ec == std::errc() && result.ptr < end, "pieces of a rank");
    at = result.ptr + 1;
  };
  while (at < end) {
    std::size_t file = 0;
    Piece piece;
    next(file);
    next(piece.begin);
    next(piece.end);
    next(piece.hash);
    files.at(file).pieces.push_back(piece);
  }
}

/// Synced with the rest of the save, not here.
void put_text(const std::string& path, const std::string& text) {
  File file(path, File::Mode::create);
  file.write(0, std::as_bytes(std::span<const char>(text)));
  file.close();
}

/// A text cut at multiples of kPieceBytes.
ManifestFile text_file(const SideFile& file) {
  ManifestFile result{file.name, static_cast<std::int64_t>(file.text.size()), {}};
  const auto bytes = std::as_bytes(std::span<const char>(file.text));
  for (std::int64_t begin = 0; begin < result.size; begin += kPieceBytes) {
    const auto end = std::min(result.size, begin + kPieceBytes);
    result.pieces.push_back({begin, end,
                             hash_bytes(bytes.subspan(static_cast<std::size_t>(begin),
                                                      static_cast<std::size_t>(end - begin)))});
  }
  return result;
}

}  // namespace

struct NativeSave::Impl {
  NativeSaveOptions options;
  const std::vector<layout::ParamSpec>& params;
  RankExchange exchange;
  NativeLayout layout;
  std::string partial, published;
  PieceWriter writer;
  std::string failure;  ///< of this rank's first write that failed
  std::int64_t written = 0;
  std::vector<ManifestFile> side_files;  ///< rank 0
  bool open = false;                     ///< the partial folder is this save's to remove

  Impl(NativeSaveOptions o, const std::vector<layout::ParamSpec>& p, RankExchange e)
      : options(std::move(o)),
        params(p),
        exchange(std::move(e)),
        layout(params, options.tensors),
        partial(
            (fs::path(options.output_dir) / partial_name(options.run_state.global_step)).string()),
        published((fs::path(options.output_dir) / checkpoint_name(options.run_state.global_step))
                      .string()),
        writer(partial, layout.files(), kKinds) {}

  ~Impl() {
    if (open) remove_partial();
  }

  void remove_partial() {
    open = false;
    std::error_code ignored;  // what stays is removed when the next run starts
    if (exchange.rank == 0) fs::remove_all(partial, ignored);
  }

  /// Small files, and the check that all of the save fits, before anything is written.
  std::vector<SideFile> plan_side_files() const {
    auto files = model_side_files(options.source, options.tokenizer_source, options.tensors.dtype);
    for (const auto& index : layout.indexes()) files.push_back({index.path, index.text});
    files.push_back({kRunStateName, run_state_text(options.run_state, options.config)});
    if (!options.run_state.trainer_state.empty()) {
      files.push_back({kTrainerStateName, options.run_state.trainer_state});
    }
    return files;
  }

  void check_space(const std::vector<SideFile>& files) const {
    auto need = layout.total().value;
    for (const auto& file : files) need += static_cast<std::int64_t>(file.text.size());
    need += kManifestPerPiece * (need / kPieceBytes + 4 * static_cast<std::int64_t>(params.size()));
    auto there = free_bytes(options.output_dir);
    if (need + options.keep_free.value > there && options.make_room) {
      options.make_room();
      there = free_bytes(options.output_dir);
    }
    if (need + options.keep_free.value <= there) return;
    throw CheckpointError(fmt::format(
        "[checkpoint.save] {}: the disk is too small for checkpoint-{}: it has {} free, the save "
        "needs {}. Free space, lower --save_total_limit or choose another --output_dir.",
        options.output_dir, options.run_state.global_step, format_bytes({there}),
        format_bytes({need + options.keep_free.value})));
  }

  /// Rank 0: the partial folder with its small files and all tensor files at full length.
  void prepare() {
    const auto files = plan_side_files();
    fs::create_directories(options.output_dir);
    fs::remove_all(partial);
    check_space(files);
    fs::create_directories(fs::path(partial) / "zero");
    open = true;
    for (const auto& file : files) {
      put_text(partial + "/" + file.name, file.text);
      side_files.push_back(text_file(file));
    }
    for (const auto& file : layout.files()) {
      File(partial + "/" + file.path, File::Mode::create).reserve(file.size);
    }
    for (std::size_t i = 0; i < layout.files().size(); ++i) {
      const auto& header = layout.files()[i].header;
      writer.append(0, i, 0, std::as_bytes(std::span<const char>(header)));
    }
  }

  /// Rank 0: the manifest of all ranks' pieces, then the final name.
  void complete(const std::vector<std::string>& pieces) {
    Manifest manifest{options.run_state.global_step, {}};
    for (const auto& file : layout.files()) manifest.files.push_back({file.path, file.size, {}});
    for (const auto& text : pieces) add_pieces(text, manifest.files);
    for (auto& file : manifest.files) {
      const auto problem = covering_problem(file);
      ZT_ASSERT(problem.empty(), "ranks wrote other slices than the whole: " + problem);
    }
    for (const auto& file : side_files) {
      File(partial + "/" + file.path, File::Mode::read).sync();
      manifest.files.push_back(file);
    }
    std::sort(manifest.files.begin(), manifest.files.end(),
              [](const ManifestFile& a, const ManifestFile& b) { return a.path < b.path; });
    write_text(partial + "/" + kManifestName, manifest.text());
    sync_folder(partial + "/zero");
    sync_folder(partial);
    publish_folder(partial, published);
    open = false;
    sync_folder(options.output_dir);
  }
};

NativeSave::NativeSave(NativeSaveOptions options, const std::vector<layout::ParamSpec>& params,
                       RankExchange exchange)
    : impl_(std::make_unique<Impl>(std::move(options), params, std::move(exchange))) {
  all_or_none(impl_->exchange, [&] {
    if (impl_->exchange.rank == 0) impl_->prepare();
  });
}

NativeSave::~NativeSave() = default;

const NativeLayout& NativeSave::layout() const { return impl_->layout; }

Bytes NativeSave::written() const { return {impl_->written}; }

void NativeSave::write(const layout::StateSlice& slice, const View& values) {
  auto& self = *impl_;
  ZT_ASSERT(values.numel == slice.length.value &&
                values.dtype == self.layout.dtype(slice.kind, slice.param),
            "values of a slice");
  const auto& param = self.params.at(static_cast<std::size_t>(slice.param.value));
  ZT_ASSERT(slice.begin >= 0 && slice.begin + slice.length.value <= param.numel().value,
            "slice leaves its parameter");
  if (!self.failure.empty()) return;
  const auto place = self.layout.place(slice.kind, slice.param);
  const auto offset = place.begin + slice.begin * size_of(values.dtype).value;
  try {
    self.writer.append(
        static_cast<std::size_t>(slice.kind), place.file, offset,
        {values.as<const std::byte>(), static_cast<std::size_t>(values.bytes().value)});
    self.written += values.bytes().value;
  } catch (const CheckpointError& error) {
    self.failure = error.what();
  }
}

std::string NativeSave::publish() {
  auto& self = *impl_;
  std::vector<std::string> pieces;
  try {
    all_or_none(self.exchange, [&] {
      if (!self.failure.empty()) throw CheckpointError(self.failure);
      self.writer.finish();
    });
    pieces = self.exchange.gather_text(pieces_text(self.writer.pieces()));
    all_or_none(self.exchange, [&] {
      if (self.exchange.rank == 0) self.complete(pieces);
    });
  } catch (...) {
    if (self.open) self.remove_partial();
    throw;
  }
  return self.published;
}

}  // namespace zt::checkpoint
