#include <fmt/format.h>

#include <cmath>
#include <limits>

#include "base/error.h"
#include "checkpoint/unpickle.h"

namespace zt::checkpoint {
namespace {

constexpr std::int64_t kMaxRank = 64;

const char* to_string(NodeKind kind) {
  constexpr const char* kNames[] = {"None",    "a boolean", "an integer", "a number", "text",
                                    "bytes",   "a list",    "a tuple",    "a dict",   "a set",
                                    "a class", "an object", "a storage",  "a tensor"};
  return kNames[static_cast<std::size_t>(kind)];
}

}  // namespace

std::int64_t size_of(TorchDType dtype) {
  switch (dtype) {
    case TorchDType::f64:
    case TorchDType::i64:
      return 8;
    case TorchDType::f32:
    case TorchDType::i32:
      return 4;
    case TorchDType::f16:
    case TorchDType::bf16:
    case TorchDType::i16:
      return 2;
    case TorchDType::i8:
    case TorchDType::u8:
    case TorchDType::boolean:
      return 1;
  }
  return 1;
}

const char* to_string(TorchDType dtype) {
  constexpr const char* kNames[] = {"float32", "float16", "bfloat16", "float64", "int64",
                                    "int32",   "int16",   "int8",     "uint8",   "bool"};
  return kNames[static_cast<std::size_t>(dtype)];
}

std::int64_t TensorRef::numel() const {
  std::int64_t result = 1;
  for (const auto size : shape) result *= size;
  return result;
}

void PickleValue::fail(const std::string& what) const {
  throw CheckpointError(
      fmt::format("[checkpoint.pt] {}: {}. Save the checkpoint again.", where_, what));
}

PickleValue PickleValue::child(std::uint32_t id, const std::string& step) const {
  return {*pickle_, id, where_ + step};
}

std::optional<PickleValue> PickleValue::find(std::string_view key) const {
  const Node* map = &node();
  if (map->kind == NodeKind::record && !map->items.empty()) map = &pickle_->nodes[map->items[0]];
  if (map->kind != NodeKind::dict) fail(fmt::format("got {}, expected a dict", to_string(kind())));
  for (std::size_t i = map->items.size(); i >= 2; i -= 2) {  // a later key replaces an earlier one
    const auto& name = pickle_->nodes[map->items[i - 2]];
    if (name.kind != NodeKind::text || name.text != key) continue;
    if (pickle_->nodes[map->items[i - 1]].kind == NodeKind::none) return std::nullopt;
    return child(map->items[i - 1], fmt::format("['{}']", key));
  }
  return std::nullopt;
}

std::optional<PickleValue> PickleValue::find(std::int64_t key) const {
  const auto& map = node();
  if (map.kind != NodeKind::dict) fail(fmt::format("got {}, expected a dict", to_string(kind())));
  for (std::size_t i = map.items.size(); i >= 2; i -= 2) {
    const auto& name = pickle_->nodes[map.items[i - 2]];
    if (name.kind != NodeKind::integer || name.integer != key) continue;
    return child(map.items[i - 1], fmt::format("[{}]", key));
  }
  return std::nullopt;
}

PickleValue PickleValue::at(std::string_view key) const {
  auto found = find(key);
  if (!found) fail(fmt::format("has no '{}'", key));
  return *found;
}

std::vector<PickleValue> PickleValue::items() const {
  if (kind() != NodeKind::list && kind() != NodeKind::tuple) {
    fail(fmt::format("got {}, expected a list", to_string(kind())));
  }
  std::vector<PickleValue> result;
  for (std::size_t i = 0; i < node().items.size(); ++i) {
    result.push_back(child(node().items[i], fmt::format("[{}]", i)));
  }
  return result;
}

std::vector<std::pair<std::string, PickleValue>> PickleValue::entries() const {
  if (kind() != NodeKind::dict) fail(fmt::format("got {}, expected a dict", to_string(kind())));
  std::vector<std::pair<std::string, PickleValue>> result;
  for (std::size_t i = 0; i + 1 < node().items.size(); i += 2) {
    const auto& key = pickle_->nodes[node().items[i]];
    if (key.kind != NodeKind::text) fail("a key is not text");
    result.emplace_back(key.text, child(node().items[i + 1], fmt::format("['{}']", key.text)));
  }
  return result;
}

std::int64_t PickleValue::integer() const {
  if (kind() == NodeKind::real && std::trunc(node().real) == node().real &&
      std::abs(node().real) < 9e15) {
    return static_cast<std::int64_t>(node().real);
  }
  if (kind() != NodeKind::integer && kind() != NodeKind::boolean) {
    fail(fmt::format("got {}, expected an integer", to_string(kind())));
  }
  return node().integer;
}

double PickleValue::number() const {
  return kind() == NodeKind::real ? node().real : static_cast<double>(integer());
}

const std::string& PickleValue::text() const {
  if (kind() != NodeKind::text) fail(fmt::format("got {}, expected text", to_string(kind())));
  return node().text;
}

const TensorRef& PickleValue::tensor() const {
  if (kind() != NodeKind::tensor) fail(fmt::format("got {}, expected a tensor", to_string(kind())));
  return pickle_->tensors[static_cast<std::size_t>(node().integer)];
}

std::vector<std::int64_t> PickleValue::shape() const {
  std::vector<std::int64_t> result;
  std::int64_t numel = 1;
  for (const auto& size : items()) {
    result.push_back(size.integer());
    if (result.back() < 0 || __builtin_mul_overflow(numel, result.back(), &numel) ||
        static_cast<std::int64_t>(result.size()) > kMaxRank) {
      fail("is no shape");
    }
  }
  return result;
}

}  // namespace zt::checkpoint
