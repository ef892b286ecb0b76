#pragma once

#include <iosfwd>
#include <string>

namespace zt::data {

/// `zt data tokenize --tokenizer DIR FILE`: FILE is one text; writes its ids on one line, separated
/// by blanks, with the template's tokens. Returns 0. Errors: FileError, ConfigError.
int run_tokenize(const std::string& tokenizer_dir, const std::string& file, std::ostream& out);

}  // namespace zt::data
