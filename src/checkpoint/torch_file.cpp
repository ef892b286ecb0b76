#include "checkpoint/torch_file.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cstring>

#include "base/error.h"
#include "kernels/cast/cast.h"

static_assert(std::endian::native == std::endian::little, "storages are little-endian");

namespace zt::checkpoint {
namespace {

constexpr std::size_t kPiece = 1U << 20;  ///< elements read at a time

[[noreturn]] void fail(const std::string& path, const std::string& what) {
  throw CheckpointError(
      fmt::format("[checkpoint.pt] {}: {}. Save the checkpoint again.", path, what));
}

/// The folder inside of the file, `<name>/`: the one that holds data.pkl.
std::string find_folder(const ZipFile& zip) {
  std::string folder;
  for (const auto& [name, entry] : zip.entries()) {
    const auto slash = name.find('/');
    if (slash == std::string::npos) fail(zip.path(), "is a zip file, but not one of torch.save");
    if (name.substr(slash + 1) == "constants.pkl") {
      fail(zip.path(), "is a TorchScript program, not a checkpoint");
    }
    if (name.substr(slash + 1) == "data.pkl") {
      if (!folder.empty()) fail(zip.path(), "holds two pickles");
      folder = name.substr(0, slash + 1);
    }
  }
  if (folder.empty()) fail(zip.path(), "holds no data.pkl, so it is not a file of torch.save");
  const auto order = zip.entries().find(folder + "byteorder");
  if (order != zip.entries().end()) {
    const auto text = zip.bytes(order->second);
    if (std::string(reinterpret_cast<const char*>(text.data()), text.size()) != "little") {
      fail(zip.path(), "its numbers are not little-endian");
    }
  }
  return folder;
}

template <typename T>
double as_double(const std::byte* at) {
  T value{};
  std::memcpy(&value, at, sizeof(value));
  return static_cast<double>(value);
}

}  // namespace

TorchFile::TorchFile(const std::string& path) : zip_(path), folder_(find_folder(zip_)) {
  const auto pickle = folder_ + "data.pkl";
  zip_.check_crc(pickle);
  pickle_ = unpickle(zip_.bytes(zip_.entries().at(pickle)), path);
  for (const auto& storage : pickle_.storages) {
    const auto found = zip_.entries().find(folder_ + "data/" + storage.key);
    if (found == zip_.entries().end()) {
      fail(path, fmt::format("storage {} is missing", storage.key));
    }
    if (found->second.size != storage.numel * size_of(storage.dtype)) {
      fail(path, fmt::format("storage {}: got {} bytes, expected {}", storage.key,
                             found->second.size, storage.numel * size_of(storage.dtype)));
    }
    storages_.push_back(zip_.bytes(found->second).data());
  }
}

void TorchFile::verify() const {
  for (const auto& [name, entry] : zip_.entries()) zip_.check_crc(name);
}

/// Neighbours in the storage, from `element` on; the file's memory is given back piece by piece.
void TorchFile::read_run(const TensorRef& tensor, std::int64_t element,
                         std::span<float> values) const {
  while (!values.empty()) {
    const auto part = values.first(std::min(values.size(), kPiece));
    read_piece(tensor, element, part);
    values = values.subspan(part.size());
    element += static_cast<std::int64_t>(part.size());
  }
}

void TorchFile::read_piece(const TensorRef& tensor, std::int64_t element,
                           std::span<float> values) const {
  const auto type = dtype(tensor);
  const auto width = size_of(type);
  const auto count = static_cast<std::int64_t>(values.size());
  const auto* source = storages_[tensor.storage] + element * width;
  if (type == TorchDType::f32) {
    std::memcpy(values.data(), source, values.size() * sizeof(float));
  } else if (type == TorchDType::f64) {
    for (std::int64_t i = 0; i < count; ++i) {
      values[static_cast<std::size_t>(i)] = static_cast<float>(as_double<double>(source + i * 8));
    }
  } else if (type == TorchDType::f16 || type == TorchDType::bf16) {
    const auto from = type == TorchDType::f16 ? DType::f16 : DType::bf16;
    std::vector<std::uint16_t> staged(values.size());  // storages are only byte-aligned
    std::memcpy(staged.data(), source, values.size() * sizeof(std::uint16_t));
    kernels::cast({staged.data(), count, from}, {values.data(), count, DType::f32}, Launch{});
  } else {
    fail(path(),
         fmt::format("a tensor has the type {}, expected a floating-point type", to_string(type)));
  }
  zip_.release({source, values.size() * static_cast<std::size_t>(width)});
}

void TorchFile::read(const TensorRef& tensor, std::int64_t begin, std::span<float> values) const {
  const auto count = static_cast<std::int64_t>(values.size());
  ZT_ASSERT(begin >= 0 && begin + count <= tensor.numel(), "slice leaves its tensor");
  if (count == 0) return;
  // The innermost dimensions that are contiguous together form one run.
  std::int64_t run = 1;
  auto dims = tensor.shape.size();
  while (dims > 0 && (tensor.stride[dims - 1] == run || tensor.shape[dims - 1] == 1)) {
    run *= tensor.shape[--dims];
  }
  for (std::int64_t done = 0; done < count;) {
    const auto position = begin + done;
    auto element = tensor.offset + position % run;
    auto row = position / run;
    for (auto d = dims; d-- > 0;) {
      element += row % tensor.shape[d] * tensor.stride[d];
      row /= tensor.shape[d];
    }
    const auto length = std::min(count - done, run - position % run);
    read_run(tensor, element,
             values.subspan(static_cast<std::size_t>(done), static_cast<std::size_t>(length)));
    done += length;
  }
}

double TorchFile::scalar(const TensorRef& tensor) const {
  if (tensor.numel() != 1) fail(path(), "a tensor that should be one number is not");
  const auto* at = first_byte(tensor);
  switch (dtype(tensor)) {
    case TorchDType::f64:
      return as_double<double>(at);
    case TorchDType::i64:
      return as_double<std::int64_t>(at);
    case TorchDType::i32:
      return as_double<std::int32_t>(at);
    case TorchDType::i16:
      return as_double<std::int16_t>(at);
    case TorchDType::i8:
      return as_double<std::int8_t>(at);
    case TorchDType::u8:
    case TorchDType::boolean:
      return as_double<std::uint8_t>(at);
    default: {
      float value = 0;
      read(tensor, 0, {&value, 1});
      return value;
    }
  }
}

}  // namespace zt::checkpoint
