#include "base/units.h"

#include <fmt/core.h>

#include <array>
#include <cctype>
#include <cmath>
#include <cstdlib>

namespace zt {

const char* to_string(DType dtype) {
  switch (dtype) {
    case DType::f32:
      return "fp32";
    case DType::bf16:
      return "bf16";
    case DType::f16:
      return "fp16";
    case DType::i64:
      return "int64";
    case DType::i32:
      return "int32";
    case DType::u8:
      return "uint8";
  }
  return "?";
}

Bytes parse_bytes(const std::string& text, const std::string& what) {
  char* end = nullptr;
  const double number = std::strtod(text.c_str(), &end);
  std::string unit;
  for (; end != nullptr && *end != '\0'; ++end) {
    if (*end != ' ') unit += static_cast<char>(std::tolower(static_cast<unsigned char>(*end)));
  }
  struct Scale {
    const char* name;
    double factor;
  };
  constexpr std::array<Scale, 14> kScales{{{"", 1},
                                           {"b", 1},
                                           {"k", 1e3},
                                           {"kb", 1e3},
                                           {"kib", 1024.0},
                                           {"m", 1e6},
                                           {"mb", 1e6},
                                           {"mib", 1048576.0},
                                           {"g", 1e9},
                                           {"gb", 1e9},
                                           {"gib", 1073741824.0},
                                           {"t", 1e12},
                                           {"tb", 1e12},
                                           {"tib", 1099511627776.0}}};
  for (const auto& scale : kScales) {
    const double bytes = number * scale.factor;
    if (unit == scale.name && end != text.c_str() && std::isfinite(bytes) && bytes >= 1 &&
        bytes < 9e18) {
      return {static_cast<std::int64_t>(bytes)};
    }
  }
  throw ConfigError(fmt::format(
      "[base.units] {}: got '{}', expected a positive size such as 24GB, 24GiB or 500MB.", what,
      text));
}

std::string format_bytes(Bytes bytes) {
  constexpr std::array<const char*, 5> kNames{"B", "KiB", "MiB", "GiB", "TiB"};
  double value = static_cast<double>(bytes.value);
  std::size_t i = 0;
  while (std::abs(value) >= 1024 && i + 1 < kNames.size()) {
    value /= 1024;
    ++i;
  }
  return i == 0 ? fmt::format("{} B", bytes.value) : fmt::format("{:.1f} {}", value, kNames.at(i));
}

}  // namespace zt
