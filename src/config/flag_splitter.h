#pragma once

#include <optional>
#include <string>
#include <vector>

#include "config/problems.h"

namespace zt::config {

/// Walks over the arguments of a command that has a few flags of its own beside those of training:
/// `while (splitter.next())`, then one of the readers for each name it knows.
class FlagSplitter {
 public:
  /// `args` and `problems` outlive the splitter.
  FlagSplitter(const std::vector<std::string>& args, Problems& problems)
      : args_(args), problems_(problems) {}

  /// Moves to the next argument; false at the end.
  bool next();
  /// The flag with underscores, without the part behind `=`: `--zero_stage`.
  [[nodiscard]] const std::string& name() const { return name_; }
  /// The argument as it was written, for those who know it.
  [[nodiscard]] const std::string& argument() const { return args_[at_ - 1]; }

  /// The flag's value; a missing one is a problem and reads as empty.
  std::string value();
  /// True alone or with a true value.
  bool boolean();
  /// A whole number within [least, most]; another is a problem and reads as `least`.
  int number(int least, int most);

 private:
  [[nodiscard]] bool next_is_value() const;

  const std::vector<std::string>& args_;
  Problems& problems_;
  std::string name_;
  std::optional<std::string> given_;  ///< the part behind `=`
  std::size_t at_ = 0;
};

}  // namespace zt::config
