#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>

namespace zt::train {

/// Cuts a text file of a run that is resumed: the lines up to step `last` stay. `step_of` gives a
/// line's step; from the first line that has none (cut by a crash) or a later one on, all goes.
/// The file is replaced at once. Returns the number of lines that stay; 0 also when there is no
/// file. Errors: FileError.
std::int64_t keep_lines(
    const std::string& path,
    const std::function<std::optional<std::int64_t>(const std::string&)>& step_of,
    std::int64_t last);

}  // namespace zt::train
