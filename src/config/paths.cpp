#include <filesystem>

#include "config/resolve_parts.h"
#include "config/text_values.h"

namespace zt::config {
namespace {

namespace fs = std::filesystem;

void require_folder(Context& context, const char* flag, const std::string& path,
                    const char* remedy) {
  std::error_code error;
  if (fs::is_directory(path, error)) return;
  const bool exists = fs::exists(path, error);
  context.problems.add("command line",
                       std::string("--") + flag + ": " +
                           (exists ? "not a folder: '" : "no such folder: '") + shown(path) + "'",
                       remedy);
}

void require_flag(Context& context, const char* flag, const std::string& value,
                  const char* remedy) {
  if (value.empty()) {
    context.problems.add("command line", std::string("--") + flag + " is missing", remedy);
  }
}

}  // namespace

void check_paths(Context& context) {
  const Config& config = context.config;
  if (context.facts.reads_model) {
    require_flag(context, "model_name_or_path", config.model.model_name_or_path,
                 "Give the folder of a Hugging Face model");
  }
  if (context.facts.reads_model && !config.model.model_name_or_path.empty()) {
    require_folder(context, "model_name_or_path", config.model.model_name_or_path,
                   "Models are not downloaded: give a local folder");
  }
  if (!config.model.tokenizer_name_or_path.empty()) {
    require_folder(context, "tokenizer_name_or_path", config.model.tokenizer_name_or_path,
                   "Give a local folder");
  }
  if (!context.facts.reads_data) return;
  if (config.run.do_train) {
    require_flag(context, "train_file_dir", config.data.train_file_dir,
                 "Give the folder with the training text");
  }
  if (!config.data.train_file_dir.empty()) {
    require_folder(context, "train_file_dir", config.data.train_file_dir,
                   "Give the folder with the training text");
  }
  if (!config.data.validation_file_dir.empty()) {
    require_folder(context, "validation_file_dir", config.data.validation_file_dir,
                   "Give the folder with the validation text, or leave it out");
  }
  require_flag(context, "output_dir", config.run.output_dir, "Give the folder for the results");
  std::error_code error;
  if (fs::exists(config.run.output_dir, error) && !fs::is_directory(config.run.output_dir, error)) {
    require_folder(context, "output_dir", config.run.output_dir, "Give the folder for the results");
  }
}

}  // namespace zt::config
