#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>

#include "base/error.h"
#include "data/tokenizer.h"

namespace {

/// The input is tokenizer.json, tokenizer_config.json and a text, each ended by a byte 0xff, which
/// is in no UTF-8 text.
std::string take(std::string& rest) {
  const auto end = rest.find('\xff');
  auto part = rest.substr(0, end);
  rest = end == std::string::npos ? std::string() : rest.substr(end + 1);
  return part;
}

std::optional<zt::data::Tokenizer> parse(const std::string& tokenizer, const std::string& config) {
  try {
    return zt::data::Tokenizer::parse(tokenizer, config, "fuzz");
  } catch (const zt::FileError&) {
  } catch (const zt::ConfigError&) {
  }
  return {};
}

}  // namespace

/// Whatever the bytes: a tokenizer whose ids decode again, or FileError or ConfigError.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  std::string rest(reinterpret_cast<const char*>(data), size);
  const auto tokenizer_json = take(rest), config_json = take(rest);
  const auto tokenizer = parse(tokenizer_json, config_json);
  if (!tokenizer) return 0;
  try {
    const auto ids = tokenizer->encode(rest, true);
    for (const auto id : ids) ZT_ASSERT(id >= 0 && id < tokenizer->vocab_size(), "id of a token");
    static_cast<void>(tokenizer->decode(ids));
  } catch (const zt::FileError&) {
  }
  return 0;
}
