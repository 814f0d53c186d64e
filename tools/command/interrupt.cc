#include "tools/command/interrupt.h"

#include <signal.h>

#include <array>
#include <atomic>

namespace tintype::command {
namespace {

constexpr std::array kSignals = {SIGINT, SIGTERM, SIGHUP};

std::atomic<int> signal_that_came{0};
static_assert(std::atomic<int>::is_always_lock_free, "handlers may use it");

void remember(int number) { signal_that_came = number; }

}  // namespace

InterruptWatch::InterruptWatch() {
  struct sigaction action {};
  action.sa_handler = remember;
  for (const int number : kSignals) {
    struct sigaction before {};
    ::sigaction(number, nullptr, &before);
    // nohup and shells that start jobs in the background ignore some for us.
    if (before.sa_handler != SIG_IGN) ::sigaction(number, &action, nullptr);
  }
}

InterruptWatch::~InterruptWatch() {
  for (const int number : kSignals) {
    struct sigaction now {};
    ::sigaction(number, nullptr, &now);
    if (now.sa_handler == remember) ::signal(number, SIG_DFL);
  }
}

bool InterruptWatch::has_come() { return signal_that_came != 0; }

void InterruptWatch::end_as_signalled() {
  const int number = signal_that_came;
  if (number != 0) ::raise(number);
}

}  // namespace tintype::command
