#pragma once

#include <optional>
#include <string>
#include <vector>

#include "config/layer.h"

namespace zt::config {

/// Everything that was said about one run: the environment, files that the arguments name, and the
/// arguments over all of them. `args` may begin with a file of flags (`zt train args.yaml`).
/// Problems and notices are added; what could be read is returned.
[[nodiscard]] Layer read_inputs(const std::vector<std::string>& args, const Facts& facts,
                                Problems& problems, std::vector<std::string>& notices);

/// `~` and `~/x` with the home folder: no shell replaces it in `--flag=~/x` or in a file.
[[nodiscard]] std::string with_home(const std::string& path, const Variables& environment);

}  // namespace zt::config
