#include "doctor/doctor.h"

#include <algorithm>
#include <fstream>
#include <functional>
#include <iostream>

#include "base/error.h"
#include "config/problems.h"
#include "config/text_values.h"
#include "doctor/gpu.h"
#include "doctor/loopback.h"
#include "doctor/machine.h"

namespace zt::doctor {
namespace {

constexpr double kDiskBytes = 256e6;
constexpr const char* kPlace = "command line";

/// Collects the verdicts; prints them unless stdout is for JSON.
class Report {
 public:
  explicit Report(bool prints) : prints_(prints) {}

  void add(const Verdict& verdict) {
    all_.push_back(verdict);
    if (prints_) std::cout << line(verdict) << std::endl;
  }
  void add(const Verdicts& verdicts) {
    for (const Verdict& verdict : verdicts) add(verdict);
  }
  [[nodiscard]] const Verdicts& all() const { return all_; }

 private:
  bool prints_;
  Verdicts all_;
};

void check_all_gpus(const DoctorFlags& flags, const Build& build, Report& report) {
  std::string why;
  const auto gpus = read_gpus(why);
  if (!gpus) {
    report.add(Verdict{.level = Level::skipped,
                       .check = "GPUs",
                       .text = why,
                       .remedy = "Training runs on CPU ranks"});
    return;
  }
  report.add(check_driver(*gpus, build.num_devices, build.needed_cuda));
  report.add(check_gpus(*gpus));
  report.add(check_links(*gpus));
  if (flags.quick) return;
  if (build.num_devices > 1) {
    report.add(check_loopback(Device::cuda, build.num_devices));
  } else if (build.num_devices == 1) {
    report.add(Verdict{.level = Level::skipped,
                       .check = "NCCL all-reduce",
                       .text = "one GPU has nobody to talk to",
                       .remedy = ""});
  }
}

void write_json(const std::string& path, const Verdicts& verdicts) {
  const std::string text = json_report(verdicts) + "\n";
  if (path == "-") {
    std::cout << text;
    return;
  }
  std::ofstream out(path);
  out << text;
  if (!out.flush()) {
    throw ConfigError("[doctor.json] --json: cannot write " + path + ". Name another file.");
  }
}

}  // namespace

DoctorFlags parse_doctor(const std::vector<std::string>& arguments) {
  DoctorFlags flags;
  config::Problems problems("doctor.flags");
  for (std::size_t i = 0; i < arguments.size(); ++i) {
    std::string word = arguments[i];
    const auto value = [&]() -> std::string {
      if (i + 1 < arguments.size()) return arguments[++i];
      problems.add(kPlace, word + " has no value");
      return "";
    };
    if (word == "--json") {
      const bool has_file = i + 1 < arguments.size() && arguments[i + 1].rfind("--", 0) != 0;
      flags.json = has_file ? value() : "-";
    } else if (word == "--dir") {
      flags.folder = value();
    } else if (word == "--quick") {
      flags.quick = true;
    } else if (word == "--help" || word == "-h") {
      flags.help = true;
    } else if (word == "--rank_probe") {
      flags.rank_probe = value();
    } else if (word == "--device") {
      flags.device = value() == "cuda" ? Device::cuda : Device::cpu;
    } else {
      problems.add(kPlace, "unknown argument '" + config::shown(word) + "'",
                   "Give --json [FILE], --dir DIR or --quick");
    }
  }
  problems.throw_if_any();
  return flags;
}

std::string doctor_help() {
  return "usage: zt doctor [flags]\n"
         "Checks what this machine offers to training: one verdict a line, with its remedy.\n\n"
         "  --json [FILE]   the verdicts as JSON, into a file or to stdout\n"
         "  --dir DIR       the disk to measure (default: the current folder); 256 MB are written\n"
         "  --quick         nothing that takes a second: no bandwidths, no all-reduce\n\n"
         "Exit code: 0, or 5 when a verdict is FAIL.\n";
}

int run_doctor(const DoctorFlags& flags, const Build& build) {
  Report report(flags.json != "-");
  report.add(Verdict{.check = "versions", .text = build.versions});
  report.add(check_system());
  check_all_gpus(flags, build, report);
  report.add(check_host_memory());
  if (!flags.quick) report.add(check_memory_bandwidth());
  report.add(check_locked_memory());
  report.add(check_open_files());
  report.add(check_shared_memory());
  report.add(check_disk(flags.folder, flags.quick ? 16e6 : kDiskBytes));
  report.add(check_ports());
  report.add(check_clock());
  if (!flags.quick) report.add(check_loopback(Device::cpu, 2));
  if (!flags.json.empty()) write_json(flags.json, report.all());
  return exit_code(report.all());
}

}  // namespace zt::doctor
