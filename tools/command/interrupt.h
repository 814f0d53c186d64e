// Ctrl-C and its like while a command writes: it stops, tidies up, and ends as if by the signal.
#pragma once

namespace tintype::command {

// While one stands, SIGINT, SIGTERM and SIGHUP are remembered instead of ending the program. One at
// a time.
class InterruptWatch {
 public:
  InterruptWatch();
  // Further signals end the program: what is left to do may wait for a reader.
  ~InterruptWatch();

  static bool has_come();
  // Ends the program by the signal that came, if one did. For main(), behind the last output: what
  // standard output still buffers would be lost.
  static void end_as_signalled();

  InterruptWatch(const InterruptWatch&) = delete;
  InterruptWatch& operator=(const InterruptWatch&) = delete;
};

}  // namespace tintype::command
