"""The script that completes commands, options and names of nodes in a shell.

`kubectl colocation` needs no script of its own: kubectl's completion asks `kubectl_complete-colocation`.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import signal
import sys
from typing import Final

from colocation.cli.common import CliError, fail, login
from colocation.decoding import decode
from colocation.kube.resources import NODE_COLOCATIONS
from colocation.kube.rest import ApiError, Rest

EXAMPLES: Final = """\
examples:
  source <(colocation completion bash)                               this shell; or put the line into ~/.bashrc
  source <(colocation completion zsh)                                after compinit; or put the line into ~/.zshrc
  colocation completion fish > ~/.config/fish/completions/colocation.fish
"""
_SECONDS: Final = 3
"""How long a completion may wait for the API server."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The argument of ``colocation completion``."""
    parser.add_argument("shell", choices=("bash", "zsh", "fish"))


def run(args: argparse.Namespace) -> int:
    """Print the script."""
    try:
        from argcomplete.shell_integration import shellcode  # noqa: PLC0415 - an extra: not in the image
    except ImportError:
        return fail(CliError("shell completion needs argcomplete: pip install 'colocation[kubeconfig]'"))
    sys.stdout.write(shellcode(["colocation"], shell=args.shell) + "\n")
    return 0


def answer(parser: argparse.ArgumentParser) -> None:
    """Complete the line that the shell has put into the environment, and exit."""
    with contextlib.suppress(ImportError):
        import argcomplete  # noqa: PLC0415

        argcomplete.autocomplete(parser, always_complete_options=False, exit_method=sys.exit)
    sys.exit(1)


def nodes(prefix: str, parsed_args: argparse.Namespace, **_: object) -> list[str]:
    """Names of the nodes that have a NodeColocation; none where the cluster cannot be asked. argcomplete calls it."""
    signal.signal(signal.SIGALRM, _too_late)
    signal.alarm(_SECONDS)
    with contextlib.suppress(CliError, ApiError), contextlib.closing(Rest(login(parsed_args))) as rest:
        items = [decode(raw, dict) for page in rest.pages(NODE_COLOCATIONS, {}) for raw in page.items or ()]
        return [name for item in items if (name := item["metadata"]["name"]).startswith(prefix)]
    return []


def kubectl() -> int:
    """`kubectl_complete-colocation WORD...`: a completion a line, then `:4`, cobra's directive for no file names."""
    from colocation.cli import main  # noqa: PLC0415 - it imports this module only to complete

    line = " ".join(["colocation", *sys.argv[1:]])
    os.environ.update(
        _ARGCOMPLETE="1", COMP_LINE=line, COMP_POINT=str(len(line)), _ARGCOMPLETE_IFS="\n", _ARGCOMPLETE_DFS="\t",
        _ARGCOMPLETE_SHELL="fish", _ARGCOMPLETE_SUPPRESS_SPACE="1", _ARGCOMPLETE_STDOUT_FILENAME="/dev/stdout",
    )  # fmt: skip
    with contextlib.suppress(SystemExit):
        main()
    sys.stdout.write("\n:4\n")
    return 0


def _too_late(*_: object) -> None:
    raise CliError("the cluster takes too long to answer")
