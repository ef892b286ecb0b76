#include <fmt/format.h>

#include <filesystem>
#include <fstream>
#include <set>
#include <system_error>

#include "checkpoint/file_io.h"
#include "checkpoint/huggingface.h"
#include "checkpoint/model_folder.h"
#include "checkpoint/native_layout.h"
#include "checkpoint/safetensors.h"

namespace zt::checkpoint {
namespace {

namespace fs = std::filesystem;

[[noreturn]] void fail(const fs::path& path, const std::string& what) {
  throw FileError(fmt::format("[checkpoint.huggingface] {}: {}", path.string(), what));
}

/// Replaces a file only when the new one is complete.
void put_file(const fs::path& path, const std::string& text) {
  const auto temporary = path.string() + ".writing";
  std::error_code error;
  fs::remove(temporary, error);
  write_text(temporary, text);
  fs::rename(temporary, path, error);
  if (error) fail(path, "cannot be written: " + error.message() + ".");
}

}  // namespace

struct HuggingFaceWriter::Impl {
  HuggingFaceSave save;
  const std::vector<layout::ParamSpec>& params;
  TensorFileSet set;
  std::unique_ptr<SafetensorsWriter> writer;
  std::size_t file = 0;  ///< that is being written
  std::size_t next = 0;  ///< parameter inside the file

  [[nodiscard]] bool done() const { return file == set.files.size(); }

  void open_file() {
    std::vector<SafetensorsWriter::Tensor> tensors;
    for (const auto id : set.files[file].params) {
      const auto& param = params.at(static_cast<std::size_t>(id.value));
      tensors.push_back({param.name, param.dtype(save.dtype), param.shape});
    }
    writer = std::make_unique<SafetensorsWriter>(
        (fs::path(save.folder) / set.files[file].path).string(), tensors);
  }

  /// Shards of an earlier save have the same names: a save that ends among them would leave half of
  /// each model under one index.
  void take_back_index() const {
    if (set.index_path.empty()) return;  // one rename replaces one file
    const auto index = fs::path(save.folder) / set.index_path;
    std::error_code error;
    fs::remove(index, error);
    if (error) fail(index, "cannot be replaced: " + error.message() + ".");
    sync_folder(save.folder);
  }

  void remove_stale() const {
    std::set<std::string> current;
    for (const auto& it : set.files) current.insert(it.path);
    for (const auto& entry : fs::directory_iterator(save.folder)) {
      const auto name = entry.path().filename().string();
      if (is_weight_file(name) && current.count(name) == 0) fs::remove(entry.path());
    }
    if (set.index_path.empty()) fs::remove(fs::path(save.folder) / "model.safetensors.index.json");
  }
};

HuggingFaceWriter::HuggingFaceWriter(HuggingFaceSave save,
                                     const std::vector<layout::ParamSpec>& params,
                                     std::vector<layout::ParamId> order) {
  std::error_code error;
  fs::create_directories(save.folder, error);
  if (error) fail(save.folder, "cannot be created: " + error.message() + ".");
  auto set = TensorFileSet::plan("model", params, order, save.dtype, save.shard_bytes);
  impl_.reset(new Impl{std::move(save), params, std::move(set), nullptr});
}

HuggingFaceWriter::~HuggingFaceWriter() = default;

void HuggingFaceWriter::write(layout::ParamId id, const View& values) {
  auto& self = *impl_;
  ZT_ASSERT(!self.done() && self.set.files[self.file].params[self.next] == id,
            "parameter out of order");
  ZT_ASSERT(
      values.dtype == self.params.at(static_cast<std::size_t>(id.value)).dtype(self.save.dtype),
      "parameter of another dtype than the save");
  if (self.next == 0) self.open_file();
  self.writer->write(values);
  if (++self.next < self.set.files[self.file].params.size()) return;
  if (self.file == 0) self.take_back_index();
  self.writer->finish();
  self.writer.reset();
  ++self.file;
  self.next = 0;
}

void HuggingFaceWriter::finish() {
  auto& self = *impl_;
  ZT_ASSERT(self.done(), "not all parameters were written");
  const fs::path folder = self.save.folder;
  if (!self.set.index_path.empty()) put_file(folder / self.set.index_path, self.set.index);
  for (const auto& file :
       model_side_files(self.save.source, self.save.tokenizer_source, self.save.dtype)) {
    put_file(folder / file.name, file.text);
  }
  self.remove_stale();
}

}  // namespace zt::checkpoint
