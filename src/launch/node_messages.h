#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

namespace zt::launch {

/// What the launcher that the user started tells the launcher of one machine. It travels through
/// the standard input of ssh as one line of JSON: no shell reads names, arguments or values.
struct NodeJob {
  std::string token;  ///< begins every line that the machine's launcher means for the other one
  int node_rank = 0, num_nodes = 1;
  int first_rank = 0, world_size = 1;
  std::vector<int> slots;   ///< of this machine; one rank each
  std::string second_host;  ///< another machine, to find the address that leads there
  std::string master_addr;  ///< empty: machine 0 finds one
  int master_port = 0;      ///< 0: machine 0 takes a free one
  std::string folder;       ///< where the ranks start
  std::map<std::string, std::string> variables;
  std::vector<std::string> words;  ///< program and its arguments
  std::vector<std::string> flags;  ///< of zt launch, those that concern one machine
  bool sets_devices = true;        ///< CUDA_VISIBLE_DEVICES becomes the slots
  int launcher_pid = 0;            ///< of the launcher that the user started
};

/// First answer of a machine: it is there and could start.
struct NodeReady {
  std::string master_addr;  ///< machine 0: where its store listens
  int master_port = 0;
};

/// Last answer of a machine.
struct NodeEnd {
  int status = 0;            ///< of its launcher
  int rank = -1;             ///< that failed first there; -1: none, or no rank was started
  bool consequence = false;  ///< of another rank's failure
  std::string failure;       ///< `rank 3, exit code 3: cause`
};

/// Later words to a machine's launcher.
struct NodeOrder {
  bool start = false;
  std::string master_addr;
  int master_port = 0;
  int signal = 0;  ///< not 0: to pass on
};

/// An answer of one of two kinds.
struct NodeAnswer {
  std::optional<NodeReady> ready;
  std::optional<NodeEnd> end;
};

/// One line each, without its end. Values may hold any bytes but NUL.
[[nodiscard]] std::string encode(const NodeJob& job);
[[nodiscard]] std::string encode(const NodeOrder& order);
[[nodiscard]] std::string encode(const std::string& token, const NodeReady& ready);
[[nodiscard]] std::string encode(const std::string& token, const NodeEnd& end);

/// Errors: CommError for a line that no launcher of this version wrote.
[[nodiscard]] NodeJob decode_job(const std::string& line);
[[nodiscard]] NodeOrder decode_order(const std::string& line);
/// Nothing for other output, which does not begin with the token.
[[nodiscard]] std::optional<NodeAnswer> decode_answer(const std::string& token,
                                                      const std::string& line);

}  // namespace zt::launch
