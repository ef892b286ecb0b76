#pragma once

#include <array>
#include <limits>
#include <optional>
#include <string>
#include <type_traits>
#include <utility>

#include "config/fields.h"
#include "config/text_values.h"

namespace zt::config {

// Text <-> member, one overload per type of the Config tree. `read_into` returns false when the
// text is not of the type.

/// Names of an enumeration's values; specialised in fields.cpp's tables.
template <typename E>
struct Names;

inline std::string text_of(const std::string& value) { return value; }
inline std::string text_of(bool value) { return value ? "true" : "false"; }
inline std::string text_of(double value) { return format_real(value); }
inline std::string text_of(Bytes value) { return std::to_string(value.value); }
template <typename T>
requires std::is_integral_v<T> std::string text_of(T value) { return std::to_string(value); }
template <typename E>
requires std::is_enum_v<E> std::string text_of(E value) {
  for (const auto& [known, name] : Names<E>::kAll) {
    if (known == value) return name;
  }
  return "?";
}
template <typename T>
std::string text_of(const std::optional<T>& value) {
  return value ? text_of(*value) : "auto";
}

inline bool read_into(std::string& target, const std::string& text) {
  target = text;
  return true;
}
inline bool read_into(bool& target, const std::string& text) {
  const std::optional<bool> value = parse_bool(text);
  target = value.value_or(false);
  return value.has_value();
}
inline bool read_into(double& target, const std::string& text) {
  const std::optional<double> value = parse_real(text);
  target = value.value_or(0);
  return value.has_value();
}
template <typename T>
requires std::is_integral_v<T>
bool read_into(T& target, const std::string& text) {
  const std::optional<std::int64_t> value = parse_integer(text);
  if (!value || (std::is_unsigned_v<T> && *value < 0)) return false;
  if constexpr (sizeof(T) < sizeof(std::int64_t)) {
    if (*value < std::numeric_limits<T>::min() || *value > std::numeric_limits<T>::max()) {
      return false;
    }
  }
  target = static_cast<T>(*value);
  return true;
}
inline bool read_into(Bytes& target, const std::string& text) {
  try {
    const Bytes size = parse_bytes(text, "size");
    // 24 means 24 GB to its user, not 24 bytes.
    const bool has_unit = std::isalpha(static_cast<unsigned char>(text.back())) != 0;
    if (!has_unit && size.value < (1 << 20)) return false;
    target = size;
    return true;
  } catch (const ConfigError&) {
    return false;
  }
}
template <typename E>
requires std::is_enum_v<E>
bool read_into(E& target, const std::string& text) {
  for (const auto& [value, name] : Names<E>::kAll) {
    if (text == name) {
      target = value;
      return true;
    }
  }
  return false;
}
template <typename T>
bool read_into(std::optional<T>& target, const std::string& text) {
  target.reset();
  if (text == "auto") return true;
  T value{};
  if (!read_into(value, text)) return false;
  target = value;
  return true;
}

template <typename T>
struct Bare {
  using Type = T;
};
template <typename T>
struct Bare<std::optional<T>> {
  using Type = T;
};

/// The row of one member: `field<&Config::zero, &ZeroConfig::stage>("zero.stage", {0, 3})`.
template <auto Section, auto Member>
Field field(const char* path, Range range = {}) {
  using Whole = std::decay_t<decltype((std::declval<Config>().*Section).*Member)>;
  using T = typename Bare<Whole>::Type;
  Field row{path, FieldType::text, "", range, nullptr, nullptr};
  if constexpr (std::is_same_v<T, bool>) {
    row.type = FieldType::boolean;
  } else if constexpr (std::is_integral_v<T>) {
    row.type = FieldType::integer;
  } else if constexpr (std::is_same_v<T, double>) {
    row.type = FieldType::real;
  } else if constexpr (std::is_same_v<T, Bytes>) {
    row.type = FieldType::bytes;
  } else if constexpr (std::is_enum_v<T>) {
    row.type = FieldType::choice;
    if (!std::is_same_v<T, Whole>) row.choices = "auto";
    for (const auto& [value, name] : Names<T>::kAll) {
      row.choices += (row.choices.empty() ? "" : "|") + std::string(name);
    }
  }
  row.get = [](const Config& config) { return text_of((config.*Section).*Member); };
  row.set = [](Config& config, const std::string& text) {
    return read_into((config.*Section).*Member, text);
  };
  return row;
}

}  // namespace zt::config
