"""Download public checkpoints and check the installed ones."""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

HELP = "list, fetch, import and check weights"
EXIT_DAMAGED = 1


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add one sub-command per verb."""
    verbs = parser.add_subparsers(metavar="VERB", required=True)

    def verb(name: str, run: Callable[..., int], text: str) -> argparse.ArgumentParser:
        command = verbs.add_parser(name, help=text, description=text)
        command.set_defaults(verb=run)
        return command

    verb("list", _list, "the public checkpoints, and the weights that are here")
    fetch = verb("fetch", _fetch, "download, check and convert a public checkpoint")
    fetch.add_argument("name", metavar="NAME", help="a name that `list` shows")
    fetch.add_argument("--url", default="", help="a mirror of the file (same hash)")
    import_ = verb("import", _import, "convert a checkpoint's file that is here")
    import_.add_argument("file", type=Path, metavar="FILE")
    import_.add_argument(
        "--as", dest="name", required=True, type=_name, metavar="NAME", help="name it by"
    )
    info = verb("info", _info, "what is known of some weights")
    info.add_argument("name", metavar="NAME")
    verify = verb("verify", _verify, "check hash and tensors of all weights that are here")
    verify.add_argument("names", nargs="*", metavar="NAME", help="only these")


def run(args: argparse.Namespace) -> int:
    """Do what the verb says; return its exit code."""
    return args.verb(args)


def _list(args: argparse.Namespace) -> int:
    from panoptic_ros.checkpoints import load_manifest, places

    here = places.installed()
    manifest = load_manifest()
    width = max(map(len, [*here, *manifest]))
    for name, entry in manifest.items():
        scores = ", ".join(f"{key} {value:g}" for key, value in entry.score.items())
        state = "here" if name in here else f"{entry.megabytes:g} MB"
        print(
            f"{name:{width}}  {state:>7}  {entry.what}; {scores} (its authors', {entry.score_on})"
        )
    for name in sorted(set(here) - set(manifest)):
        print(f"{name:{width}}  {'here':>7}  {_shown(here[name])}")
    return 0


def _fetch(args: argparse.Namespace) -> int:
    from panoptic_ros.checkpoints import load_manifest
    from panoptic_ros.checkpoints.download import DownloadError
    from panoptic_ros.checkpoints.install import fetch, licence
    from panoptic_ros.checkpoints.manifest import entry as find_entry
    from panoptic_ros.model.onnx.published import fetch_graph

    entry = find_entry(args.name, load_manifest())
    print(f"{entry.name}: {licence(entry)}")
    if not all(file.digest for file in entry.files()):
        print("its authors publish no hash: a complete file cannot be told from an exchanged one")
    try:
        with _alone(entry.name):
            path = (fetch_graph if entry.is_graph else fetch)(entry, args.url)
    except DownloadError as error:
        raise DownloadError(f"{error}\nOr, {entry.by_hand()}") from error
    print(_shown(path))
    return 0


def _import(args: argparse.Namespace) -> int:
    from panoptic_ros.checkpoints import load_manifest, read_side_file
    from panoptic_ros.checkpoints.install import import_file
    from panoptic_ros.model.onnx.published import import_graph

    entry = load_manifest().get(args.name)
    if entry is not None and entry.is_graph:
        with _alone(args.name):
            print(import_graph(args.file, entry))
        return 0
    if args.file.suffix in (".onnx", ".xml"):
        raise ValueError(
            f"{args.file} needs no import: describe it in a .yaml beside it (docs/weights.md)"
        )
    command = f"python -m panoptic_ros weights import {args.file.name} --as {args.name}"
    with _alone(args.name):
        path = import_file(args.file, args.name, entry, command)
    if part := read_side_file(path).get("part"):
        print(f"taken from {args.file}: {part}")
    print(_shown(path))
    return 0


def _info(args: argparse.Namespace) -> int:
    from panoptic_ros.checkpoints import find, load_manifest, read_side_file
    from panoptic_ros.checkpoints.manifest import entry as find_entry

    manifest, path = load_manifest(), find(args.name)
    if path is None:
        # Raises where the name is unknown.
        find_entry(args.name, manifest)
    if args.name in manifest:
        entry = manifest[args.name]
        for key, value in vars(entry).items():
            if key != "name" and value:
                print(f"{key.replace('_', ' ')}: {value}")
        if path is None:
            print(f"not here; run `python -m panoptic_ros weights fetch {args.name}`, or,")
            print(entry.by_hand())
    if path is not None and path.suffix == ".yaml":
        print(f"{path}:\n{path.read_text(encoding='utf-8', errors='backslashreplace')}")
    elif path is not None:
        print(f"{path}.json:\n{json.dumps(read_side_file(path), indent=2)}")
    return 0


def _verify(args: argparse.Namespace) -> int:
    from panoptic_ros.checkpoints import places
    from panoptic_ros.checkpoints.install import check
    from panoptic_ros.model.onnx.published import check_graph

    here, incomplete = places.installed(), places.incomplete()
    for name in args.names:
        if name not in {**here, **incomplete}:
            searched = ", ".join(map(str, places.folders()))
            raise ValueError(f"there are no weights {name!r} in {searched}")
    damaged = 0
    for name in args.names or sorted({**here, **incomplete}):
        troubles = []
        if name in here:
            path = here[name]
            troubles.append((check_graph if path.suffix == ".yaml" else check)(path))
        if name in incomplete:
            file = incomplete[name]
            troubles.append(
                f"{file} has no side file, without which it is not found: copy "
                f"{file.with_suffix('.json').name} from where the weights come from, or move "
                f"{file.name} out of {file.parent}"
            )
        damaged += any(troubles)
        print(f"{name}: {'DAMAGED' if any(troubles) else 'whole'}")
        for trouble in filter(None, troubles):
            print(f"  {trouble}", file=sys.stderr)
    return EXIT_DAMAGED if damaged else 0


def _alone(name: str) -> AbstractContextManager[None]:
    """Let no other command write weights of a name meanwhile."""
    from panoptic_ros.checkpoints import places
    from panoptic_ros.whole_files import locked

    words = f"another run fetches or imports {name}; wait for its end"
    return locked(places.target() / f"{name}.lock", words)


def _shown(path: Path) -> str:
    """Return the file of weights as `places.find` names them."""
    return str(path) if path.suffix == ".yaml" else f"{path}.safetensors"


def _name(text: str) -> str:
    # It becomes a file's name, perhaps in a folder below the one for weights.
    if not re.fullmatch(r"[\w-][\w.-]*(/[\w-][\w.-]*)*", text):
        raise argparse.ArgumentTypeError(f"{text!r} must be of letters, digits, _ - . and /")
    return text
