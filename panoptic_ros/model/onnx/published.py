"""Published networks in OpenVINO's form: from a download or a file into a folder of weights."""

from __future__ import annotations

import logging
import shutil
from pathlib import Path

import torch
import yaml

from panoptic_ros.checkpoints import Entry, digest_of, places
from panoptic_ros.checkpoints.install import downloaded, licence
from panoptic_ros.labels import CITYSCAPES
from panoptic_ros.model.onnx.description import load_description
from panoptic_ros.model.onnx.onnx_predictors import OnnxGraph, OnnxSemanticPredictor
from panoptic_ros.whole_files import write_file

_log = logging.getLogger(__name__)


def fetch_graph(entry: Entry, url: str = "") -> Path:
    """Download, check and describe an entry of kind openvino; return its description.

    url: a mirror of the .xml, beside which lies the .bin. Raise DownloadError, or ValueError for
    files that are others or cannot be run.
    """
    with downloaded(entry, url) as folder:
        return import_graph(folder / entry.file, entry)


def import_graph(file: Path, entry: Entry) -> Path:
    """Copy an .xml and the .bin beside it into a folder of weights; return their description.

    They are run once before. Others than the published ones are taken with a warning.
    Raise FileNotFoundError; ValueError for files that cannot be run, or are another network's.
    """
    if file.suffix != ".xml":
        raise ValueError(f"{entry.name} comes as an .xml with a .bin beside it; name the .xml")
    sources = [file, file.with_suffix(".bin")]
    for source, published in zip(sources, entry.files(), strict=True):
        if not source.is_file():
            raise FileNotFoundError(f"there is no file {source}; {entry.by_hand()}")
        if digest_of(source, published.algorithm) != published.digest:
            _log.warning("%s is not the published %s: its hash is another", source, published.name)
    target = places.target()
    trial = target / f"{entry.name}.part"
    shutil.rmtree(trial, ignore_errors=True)
    trial.mkdir(parents=True)
    try:
        for source, published in zip(sources, entry.files(), strict=True):
            shutil.copyfile(source, trial / published.name)
        graph = [trial / published.name for published in entry.files()]
        sums = trial / f"{entry.name}.sha256"
        # As `sha256sum --check` reads it.
        write_file(sums, "".join(f"{digest_of(part)}  {part.name}\n" for part in graph))
        description = trial / f"{entry.name}.yaml"
        write_file(description, _described(entry))
        if trouble := check_graph(description):
            raise ValueError(f"{file} is no {entry.name}: {trouble}")
        # The description last: without it, nothing is found.
        for part in (*graph, sums, description):
            part.replace(target / part.name)
    finally:
        shutil.rmtree(trial)
    return target / description.name


def check_graph(description: Path) -> str:
    """Return what is wrong with a semantic network that has a description, empty if nothing is.

    Files are compared with the hashes of their import, where it left such.
    """
    try:
        found = load_description(description, "semantic")
        sums = description.with_suffix(".sha256")
        for line in sums.read_text().splitlines() if sums.is_file() else ():
            digest, name = line.split()
            if digest_of(description.with_name(name)) != digest:
                return f"{description.with_name(name)} is not the file that was imported"
        OnnxSemanticPredictor(OnnxGraph(found, CITYSCAPES, torch.device("cpu")))
    except (OSError, ValueError) as error:
        return str(error)
    return ""


def _described(entry: Entry) -> str:
    content = yaml.safe_dump({"file": entry.file, **entry.description}, sort_keys=False)
    return f"# {entry.what}\n# {entry.source}; {licence(entry)}\n{content}"
