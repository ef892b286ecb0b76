#pragma once

#include <cstdint>
#include <fstream>
#include <map>
#include <string>

#include "generate/generate.h"
#include "generate/prompts.h"

namespace zt::generate {

/// One line of the result: the prompt line's own fields, then `prompt`, `completion`,
/// `prompt_tokens`, `completion_tokens` (the token that ended it included) and `finish_reason`
/// (`eos` or `length`). `with_ids`: also `completion_ids`.
[[nodiscard]] std::string result_line(const PromptLine& prompt, std::int64_t prompt_tokens,
                                      const Completion& completion, const std::string& text,
                                      bool with_ids);

/// Writes result lines in the order of the input, each as soon as all before it are there, to
/// `<path>.partial`, which becomes `path` when all are written. A file of that name stays whole
/// until then; a run that is stopped leaves the partial one. A link keeps leading to its file.
/// Errors: FileError, also where `path` is a device, a pipe or a folder.
class ResultFile {
 public:
  ResultFile(const std::string& path, std::int64_t count);
  /// The line of prompt `index`; each index comes once.
  void add(std::int64_t index, std::string line);
  /// The first index that is missing; `count` when all are there.
  [[nodiscard]] std::int64_t next() const { return next_; }
  /// Publishes the file. Needs all lines.
  void finish();

 private:
  [[noreturn]] void fail(const std::string& what) const;
  std::string path_;
  std::int64_t count_, next_ = 0;
  std::map<std::int64_t, std::string> waiting_;
  std::ofstream file_;
};

}  // namespace zt::generate
