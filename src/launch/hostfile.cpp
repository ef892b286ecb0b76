#include "launch/hostfile.h"

#include <algorithm>
#include <cctype>
#include <fstream>
#include <map>
#include <optional>
#include <set>
#include <sstream>

#include "config/problems.h"
#include "config/text_distance.h"
#include "config/text_values.h"

namespace zt::launch {
namespace {

using config::shown;

constexpr int kMostSlots = 4096;

bool is_host_name(const std::string& name) {
  if (name.empty() || name.front() == '-') return false;
  return std::all_of(name.begin(), name.end(), [](unsigned char c) {
    return std::isalnum(c) != 0 || c == '.' || c == '-' || c == '_' || c == ':' || c == '%' ||
           c == '@';
  });
}

std::optional<int> slot_number(const std::string& text) {
  const bool digits = !text.empty() && std::all_of(text.begin(), text.end(), [](unsigned char c) {
    return std::isdigit(c) != 0;
  });
  const auto value = digits ? config::parse_integer(text) : std::nullopt;
  if (!value || *value > kMostSlots) return std::nullopt;
  return static_cast<int>(*value);
}

std::vector<std::string> split(const std::string& text, char separator) {
  std::vector<std::string> parts;
  std::stringstream in(text);
  for (std::string part; std::getline(in, part, separator);) parts.push_back(part);
  if (!text.empty() && text.back() == separator) parts.emplace_back();
  return parts;
}

/// `n1 slots=4`, and nothing else on the line.
std::optional<Host> parse_line(const std::string& line) {
  std::stringstream in(line);
  std::string name, slots, more;
  in >> name >> slots >> more;
  constexpr const char* kSlots = "slots=";
  if (!more.empty() && more.front() != '#') return std::nullopt;
  if (!is_host_name(name) || slots.rfind(kSlots, 0) != 0) return std::nullopt;
  const auto count = slot_number(slots.substr(6));
  if (!count || *count < 1) return std::nullopt;
  Host host{name, {}};
  for (int slot = 0; slot < *count; ++slot) host.slots.push_back(slot);
  return host;
}

/// Slots by host; none: all of the host.
using Filter = std::map<std::string, std::set<int>>;

class FilterReader {
 public:
  FilterReader(const std::vector<Host>& hosts, std::string flag, config::Problems& problems)
      : hosts_(hosts), flag_(std::move(flag)), problems_(problems) {}

  Filter read(const std::string& text, bool any_slot) {
    Filter filter;
    for (const std::string& part : split(text, '@')) read_item(part, any_slot, filter);
    return filter;
  }

 private:
  void read_item(const std::string& item, bool any_slot, Filter& filter) {
    const std::size_t colon = item.find(':');
    const std::string name = item.substr(0, colon);
    const auto host = std::find_if(hosts_.begin(), hosts_.end(),
                                   [&](const Host& known) { return known.name == name; });
    if (host == hosts_.end()) {
      std::vector<std::string> names;
      for (const Host& known : hosts_) names.push_back(known.name);
      complain("there is no host '" + shown(name) + "'",
               "Did you mean " + config::nearest(name, names).name + "?");
      return;
    }
    std::set<int>& slots = filter[name];
    if (colon == std::string::npos) {
      slots.insert(host->slots.begin(), host->slots.end());
      return;
    }
    for (const std::string& word : split(item.substr(colon + 1), ',')) {
      const auto slot = slot_number(word);
      if (!slot) {
        complain("slot '" + shown(word) + "' of " + name + " is no number",
                 "Write HOST:SLOT,SLOT and join hosts by @");
      } else if (!any_slot &&
                 std::find(host->slots.begin(), host->slots.end(), *slot) == host->slots.end()) {
        complain(name + " has no slot " + word, "It offers " + slot_list(*host));
      } else {
        slots.insert(*slot);
      }
    }
  }

  void complain(const std::string& text, const std::string& remedy) {
    problems_.add("command line", flag_ + ": " + text, remedy);
  }

  const std::vector<Host>& hosts_;
  std::string flag_;
  config::Problems& problems_;
};

}  // namespace

std::vector<Host> parse_hostfile(const std::string& text, const std::string& path) {
  config::Problems problems("launch.hostfile");
  std::vector<Host> hosts;
  std::set<std::string> seen;
  std::stringstream in(text);
  int number = 0;
  for (std::string line; std::getline(in, line);) {
    ++number;
    const std::string content = config::trimmed(line);
    if (content.empty() || content.front() == '#') continue;
    const std::string place = path + ":" + std::to_string(number);
    auto host = parse_line(content);
    if (!host) {
      problems.add(place, "got '" + shown(content) + "', expected '<host> slots=<number>'");
    } else if (!seen.insert(host->name).second) {
      problems.add(place, "host " + host->name + " is there twice", "Give each host one line");
    } else {
      hosts.push_back(std::move(*host));
    }
  }
  if (hosts.empty() && problems.all().empty()) {
    problems.add(path, "there is no host in it", "Write lines such as: worker-0 slots=8");
  }
  problems.throw_if_any();
  return hosts;
}

std::vector<Host> read_hostfile(const std::string& path) {
  std::ifstream in(path);
  std::stringstream text;
  if (in) text << in.rdbuf();
  if (!in || in.bad()) {
    throw ConfigError("[launch.hostfile] --hostfile: cannot read '" + shown(path) +
                      "'. Name a file with lines such as: worker-0 slots=8");
  }
  return parse_hostfile(text.str(), path);
}

std::vector<Host> filter_hosts(const std::vector<Host>& hosts, const std::string& include,
                               const std::string& exclude, bool any_slot) {
  config::Problems problems("launch.hosts");
  const bool keeps = !include.empty();
  FilterReader reader(hosts, keeps ? "--include" : "--exclude", problems);
  const Filter filter = reader.read(keeps ? include : exclude, keeps && any_slot);
  std::vector<Host> left;
  for (const Host& host : hosts) {
    const auto named = filter.find(host.name);
    Host result{host.name, {}};
    if (keeps && named != filter.end()) {
      result.slots.assign(named->second.begin(), named->second.end());
    } else if (!keeps) {
      std::copy_if(
          host.slots.begin(), host.slots.end(), std::back_inserter(result.slots),
          [&](int slot) { return named == filter.end() || named->second.count(slot) == 0; });
    }
    if (!result.slots.empty()) left.push_back(std::move(result));
  }
  if (left.empty() && problems.all().empty()) {
    problems.add("command line", "no slot is left of " + describe(hosts),
                 "Include more, or exclude less");
  }
  problems.throw_if_any();
  return left;
}

int num_slots(const std::vector<Host>& hosts) {
  int count = 0;
  for (const Host& host : hosts) count += static_cast<int>(host.slots.size());
  return count;
}

std::string slot_list(const Host& host) {
  std::string text;
  for (const int slot : host.slots) text += (text.empty() ? "" : ",") + std::to_string(slot);
  return text;
}

std::string describe(const std::vector<Host>& hosts) {
  std::string text;
  for (const Host& host : hosts) {
    text += (text.empty() ? "" : " ") + host.name + ":" + slot_list(host);
  }
  return text;
}

}  // namespace zt::launch
