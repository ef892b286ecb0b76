#include "checkpoint/safetensors_header.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <nlohmann/json.hpp>

#include "base/error.h"

namespace zt::checkpoint {
namespace {

using nlohmann::json;

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

std::map<std::string, TensorEntry> parse_safetensors_header(const std::string& path,
                                                            std::string_view text,
                                                            std::int64_t payload) {
  if (text.empty() || text.front() != '{') fail(path, "its header does not start with '{'");
  std::map<std::string, TensorEntry> tensors;
  const auto root = parse_unique(path, text.data(), text.size());
  if (const auto found = root.find("__metadata__"); found != root.end()) {
    const bool strings =
        found->is_object() && std::all_of(found->begin(), found->end(),
                                          [](const json& value) { return value.is_string(); });
    if (!strings) fail(path, "its __metadata__ is not a map of strings");
  }
  for (const auto& [name, value] : root.items()) {
    if (name != "__metadata__") tensors[name] = parse_entry(path, name, value);
  }
  // The payload is covered exactly once.
  std::vector<const TensorEntry*> order;
  for (const auto& [name, entry] : tensors) order.push_back(&entry);
  std::sort(order.begin(), order.end(), [](const TensorEntry* a, const TensorEntry* b) {
    return a->begin != b->begin ? a->begin < b->begin : a->end < b->end;
  });
  std::int64_t end = 0;
  for (const auto* entry : order) {
    if (entry->begin != end)
      fail(path, fmt::format("values overlap or leave a hole at byte {}", end));
    end = entry->end;
  }
  if (end != payload) {
    fail(path,
         fmt::format("got {} bytes of values, expected {}: the file is cut short or has a tail",
                     payload, end));
  }
  return tensors;
}

std::string make_safetensors_header(const std::vector<TensorDeclaration>& tensors) {
  json header = {{"__metadata__", {{"format", "pt"}}}};
  std::int64_t end = 0;
  for (const auto& tensor : tensors) {
    const auto bytes = byte_count(tensor.shape, tensor.dtype);
    ZT_ASSERT(bytes >= 0, "tensor size overflows");
    const auto named = std::find_if(kDTypes.begin(), kDTypes.end(),
                                    [&](const DTypeName& it) { return it.dtype == tensor.dtype; });
    header[tensor.name] = {
        {"dtype", named->name}, {"shape", tensor.shape}, {"data_offsets", {end, end + bytes}}};
    end += bytes;
  }
  auto text = header.dump();
  text.resize(static_cast<std::size_t>(round_up(static_cast<std::int64_t>(text.size()), 8)), ' ');
  const std::uint64_t length = text.size();
  std::string prefix(sizeof(length), '\0');
  std::memcpy(prefix.data(), &length, sizeof(length));
  return prefix + text;
}

}  // namespace zt::checkpoint
