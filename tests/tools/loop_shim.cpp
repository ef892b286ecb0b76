// Test only, preloaded into zt: the thread that gets SIGRTMIN + 5 never returns from the handler,
// as if the code it was in had run into an endless loop. The program itself knows nothing of it.
#include <csignal>

namespace {

void loop_forever(int) {
  volatile bool always = true;
  while (always) {
  }
}

[[gnu::constructor]] void install() {
  struct sigaction action {};
  action.sa_handler = loop_forever;
  sigaction(SIGRTMIN + 5, &action, nullptr);
}

}  // namespace
