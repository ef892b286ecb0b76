#include "checkpoint/pickle_writer.h"

#include <bit>
#include <cstring>
#include <limits>

namespace zt::checkpoint {
namespace {

const char* storage_class(TorchDType dtype) {
  constexpr const char* kNames[] = {
      "FloatStorage", "HalfStorage",  "BFloat16Storage", "DoubleStorage", "LongStorage",
      "IntStorage",   "ShortStorage", "CharStorage",     "ByteStorage",   "BoolStorage"};
  return kNames[static_cast<std::size_t>(dtype)];
}

}  // namespace

PickleWriter::PickleWriter() { put("\x80\x02"); }

template <typename T>
void PickleWriter::put_value(T value) {
  char bytes[sizeof(T)];
  std::memcpy(bytes, &value, sizeof(T));
  out_.append(bytes, sizeof(T));
}

void PickleWriter::integer(std::int64_t value) {
  if (value >= std::numeric_limits<std::int32_t>::min() &&
      value <= std::numeric_limits<std::int32_t>::max()) {
    put("J");
    put_value(static_cast<std::int32_t>(value));
  } else {
    put("\x8a\x08");
    put_value(value);
  }
}

void PickleWriter::real(double value) {
  put("G");
  put_value(__builtin_bswap64(std::bit_cast<std::uint64_t>(value)));
}

void PickleWriter::text(std::string_view value) {
  put("X");
  put_value(static_cast<std::uint32_t>(value.size()));
  put(value);
}

void PickleWriter::global(std::string_view module, std::string_view name) {
  put("c");
  put(module);
  put("\n");
  put(name);
  put("\n");
}

void PickleWriter::empty_set() {
  global("__builtin__", "set");
  put("]\x85R");
}

void PickleWriter::numbers(std::span<const std::int64_t> values) {
  begin_tuple();
  for (const auto value : values) integer(value);
  end_tuple();
}

void PickleWriter::size(std::span<const std::int64_t> shape) {
  global("torch", "Size");
  numbers(shape);
  put("\x85R");
}

void PickleWriter::begin_object(std::string_view module, std::string_view name) {
  global(module, name);
  put(")\x81");
}

void PickleWriter::tensor(const StorageRef& storage, std::int64_t offset,
                          std::span<const std::int64_t> shape) {
  global("torch._utils", "_rebuild_tensor_v2");
  begin_tuple();
  begin_tuple();
  text("storage");
  global("torch", storage_class(storage.dtype));
  text(storage.key);
  text("cpu");
  integer(storage.numel);
  end_tuple();
  put("Q");
  integer(offset);
  numbers(shape);
  std::vector<std::int64_t> stride(shape.size(), 1);
  for (std::size_t i = shape.size(); i-- > 1;) stride[i - 1] = stride[i] * shape[i];
  numbers(stride);
  boolean(false);
  global("collections", "OrderedDict");
  put(")R");
  end_tuple();
  put("R");
}

std::string PickleWriter::take() {
  put(".");
  return std::move(out_);
}

}  // namespace zt::checkpoint
