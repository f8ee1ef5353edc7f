"""`python -m panoptic_ros COMMAND`."""

from __future__ import annotations

import argparse
import io
import os
import sys
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from panoptic_ros import cli
from panoptic_ros.extras import how_to_install
from panoptic_ros.resources import expanded
from panoptic_ros.whole_files import alone, alone_with, is_full

# Of an error: what strangers wrote into a file may be all of it.
_LONGEST_MESSAGE = 2000
EXIT_FULL_DISK = 1
EXIT_BAD_INPUT = 2
EXIT_INTERRUPTED = 130  # what a shell reports for SIGINT: 128 + 2
# What commands write, by the names of their arguments: folders, and files, the suffix aside.
_FOLDERS = {"out": "--out", "report": "--report", "folder": "--run"}
_FILES = {"json": "--json", "rerun": "--rerun", "output": "--output"}
_OF_TRAINING = ("folder", "output")


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return the exit code.

    1: the disk is full, 2: bad arguments or input, both said in one line; 130: interrupted; else
    the command's own.
    """
    code = EXIT_BAD_INPUT
    # Names of files may be no Unicode, and a terminal's encoding may lack what tables are made of.
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")
    argv = sys.argv[1:] if argv is None else list(argv)
    try:
        args = _parser(argv).parse_args(argv)
        _expand(args)
        _check_places(vars(args))
        with _alone(vars(args)):
            return args.run(args)
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED
    # FloatingPointError: a network that answers with NaN.
    except (OSError, ValueError, FloatingPointError) as error:
        message = str(error)
        code = EXIT_FULL_DISK if is_full(error) else EXIT_BAD_INPUT
    except ModuleNotFoundError as error:
        message = how_to_install(error)
    if len(message) > _LONGEST_MESSAGE:
        message = f"{message[:_LONGEST_MESSAGE]} ..."
    print(f"panoptic: error: {message}", file=sys.stderr)
    return code


def _expand(args: argparse.Namespace) -> None:
    """Write out ~ in all paths: a shell leaves it as it is behind the = of --out=~/out."""
    for name, value in vars(args).items():
        if isinstance(value, Path):
            setattr(args, name, expanded(value))
        elif isinstance(value, list):
            setattr(args, name, [expanded(v) if isinstance(v, Path) else v for v in value])


def _check_places(args: Mapping[str, Any]) -> None:
    """Raise OSError, before any work, for a file or folder to write that cannot be one."""
    for name, option in {**_FOLDERS, **_FILES}.items():
        path = args.get(name)
        if path is None:
            continue
        if name in _FILES and name != "output" and path.is_dir():
            raise IsADirectoryError(f"{path} is a folder: choose another {option}")
        _check_folder(path if name in _FOLDERS else path.parent, option)


def _alone(args: Mapping[str, Any]) -> ExitStack:
    """Let no other command write the same meanwhile; raise ValueError where one does.

    A training's processes share what they write, which the first of them holds.
    """
    with ExitStack() as held:
        for name, option in {**_FOLDERS, **_FILES}.items():
            if name not in _OF_TRAINING and args.get(name) is not None:
                by = alone if name in _FOLDERS else alone_with
                held.enter_context(by(args[name], option))
        return held.pop_all()


def _check_folder(folder: Path, option: str) -> None:
    """Raise OSError for a folder that is none, cannot be made, or cannot be written to."""
    for path in (folder, *folder.parents):
        if path.is_dir():
            if not os.access(path, os.W_OK | os.X_OK):
                raise PermissionError(f"{path} cannot be written to: choose another {option}")
            return
        if path.is_symlink() and not path.exists():
            raise NotADirectoryError(
                f"{path} is a link to nothing ({path.readlink()}): make that folder, or choose "
                f"another {option}"
            )
        if path.exists():
            raise NotADirectoryError(f"{path} is no folder: choose another {option}")


def _parser(argv: Sequence[str]) -> argparse.ArgumentParser:
    """Build the parser of the command in `argv`, or of all of them where it names none."""
    parser = argparse.ArgumentParser(
        prog="python -m panoptic_ros", description="Panoptic segmentation of camera images."
    )
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    known = list(cli.modules())
    wanted = argv[:1] if argv and argv[0] in known else known
    for name, module in cli.load(list(wanted)).items():
        command = commands.add_parser(name, help=module.HELP, description=module.HELP)
        module.add_arguments(command)
        command.set_defaults(run=module.run)
    return parser


if __name__ == "__main__":
    sys.exit(main())
