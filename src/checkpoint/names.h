#pragma once

#include <cstdint>
#include <optional>
#include <string>

namespace zt::checkpoint {

/// `checkpoint-20`.
[[nodiscard]] std::string checkpoint_name(std::int64_t step);
/// The step of `checkpoint-20`, nothing for other names.
[[nodiscard]] std::optional<std::int64_t> checkpoint_step(const std::string& name);
/// `.checkpoint-20.partial`: a save that is not published.
[[nodiscard]] std::string partial_name(std::int64_t step);
/// `.checkpoint-20.deleted`: a checkpoint that is being removed.
[[nodiscard]] std::string deleted_name(std::int64_t step);
/// True for names of the two kinds above: what a dead run may leave.
[[nodiscard]] bool is_leftover(const std::string& name);

}  // namespace zt::checkpoint
