// Ctrl-C and its like while a command writes: it stops, tidies up, and ends as if by the signal.
#pragma once

namespace tintype::command {

// While one stands, SIGINT, SIGTERM and SIGHUP are remembered instead of ending the program. One at
// a time.
class InterruptWatch {
 public:
  InterruptWatch();
  // Ends the program by the signal that came, if one did.
  ~InterruptWatch();

  static bool has_come();

  InterruptWatch(const InterruptWatch&) = delete;
  InterruptWatch& operator=(const InterruptWatch&) = delete;
};

}  // namespace tintype::command
