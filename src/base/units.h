#pragma once

#include <compare>
#include <cstdint>
#include <string>

#include "base/error.h"

namespace zt {

/// A count of bytes. `Bytes + Numel` does not compile.
struct Bytes {
  std::int64_t value = 0;
  friend constexpr auto operator<=>(Bytes, Bytes) = default;
  constexpr Bytes& operator+=(Bytes other) {
    value += other.value;
    return *this;
  }
  constexpr Bytes& operator-=(Bytes other) {
    value -= other.value;
    return *this;
  }
  friend constexpr Bytes operator+(Bytes a, Bytes b) { return {a.value + b.value}; }
  friend constexpr Bytes operator-(Bytes a, Bytes b) { return {a.value - b.value}; }
  friend constexpr Bytes operator*(Bytes a, std::int64_t n) { return {a.value * n}; }
};

/// A count of elements.
struct Numel {
  std::int64_t value = 0;
  friend constexpr auto operator<=>(Numel, Numel) = default;
  constexpr Numel& operator+=(Numel other) {
    value += other.value;
    return *this;
  }
  friend constexpr Numel operator+(Numel a, Numel b) { return {a.value + b.value}; }
  friend constexpr Numel operator-(Numel a, Numel b) { return {a.value - b.value}; }
  friend constexpr Numel operator*(Numel a, std::int64_t n) { return {a.value * n}; }
};

/// Element types that parameters, gradients, states and activations can have.
enum class DType : std::uint8_t { f32, bf16, f16, i64, i32, u8 };

/// Size of one element.
constexpr Bytes size_of(DType dtype) {
  switch (dtype) {
    case DType::f32:
      return {4};
    case DType::bf16:
      return {2};
    case DType::f16:
      return {2};
    case DType::i64:
      return {8};
    case DType::i32:
      return {4};
    case DType::u8:
      return {1};
  }
  return {0};
}

/// `fp32`, `bf16`, `fp16`, `int64`, `int32`, `uint8`.
const char* to_string(DType dtype);

/// Storage of `count` elements of `dtype`.
constexpr Bytes storage(Numel count, DType dtype) { return {count.value * size_of(dtype).value}; }

/// Parses `24GB` (decimal), `24GiB`, `500MB`, `1.5TB` or a plain byte count.
/// Errors: ConfigError naming `what` when the text is not a positive size.
Bytes parse_bytes(const std::string& text, const std::string& what);

/// `23.4 GiB`, `512.0 MiB`, `17 B`.
std::string format_bytes(Bytes bytes);

/// Smallest multiple of `alignment` that is >= `value`.
constexpr std::int64_t round_up(std::int64_t value, std::int64_t alignment) {
  return (value + alignment - 1) / alignment * alignment;
}

/// Converts between integer types. Errors: InternalError when the value does not survive.
template <typename To, typename From>
To checked_narrow(From value) {
  const To result = static_cast<To>(value);
  ZT_ASSERT(static_cast<From>(result) == value && ((result < To{}) == (value < From{})),
            "narrowing changes the value");
  return result;
}

}  // namespace zt
