#include "data/tokenize_command.h"

#include <fmt/format.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <ostream>

#include "base/error.h"
#include "data/tokenizer.h"
#include "data/utf8.h"

namespace zt::data {

int run_tokenize(const std::string& tokenizer_dir, const std::string& file, std::ostream& out) {
  const Tokenizer tokenizer = Tokenizer::load(tokenizer_dir);
  std::ifstream in(file, std::ios::binary);
  if (!in || std::filesystem::is_directory(file)) {
    throw FileError(
        fmt::format("[data.tokenize] cannot read {}. Name a readable text file.", file));
  }
  const std::string text{std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
  require_utf8(text, file);
  std::string line;
  for (const std::int32_t id : tokenizer.encode(text)) {
    if (!line.empty()) line += ' ';
    line += std::to_string(id);
  }
  out << line << '\n';
  return 0;
}

}  // namespace zt::data
