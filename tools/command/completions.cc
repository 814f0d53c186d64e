#include <memory>
#include <string>

#include "tools/command/command_tree.h"
#include "tools/command/commands.h"
#include "tools/command/completion_scripts.h"
#include "tools/command/help.h"

namespace tintype::command {
namespace {

constexpr const char* kDescription =
    "Examples:\n"
    "  source <(tintype completions bash)      in ~/.bashrc\n"
    "  source <(tintype completions zsh)       in ~/.zshrc, behind compinit\n"
    "  tintype completions fish > ~/.config/fish/completions/tintype.fish\n"
    "\n"
    "Prints the script by which a shell completes commands, options and their values.";

}  // namespace

Command add_completions(CLI::App& parent) {
  CLI::App* app = parent.add_subcommand("completions", "print a shell's completions");
  app->formatter(std::make_shared<ExamplesFirst>(kDescription));
  auto shell = std::make_shared<std::string>();
  app->add_option("SHELL", *shell, "bash, zsh or fish")
      ->required()
      ->check(CLI::IsMember({"bash", "zsh", "fish"}));
  return {app, [shell, &parent](Output& output) {
            const CommandInfo program = describe(parent);
            output.print(*shell == "bash"  ? bash_completions(program)
                         : *shell == "zsh" ? zsh_completions(program)
                                           : fish_completions(program));
            return ExitCode::ok;
          }};
}

}  // namespace tintype::command
