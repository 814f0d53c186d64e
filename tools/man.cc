// Prints the manual at build time: tintype.1.
#include "tools/command/man_page.h"
#include "tools/command/program.h"

int main() {
  const tintype::command::Program program;
  tintype::command::Output output;
  output.print(
      tintype::command::man_page(tintype::command::describe(program.arguments()), TINTYPE_VERSION));
  return output.finish().is_ok() ? 0 : 1;
}
