#include "config/resolve.h"

#include <filesystem>
#include <fstream>
#include <memory>
#include <sstream>

#include "config/fields.h"
#include "config/resolve_parts.h"
#include "config/text_values.h"

namespace zt::config {
namespace {

struct Source {
  std::string text, name;
};

/// The text of a DeepSpeed configuration: inline JSON, a file, or base64 of JSON.
std::optional<Source> read_source(const std::string& source, Problems& problems) {
  const std::string text = trimmed(source);
  if (text.empty()) {
    problems.add("command line", "--deepspeed has no value", "Give a path or JSON text");
    return std::nullopt;
  }
  if (text.front() == '{') return Source{text, "--deepspeed"};
  std::error_code error;
  if (std::filesystem::is_regular_file(text, error)) {
    constexpr std::uintmax_t kLongest = std::uintmax_t{1} << 20;
    const std::uintmax_t size = std::filesystem::file_size(text, error);
    if (error || size > kLongest) {
      problems.add(shown(text), "the file is larger than 1 MiB", "This is not a configuration");
      return std::nullopt;
    }
    std::ifstream file(text, std::ios::binary);
    std::ostringstream content;
    content << file.rdbuf();
    if (file) return Source{content.str(), text};
    problems.add(shown(text), "the DeepSpeed configuration cannot be read");
    return std::nullopt;
  }
  const std::optional<std::string> decoded = decode_base64(text);
  if (decoded && trimmed(*decoded).rfind('{', 0) == 0) return Source{*decoded, "--deepspeed"};
  problems.add("command line", "--deepspeed: no such file: '" + shown(text) + "'",
               "Give a path, JSON text or base64 of JSON");
  return std::nullopt;
}

std::unique_ptr<DsDocument> read_document(const std::string& source, Problems& problems,
                                          std::vector<std::string>& notices) {
  const std::optional<Source> read = read_source(source, problems);
  if (!read) return nullptr;
  try {
    Value root = read_json(read->text, read->name);
    return std::make_unique<DsDocument>(std::move(root), read->name, problems, notices);
  } catch (const JsonError& error) {
    problems.add(error.problems());
    return nullptr;
  }
}

void fill_default_origins(Config& config) {
  for (const Field& field : fields()) {
    config.origins.emplace(field.path, Origin{"", "default"});
  }
}

/// The parts in the order in which they depend on each other.
void resolve_parts(Context& context) {
  apply_document(context);
  resolve_optimizer(context);
  resolve_precision(context);
  resolve_schedule(context);
  resolve_batch(context);
  resolve_run(context);
  resolve_checkpoint(context);
}

}  // namespace

Config resolve(const std::vector<std::string>& args, const Facts& facts) {
  Config config;
  Problems problems("config.resolve");
  const FlagValues flags = parse_flags(args, problems, config.notices);
  apply_flags(flags, config, problems);
  std::unique_ptr<DsDocument> document;
  const std::string* source = flags.find("deepspeed");
  if (source != nullptr && lower_case(*source) != "none") {
    document = read_document(*source, problems, config.notices);
  }
  Context context{flags, true, document.get(), facts, config, problems};
  resolve_parts(context);
  check_paths(context);
  problems.throw_if_any(config.notices);
  fill_default_origins(config);
  return config;
}

Config from_deepspeed(const std::string& source, const Facts& facts) {
  Config config;
  Problems problems("config.from_deepspeed");
  const FlagValues no_flags;
  const std::unique_ptr<DsDocument> document = read_document(source, problems, config.notices);
  Context context{no_flags, false, document.get(), facts, config, problems};
  if (document != nullptr) resolve_parts(context);
  problems.throw_if_any(config.notices);
  fill_default_origins(config);
  return config;
}

}  // namespace zt::config
