#include <fmt/format.h>

#include <array>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <regex>
#include <set>
#include <system_error>

#include "checkpoint/huggingface.h"

namespace zt::checkpoint {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

/// Copied byte for byte; whatever is missing at the source is not written.
constexpr std::array<const char*, 9> kTokenizerFiles{
    "tokenizer.json",      "tokenizer_config.json",   "vocab.json",
    "merges.txt",          "special_tokens_map.json", "added_tokens.json",
    "chat_template.jinja", "tokenizer.model",         "chat_template.json"};

[[noreturn]] void fail(const fs::path& path, const std::string& what) {
  throw FileError(fmt::format("[checkpoint.huggingface] {}: {}", path.string(), what));
}

const char* torch_name(DType dtype) {
  switch (dtype) {
    case DType::bf16:
      return "bfloat16";
    case DType::f16:
      return "float16";
    default:
      return "float32";
  }
}

/// Indent 2, sorted keys, trailing newline, as transformers writes.
void write_json(const fs::path& path, const json& value) {
  const auto temporary = path.string() + ".writing";
  std::ofstream file(temporary, std::ios::binary | std::ios::trunc);
  file << value.dump(2) << '\n';
  file.close();
  if (!file) fail(path, "cannot be written. Check space and permissions.");
  fs::rename(temporary, path);
}

void copy_if_there(const fs::path& from, const fs::path& to) {
  std::error_code error;
  if (!fs::exists(from) || fs::equivalent(from, to, error)) return;
  fs::copy_file(from, to, fs::copy_options::overwrite_existing, error);
  if (error) fail(to, "cannot be written: " + error.message() + ".");
}

/// model.safetensors, or model-<digits>-of-<digits>.safetensors.
bool is_weight_file(const std::string& name) {
  static const std::regex kPattern(R"(model(-\d+-of-\d+)?\.safetensors)");
  return std::regex_match(name, kPattern);
}

}  // namespace

struct HuggingFaceWriter::Impl {
  HuggingFaceSave save;
  const std::vector<layout::ParamSpec>& params;
  std::vector<layout::ParamId> order;
  std::vector<std::size_t> shard_begin;  ///< position in order of each shard's first parameter
  std::unique_ptr<SafetensorsWriter> writer;
  std::size_t next = 0;
  std::size_t shard = 0;

  [[nodiscard]] const layout::ParamSpec& param(std::size_t position) const {
    return params.at(static_cast<std::size_t>(order.at(position).value));
  }
  [[nodiscard]] fs::path file(std::size_t index) const {
    const auto count = shard_begin.size();
    return fs::path(save.folder) /
           (count == 1 ? std::string("model.safetensors")
                       : fmt::format("model-{:05}-of-{:05}.safetensors", index + 1, count));
  }
  [[nodiscard]] std::size_t shard_end(std::size_t index) const {
    return index + 1 < shard_begin.size() ? shard_begin[index + 1] : order.size();
  }

  void cut_shards() {
    Bytes filled;
    for (std::size_t i = 0; i < order.size(); ++i) {
      const auto bytes = storage(param(i).numel(), save.dtype);
      if (i == 0 || filled + bytes > save.shard_bytes) {
        shard_begin.push_back(i);
        filled = {};
      }
      filled += bytes;
    }
  }

  void open_shard() {
    std::vector<SafetensorsWriter::Tensor> tensors;
    for (auto i = shard_begin[shard]; i < shard_end(shard); ++i) {
      tensors.push_back({param(i).name, save.dtype, param(i).shape});
    }
    writer = std::make_unique<SafetensorsWriter>(file(shard).string(), tensors);
  }

  void write_index() const {
    const auto path = fs::path(save.folder) / "model.safetensors.index.json";
    if (shard_begin.size() == 1) {
      fs::remove(path);
      return;
    }
    json map = json::object();
    std::int64_t total = 0;
    for (std::size_t s = 0; s < shard_begin.size(); ++s) {
      for (auto i = shard_begin[s]; i < shard_end(s); ++i) {
        map[param(i).name] = file(s).filename().string();
        total += storage(param(i).numel(), save.dtype).value;
      }
    }
    write_json(path, {{"metadata", {{"total_size", total}}}, {"weight_map", map}});
  }

  void remove_stale() const {
    std::set<std::string> current;
    for (std::size_t s = 0; s < shard_begin.size(); ++s)
      current.insert(file(s).filename().string());
    for (const auto& entry : fs::directory_iterator(save.folder)) {
      const auto name = entry.path().filename().string();
      if (is_weight_file(name) && current.count(name) == 0) fs::remove(entry.path());
    }
  }

  void write_config() const {
    const auto path = fs::path(save.source) / "config.json";
    std::ifstream file(path, std::ios::binary);
    auto config = json::parse(file, nullptr, false);
    if (config.is_discarded() || !config.is_object()) fail(path, "is not a JSON object.");
    // Old-style keys: transformers 4 knows only them, 5 converts them.
    config["torch_dtype"] = torch_name(save.dtype);
    config.erase("dtype");
    const auto rope = config.find("rope_parameters");
    if (rope != config.end() && rope->is_object() && rope->contains("rope_theta")) {
      config["rope_theta"] = (*rope)["rope_theta"];
      config["rope_scaling"] = nullptr;
      config.erase("rope_parameters");
    }
    write_json(fs::path(save.folder) / "config.json", config);
  }
};

HuggingFaceWriter::HuggingFaceWriter(HuggingFaceSave save,
                                     const std::vector<layout::ParamSpec>& params,
                                     std::vector<layout::ParamId> order)
    : impl_(new Impl{std::move(save), params, std::move(order), {}, nullptr}) {
  std::error_code error;
  fs::create_directories(impl_->save.folder, error);
  if (error) fail(impl_->save.folder, "cannot be created: " + error.message() + ".");
  impl_->cut_shards();
}

HuggingFaceWriter::~HuggingFaceWriter() = default;

void HuggingFaceWriter::write(layout::ParamId id, const View& values) {
  auto& self = *impl_;
  ZT_ASSERT(self.next < self.order.size() && self.order[self.next] == id, "parameter out of order");
  ZT_ASSERT(values.dtype == self.save.dtype, "parameter of another dtype than the save");
  if (self.next == self.shard_begin.at(self.shard)) self.open_shard();
  self.writer->write(values);
  ++self.next;
  if (self.next == self.shard_end(self.shard)) {
    self.writer->finish();
    self.writer.reset();
    if (self.next < self.order.size()) ++self.shard;
  }
}

void HuggingFaceWriter::finish() {
  auto& self = *impl_;
  ZT_ASSERT(self.next == self.order.size(), "not all parameters were written");
  self.write_index();
  self.write_config();
  const fs::path folder = self.save.folder;
  copy_if_there(fs::path(self.save.source) / "generation_config.json",
                folder / "generation_config.json");
  if (!self.save.tokenizer_source.empty()) {
    for (const char* name : kTokenizerFiles) {
      copy_if_there(fs::path(self.save.tokenizer_source) / name, folder / name);
    }
  }
  self.remove_stale();
}

}  // namespace zt::checkpoint
