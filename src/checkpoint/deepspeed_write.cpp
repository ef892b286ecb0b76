#include "checkpoint/deepspeed_write.h"

#include <fmt/format.h>

#include <filesystem>
#include <optional>

#include "base/error.h"
#include "checkpoint/deepspeed_parts.h"
#include "checkpoint/file_io.h"
#include "checkpoint/names.h"
#include "checkpoint/torch_file.h"

namespace zt::checkpoint {
namespace {

namespace fs = std::filesystem;

[[noreturn]] void fail(const std::string& what) {
  throw CheckpointError("[checkpoint.deepspeed] " + what);
}

void check_save(const DeepSpeedSave& save) {
  const bool plain = save.tag != "." && save.tag != ".." && save.tag.size() <= 200 &&
                     save.tag.find_first_of(std::string("/\\\0\n", 4)) == std::string::npos;
  if (!plain) {
    fail(fmt::format("the tag '{}' is no name of a folder. Use a name such as global_step100.",
                     save.tag));
  }
  if (save.world < 1) fail(fmt::format("got {} ranks, expected at least 1.", save.world));
}

/// `latest` names the checkpoint only once it is complete; it ends without a newline, as DeepSpeed
/// writes it.
void publish(const DeepSpeedSave& save, const fs::path& partial, const fs::path& final_folder) {
  sync_folder(partial.string());
  publish_folder(partial.string(), final_folder.string());
  const auto latest = fs::path(save.folder) / "latest";
  const auto temporary = latest.string() + ".writing";
  std::error_code ignored;
  fs::remove(temporary, ignored);  // of a run that died
  write_text(temporary, save.tag);
  fs::rename(temporary, latest);
  sync_folder(save.folder);
}

/// The step of a folder that write_deepspeed wrote; nothing for others.
std::optional<std::int64_t> own_step(const fs::path& folder) {
  for (const auto layout : {DeepSpeedLayout::stage1, DeepSpeedLayout::stage3}) {
    const auto file = folder / model_file_name(layout, 0);
    if (!fs::exists(file)) continue;
    try {
      const TorchFile model(file.string());
      if (model.root().find(kOwnState)) return model.root().at("global_steps").integer();
    } catch (const CheckpointError&) {  // not ours to judge
    }
  }
  return {};
}

std::vector<fs::path> folders_of(const std::string& directory) {
  std::vector<fs::path> folders;
  for (const auto& entry : fs::directory_iterator(directory)) {
    if (entry.is_directory()) folders.push_back(entry.path());
  }
  return folders;
}

bool is_cut_short(const std::string& name) {
  return name.starts_with(".") && name.ends_with(".partial") && !is_leftover(name);
}

}  // namespace

std::vector<CheckpointFolder> list_own_deepspeed(const std::string& output_dir) {
  std::vector<CheckpointFolder> found;
  for (const auto& folder : folders_of(output_dir)) {
    if (const auto step = own_step(folder)) found.push_back({*step, folder.string()});
  }
  return found;
}

std::vector<std::string> remove_outdated_deepspeed(const std::string& output_dir) {
  std::vector<std::string> removed;
  const auto latest = find_deepspeed(output_dir);
  for (const auto& folder : folders_of(output_dir)) {
    const auto name = folder.filename().string();
    const auto step = own_step(folder);
    const bool gone = step && folder != fs::path(latest.folder) &&
                      !fs::exists(fs::path(output_dir) / checkpoint_name(*step));
    if (!gone && !is_cut_short(name)) continue;
    fs::remove_all(folder);
    removed.push_back(fmt::format("removed {}", folder.string()));
  }
  return removed;
}

std::string write_deepspeed(const StateSource& source, const std::vector<layout::ParamSpec>& params,
                            DeepSpeedSave save, const RankExchange& exchange) {
  if (save.tag.empty()) save.tag = fmt::format("global_step{}", source.run_state().global_step);
  check_save(save);
  const fs::path final_folder = fs::path(save.folder) / save.tag;
  const fs::path partial = fs::path(save.folder) / ("." + save.tag + ".partial");
  const DeepSpeedFiles files{source, params, save, deepspeed_groups(params, save),
                             partial.string()};
  try {
    all_or_none(exchange, [&] {
      if (exchange.rank != 0) return;
      fs::remove_all(partial);
      fs::create_directories(partial);
    });
    all_or_none(exchange, [&] {
      for (int rank = exchange.rank; rank < save.world; rank += exchange.world) {
        write_optimizer_file(files, rank);
        if (rank == 0 || save.layout == DeepSpeedLayout::stage3) write_model_file(files, rank);
      }
    });
    all_or_none(exchange, [&] {
      if (exchange.rank == 0) publish(save, partial, final_folder);
    });
  } catch (...) {
    std::error_code ignored;
    if (exchange.rank == 0) fs::remove_all(partial, ignored);
    throw;
  }
  return final_folder.string();
}

}  // namespace zt::checkpoint
