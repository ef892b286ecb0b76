#include "generate/results.h"

#include <fmt/format.h>

#include <filesystem>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/replaceable_file.h"
#include "checkpoint/file_io.h"

namespace zt::generate {
namespace {

std::string partial(const std::string& path) { return path + ".partial"; }

}  // namespace

std::string result_line(const PromptLine& prompt, std::int64_t prompt_tokens,
                        const Completion& completion, const std::string& text, bool with_ids) {
  auto line = prompt.fields.empty() ? nlohmann::ordered_json::object()
                                    : nlohmann::ordered_json::parse(prompt.fields);
  line["prompt"] = prompt.text;
  line["completion"] = text;
  line["prompt_tokens"] = prompt_tokens;
  line["completion_tokens"] = completion.tokens.size();
  line["finish_reason"] = completion.finish == Finish::eos ? "eos" : "length";
  if (with_ids) line["completion_ids"] = completion.tokens;
  return line.dump(-1, ' ', /*ensure_ascii=*/false,
                   nlohmann::ordered_json::error_handler_t::replace);
}

ResultFile::ResultFile(const std::string& path, std::int64_t count)
    : path_(replaceable_file(path, "generate.results")), count_(count) {
  const auto folder = std::filesystem::path(path_).parent_path();
  std::error_code error;
  if (!folder.empty()) std::filesystem::create_directories(folder, error);
  file_.open(partial(path_), std::ios::binary | std::ios::trunc);
  if (!file_) fail("cannot be created");
}

void ResultFile::add(std::int64_t index, std::string line) {
  ZT_ASSERT(index >= next_ && index < count_, "each result comes once");
  ZT_ASSERT(waiting_.emplace(index, std::move(line)).second, "each result comes once");
  bool wrote = false;
  for (auto found = waiting_.find(next_); found != waiting_.end(); found = waiting_.find(next_)) {
    file_ << found->second << '\n';
    waiting_.erase(found);
    ++next_;
    wrote = true;
  }
  if (!wrote) return;
  file_.flush();
  if (!file_) fail("cannot be written");
}

void ResultFile::finish() {
  ZT_ASSERT(next_ == count_, "all results are there");
  file_.close();
  if (!file_) fail("cannot be written");
  checkpoint::File(partial(path_), checkpoint::File::Mode::write).sync();
  std::error_code error;
  std::filesystem::rename(partial(path_), path_, error);
  if (error) fail("cannot be published: " + error.message());
  const auto folder = std::filesystem::path(path_).parent_path();
  checkpoint::sync_folder(folder.empty() ? "." : folder.string());
}

void ResultFile::fail(const std::string& what) const {
  throw FileError(
      fmt::format("[generate.results] {} {}. Check the folder's rights and the free space.",
                  partial(path_), what));
}

}  // namespace zt::generate
