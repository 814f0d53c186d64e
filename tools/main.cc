// The `tintype` command: looks at checkpoints and at machines, without torch and without CUDA.
#include "tools/command/interrupt.h"
#include "tools/command/program.h"

int main(int argument_count, char** arguments) {
  namespace command = tintype::command;
  command::prepare_standard_streams();
  command::Output output;
  command::ExitCode code = command::Program().run(argument_count, arguments, output);
  const tintype::Status written = output.finish();
  if (!written.is_ok()) {
    output.print_error(written);
    code = command::worse_of(code, command::exit_code_for(written));
  }
  command::InterruptWatch::end_as_signalled();
  return static_cast<int>(code);
}
