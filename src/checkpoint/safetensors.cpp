#include "checkpoint/safetensors.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cerrno>
#include <cstring>
#include <limits>
#include <nlohmann/json.hpp>

#include "kernels/cast/cast.h"

static_assert(std::endian::native == std::endian::little, "safetensors values are little-endian");

namespace zt::checkpoint {
namespace {

using nlohmann::json;

constexpr std::int64_t kPrefix = 8;
constexpr std::int64_t kMaxHeader = 100'000'000;

struct DTypeName {
  const char* name;
  DType dtype;
};
constexpr std::array<DTypeName, 6> kDTypes{{{"F32", DType::f32},
                                            {"BF16", DType::bf16},
                                            {"F16", DType::f16},
                                            {"I64", DType::i64},
                                            {"I32", DType::i32},
                                            {"U8", DType::u8}}};

[[noreturn]] void fail(const std::string& path, const std::string& what) {
  throw FileError(fmt::format("[checkpoint.safetensors] {}: {}. Restore the file from its source.",
                              path, what));
}

/// shape product x size, or -1 on overflow or a negative size.
std::int64_t byte_count(const std::vector<std::int64_t>& shape, DType dtype) {
  std::int64_t bytes = size_of(dtype).value;
  for (const auto size : shape) {
    if (size < 0 || __builtin_mul_overflow(bytes, size, &bytes)) return -1;
  }
  return bytes;
}

/// nlohmann keeps the last of two equal keys; a parser callback sees both.
json parse_unique(const std::string& path, const char* text, std::size_t size) {
  std::vector<std::vector<std::string>> keys;
  std::string duplicate;
  const auto watch = [&](int depth, json::parse_event_t event, json& value) {
    if (event == json::parse_event_t::object_start)
      keys.resize(static_cast<std::size_t>(depth) + 1);
    if (event == json::parse_event_t::object_start) keys.back().clear();
    if (event == json::parse_event_t::key && depth == 1 && !keys.empty()) {
      keys.front().push_back(value.get<std::string>());
    }
    return true;
  };
  auto root = json::parse(text, text + size, watch, false);
  if (root.is_discarded() || !root.is_object()) fail(path, "its header is not a JSON object");
  if (!keys.empty()) {
    auto& names = keys.front();
    std::sort(names.begin(), names.end());
    const auto twice = std::adjacent_find(names.begin(), names.end());
    if (twice != names.end()) fail(path, "tensor '" + *twice + "' is in the header twice");
  }
  return root;
}

TensorEntry parse_entry(const std::string& path, const std::string& name, const json& value) {
  const auto bad = [&](const char* what) {
    fail(path, fmt::format("tensor '{}': {}", name, what));
  };
  if (!value.is_object() || !value.contains("dtype") || !value["dtype"].is_string() ||
      !value.contains("shape") || !value["shape"].is_array() || !value.contains("data_offsets") ||
      !value["data_offsets"].is_array() || value["data_offsets"].size() != 2) {
    bad("its header entry lacks dtype, shape or data_offsets");
  }
  TensorEntry entry;
  const auto dtype = value["dtype"].get<std::string>();
  const auto known = std::find_if(kDTypes.begin(), kDTypes.end(),
                                  [&](const DTypeName& it) { return dtype == it.name; });
  if (known == kDTypes.end()) bad(("dtype " + dtype + " is not supported").c_str());
  entry.dtype = known->dtype;
  const auto integer = [&](const json& number) {
    if (!number.is_number_unsigned() || number.get<std::uint64_t>() > (1ULL << 62)) {
      bad("a size or offset is not a non-negative integer");
    }
    return number.get<std::int64_t>();
  };
  for (const auto& size : value["shape"]) entry.shape.push_back(integer(size));
  entry.begin = integer(value["data_offsets"][0]);
  entry.end = integer(value["data_offsets"][1]);
  if (entry.end < entry.begin || byte_count(entry.shape, entry.dtype) != entry.end - entry.begin) {
    bad("its shape and data_offsets disagree");
  }
  return entry;
}

}  // namespace

std::int64_t TensorEntry::numel() const { return (end - begin) / size_of(dtype).value; }

SafetensorsFile::SafetensorsFile(const std::string& path) : path_(path) {
  file_ = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  struct stat status {};
  if (file_ < 0 || fstat(file_, &status) != 0 || !S_ISREG(status.st_mode)) {
    const std::string reason = file_ < 0 ? std::strerror(errno) : "not a regular file";
    if (file_ >= 0) close(file_);
    throw FileError(
        fmt::format("[checkpoint.safetensors] {}: cannot be opened: {}.", path, reason));
  }
  size_ = status.st_size;
  try {
    if (size_ < kPrefix) fail(path_, fmt::format("got {} bytes, expected at least 8", size_));
    void* mapped = mmap(nullptr, static_cast<std::size_t>(size_), PROT_READ, MAP_PRIVATE, file_, 0);
    if (mapped == MAP_FAILED) fail(path_, std::string("cannot be mapped: ") + std::strerror(errno));
    data_ = static_cast<const std::byte*>(mapped);
    parse_header();
  } catch (...) {
    if (data_ != nullptr) munmap(const_cast<std::byte*>(data_), static_cast<std::size_t>(size_));
    close(file_);
    throw;
  }
}

SafetensorsFile::~SafetensorsFile() {
  munmap(const_cast<std::byte*>(data_), static_cast<std::size_t>(size_));
  close(file_);
}

void SafetensorsFile::parse_header() {
  std::uint64_t length = 0;
  std::memcpy(&length, data_, sizeof(length));
  if (length > static_cast<std::uint64_t>(kMaxHeader) ||
      static_cast<std::int64_t>(length) > size_ - kPrefix) {
    fail(path_,
         fmt::format(
             "got a header of {} bytes in a file of {}, which is cut short or no safetensors file",
             length, size_));
  }
  payload_ = kPrefix + static_cast<std::int64_t>(length);
  const auto* text = reinterpret_cast<const char*>(data_ + kPrefix);
  if (length == 0 || text[0] != '{') fail(path_, "its header does not start with '{'");
  const auto root = parse_unique(path_, text, length);
  if (const auto found = root.find("__metadata__"); found != root.end()) {
    const bool strings =
        found->is_object() && std::all_of(found->begin(), found->end(),
                                          [](const json& value) { return value.is_string(); });
    if (!strings) fail(path_, "its __metadata__ is not a map of strings");
  }
  for (const auto& [name, value] : root.items()) {
    if (name != "__metadata__") tensors_[name] = parse_entry(path_, name, value);
  }
  // The payload is covered exactly once.
  std::vector<const TensorEntry*> order;
  for (const auto& [name, entry] : tensors_) order.push_back(&entry);
  std::sort(order.begin(), order.end(), [](const TensorEntry* a, const TensorEntry* b) {
    return a->begin != b->begin ? a->begin < b->begin : a->end < b->end;
  });
  std::int64_t end = 0;
  for (const auto* entry : order) {
    if (entry->begin != end)
      fail(path_, fmt::format("values overlap or leave a hole at byte {}", end));
    end = entry->end;
  }
  if (end != size_ - payload_) {
    fail(path_,
         fmt::format("got {} bytes of values, expected {}: the file is cut short or has a tail",
                     size_ - payload_, end));
  }
}

void SafetensorsFile::read(const std::string& name, std::int64_t begin,
                           std::span<float> values) const {
  const auto found = tensors_.find(name);
  if (found == tensors_.end()) fail(path_, "has no tensor '" + name + "'");
  if (values.empty()) return;
  const auto& entry = found->second;
  const auto count = static_cast<std::int64_t>(values.size());
  ZT_ASSERT(begin >= 0 && begin + count <= entry.numel(), "slice leaves its tensor");
  if (entry.dtype != DType::f32 && entry.dtype != DType::bf16 && entry.dtype != DType::f16) {
    fail(path_, fmt::format("tensor '{}': got {}, expected fp32, bf16 or fp16", name,
                            to_string(entry.dtype)));
  }
  // Values are only byte-aligned in the file: copy, then widen.
  const auto width = size_of(entry.dtype).value;
  const auto* source = data_ + payload_ + entry.begin + begin * width;
  if (entry.dtype == DType::f32) {
    std::memcpy(values.data(), source, static_cast<std::size_t>(count * width));
    return;
  }
  std::vector<std::uint16_t> staged(values.size());
  std::memcpy(staged.data(), source, static_cast<std::size_t>(count * width));
  kernels::cast({staged.data(), count, entry.dtype}, {values.data(), count, DType::f32}, Launch{});
}

SafetensorsWriter::SafetensorsWriter(std::string path, const std::vector<Tensor>& tensors)
    : path_(std::move(path)), temporary_(path_ + ".writing") {
  json header = {{"__metadata__", {{"format", "pt"}}}};
  std::int64_t end = 0;
  for (const auto& tensor : tensors) {
    const auto bytes = byte_count(tensor.shape, tensor.dtype);
    ZT_ASSERT(bytes >= 0, "tensor size overflows");
    const auto named = std::find_if(kDTypes.begin(), kDTypes.end(),
                                    [&](const DTypeName& it) { return it.dtype == tensor.dtype; });
    header[tensor.name] = {
        {"dtype", named->name}, {"shape", tensor.shape}, {"data_offsets", {end, end + bytes}}};
    expected_.push_back({bytes});
    end += bytes;
  }
  auto text = header.dump();
  text.resize(static_cast<std::size_t>(round_up(static_cast<std::int64_t>(text.size()), 8)), ' ');
  file_ = open(temporary_.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
  if (file_ < 0) {
    throw FileError(fmt::format("[checkpoint.safetensors] {}: cannot be written: {}.", temporary_,
                                std::strerror(errno)));
  }
  const std::uint64_t length = text.size();
  put(&length, sizeof(length));
  put(text.data(), text.size());
}

SafetensorsWriter::~SafetensorsWriter() {
  if (file_ < 0) return;
  close(file_);
  unlink(temporary_.c_str());
}

void SafetensorsWriter::put(const void* data, std::size_t size) {
  const auto* at = static_cast<const char*>(data);
  while (size > 0) {
    const auto written = ::write(file_, at, std::min<std::size_t>(size, 1U << 30));
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) {
      throw FileError(
          fmt::format("[checkpoint.safetensors] {}: cannot be written: {}. Free space or "
                      "choose another --output_dir.",
                      temporary_, std::strerror(errno)));
    }
    at += written;
    size -= static_cast<std::size_t>(written);
  }
}

void SafetensorsWriter::write(const View& values) {
  ZT_ASSERT(next_ < expected_.size() && values.bytes() == expected_[next_],
            "tensor written out of order or of another size");
  put(values.data, static_cast<std::size_t>(values.bytes().value));
  ++next_;
}

void SafetensorsWriter::finish() {
  ZT_ASSERT(next_ == expected_.size(), "not all tensors were written");
  const bool synced = fsync(file_) == 0;
  const bool closed = close(file_) == 0;
  file_ = -1;
  if (!synced || !closed || rename(temporary_.c_str(), path_.c_str()) != 0) {
    const std::string reason = std::strerror(errno);
    unlink(temporary_.c_str());
    throw FileError(
        fmt::format("[checkpoint.safetensors] {}: cannot be completed: {}.", path_, reason));
  }
}

}  // namespace zt::checkpoint
