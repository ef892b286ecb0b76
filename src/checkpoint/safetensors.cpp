#include "checkpoint/safetensors.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>
#include <filesystem>
#include <system_error>

#include "kernels/cast/cast.h"

static_assert(std::endian::native == std::endian::little, "safetensors values are little-endian");

namespace zt::checkpoint {
namespace {

constexpr std::size_t kStaged = 256 * 1024;  ///< 16-bit elements widened at a time

[[noreturn]] void fail(const std::string& path, const std::string& what) {
  throw FileError(fmt::format("[checkpoint.safetensors] {}: {}. Restore the file from its source.",
                              path, what));
}

}  // namespace

SafetensorsFile::SafetensorsFile(const std::string& path) : file_(path, File::Mode::read) {
  const auto size = file_.size();
  if (size < kSafetensorsPrefix) fail(path, fmt::format("got {} bytes, expected at least 8", size));
  std::array<std::byte, kSafetensorsPrefix> prefix{};
  file_.read(0, prefix);
  constexpr std::string_view kPointer = "version ";  // how a pointer of Git LFS begins
  if (std::memcmp(prefix.data(), kPointer.data(), prefix.size()) == 0) {
    fail(path, "got a Git LFS pointer, expected the weights: fetch them with git lfs pull");
  }
  const auto length = std::bit_cast<std::uint64_t>(prefix);
  if (length > static_cast<std::uint64_t>(kSafetensorsMaxHeader) ||
      static_cast<std::int64_t>(length) > size - kSafetensorsPrefix) {
    fail(path,
         fmt::format(
             "got a header of {} bytes in a file of {}, which is cut short or no safetensors file",
             length, size));
  }
  std::string json(length, '\0');
  file_.read(kSafetensorsPrefix, std::as_writable_bytes(std::span<char>(json)));
  payload_ = kSafetensorsPrefix + static_cast<std::int64_t>(length);
  tensors_ = parse_safetensors_header(path, json, size - payload_);
}

void SafetensorsFile::read_bytes(const TensorEntry& entry, std::int64_t begin,
                                 std::span<std::byte> bytes) const {
  const auto offset = entry.begin + begin * size_of(entry.dtype).value;
  ZT_ASSERT(begin >= 0 && offset + static_cast<std::int64_t>(bytes.size()) <= entry.end,
            "slice leaves its tensor");
  file_.read(payload_ + offset, bytes);
}

void SafetensorsFile::read(const std::string& name, std::int64_t begin,
                           std::span<float> values) const {
  const auto found = tensors_.find(name);
  if (found == tensors_.end()) fail(path(), "has no tensor '" + name + "'");
  const auto& entry = found->second;
  if (entry.dtype == DType::f32) return read_bytes(entry, begin, std::as_writable_bytes(values));
  if (entry.dtype != DType::bf16 && entry.dtype != DType::f16) {
    fail(path(), fmt::format("tensor '{}': got {}, expected fp32, bf16 or fp16", name,
                             to_string(entry.dtype)));
  }
  std::vector<std::uint16_t> staged(std::min(values.size(), kStaged));
  while (!values.empty()) {
    const auto part = values.first(std::min(values.size(), kStaged));
    const auto count = static_cast<std::int64_t>(part.size());
    read_bytes(entry, begin, std::as_writable_bytes(std::span(staged).first(part.size())));
    kernels::cast({staged.data(), count, entry.dtype}, {part.data(), count, DType::f32}, Launch{});
    values = values.subspan(part.size());
    begin += count;
  }
}

SafetensorsWriter::SafetensorsWriter(std::string path, const std::vector<Tensor>& tensors)
    : path_(std::move(path)), temporary_(path_ + ".writing") {
  std::error_code ignored;  // of a run that died
  std::filesystem::remove(temporary_, ignored);
  file_ = File(temporary_, File::Mode::create);
  for (const auto& tensor : tensors) {
    Bytes bytes = size_of(tensor.dtype);
    for (const auto size : tensor.shape) bytes = bytes * size;
    left_.push_back(bytes);
  }
  const auto header = make_safetensors_header(tensors);
  put(std::as_bytes(std::span<const char>(header)));
}

SafetensorsWriter::~SafetensorsWriter() {
  if (!file_.is_open()) return;
  std::error_code ignored;
  std::filesystem::remove(temporary_, ignored);
}

void SafetensorsWriter::put(std::span<const std::byte> bytes) {
  file_.write(position_, bytes);
  position_ += static_cast<std::int64_t>(bytes.size());
}

void SafetensorsWriter::write(const View& values) {
  ZT_ASSERT(next_ < left_.size() && values.bytes() == left_[next_],
            "tensor written out of order or of another size");
  write_part(values);
  if (values.numel == 0) ++next_;
}

void SafetensorsWriter::write_part(const View& values) {
  if (values.numel == 0) return;
  while (next_ < left_.size() && left_[next_] == Bytes{}) ++next_;  // tensors without elements
  ZT_ASSERT(next_ < left_.size() && values.bytes() <= left_[next_], "parts exceed their tensor");
  put({values.as<const std::byte>(), static_cast<std::size_t>(values.bytes().value)});
  left_[next_] -= values.bytes();
  if (left_[next_] == Bytes{}) ++next_;
}

void SafetensorsWriter::finish() {
  while (next_ < left_.size() && left_[next_] == Bytes{}) ++next_;
  ZT_ASSERT(next_ == left_.size(), "not all tensors were written");
  file_.sync();
  file_.close();
  std::error_code error;
  std::filesystem::rename(temporary_, path_, error);
  if (error) {
    std::filesystem::remove(temporary_, error);
    throw FileError(fmt::format("[checkpoint.safetensors] {}: cannot be completed: {}.", path_,
                                error.message()));
  }
}

}  // namespace zt::checkpoint
