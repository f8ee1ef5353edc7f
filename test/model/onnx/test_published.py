import re
from dataclasses import replace

import numpy as np
import pytest
import torch
from http_site import Site, serving
from open_zoo import ROAD, STREET, road_network, street_network

from panoptic_ros.__main__ import main
from panoptic_ros.checkpoints import digest_of, find, load_manifest
from panoptic_ros.labels import CITYSCAPES
from panoptic_ros.model.onnx import OnnxGraph, OnnxSemanticPredictor, load_description
from panoptic_ros.model.onnx.published import fetch_graph

NETWORKS = {ROAD: road_network, STREET: street_network}


@pytest.fixture
def own(tmp_path, monkeypatch):
    monkeypatch.setenv("PANOPTIC_WEIGHTS", str(tmp_path / "own"))
    return tmp_path / "own"


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("files")
    return {name: write(folder / f"{name}.xml") for name, write in NETWORKS.items()}


def imported(name, files):
    assert main(["weights", "import", str(files[name]), "--as", name]) == 0
    description = load_description(find(name), "semantic")
    return OnnxSemanticPredictor(OnnxGraph(description, CITYSCAPES, torch.device("cpu")))


def test_a_file_is_imported_run_listed_and_verified(own, files, capsys, caplog):
    image = np.zeros((128, 192, 3), np.uint8)
    image[64:, :96, 0] = 255
    image[:64, 96:, 1] = 255
    classes = imported(ROAD, files)(image).class_map()
    assert np.unique(classes[66:, :94]).tolist() == [7]
    assert not classes[:62].any()
    assert not classes[:, 98:].any()
    assert sorted(p.name for p in own.iterdir()) == [
        f"{ROAD}.{s}" for s in ("bin", "sha256", "xml", "yaml")
    ]
    assert f"is not the published {ROAD}.xml" in caplog.text
    assert main(["weights", "list"]) == 0
    assert main(["weights", "info", ROAD]) == 0
    said = capsys.readouterr().out
    assert re.search(rf"{ROAD} +here", said)
    assert "color: BGR" in said
    assert "Apache-2.0" in said
    assert main(["weights", "verify", ROAD]) == 0
    weights = own / f"{ROAD}.bin"
    weights.write_bytes(weights.read_bytes()[:-1] + b"\1")
    assert main(["weights", "verify", ROAD]) == 1
    assert f"{ROAD}.bin is not the file that was imported" in capsys.readouterr().err


def test_indices_are_the_classes_in_the_zoos_order(own, files):
    image = np.zeros((64, 96, 3), np.uint8)
    image[:40, :, 0] = np.arange(40)[:, None] // 2
    found = imported(STREET, files)(image).class_map()[:40:2, 0]
    names = ["road", "sidewalk", "building", "wall", "fence", "pole", "traffic light"]
    names += ["traffic sign", "vegetation", "terrain", "sky", "person", "rider", "car", "truck"]
    names += ["bus", "train", "motorcycle", "bicycle"]
    assert found.tolist() == [*(CITYSCAPES.by_name[name].id for name in names), 0]


def test_both_files_are_fetched_and_their_hashes_checked(own, files):
    xml = files[ROAD]
    entry = load_manifest()[ROAD]
    hashes = {s: digest_of(xml.with_suffix(f".{s}"), "sha384") for s in ("xml", "bin")}
    site = Site(xml.read_bytes(), others={".bin": xml.with_suffix(".bin").read_bytes()})
    with serving(site):
        url = site.url.replace(".pth", ".xml")
        with pytest.raises(ValueError, match=r"(?s)its SHA-384 begins with .*deleted unopened"):
            fetch_graph(entry, url)
        assert fetch_graph(replace(entry, sha384=hashes), url) == own / f"{ROAD}.yaml"
    assert not (own / "downloads").exists()


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        (f"{ROAD}.xml", b"no graph", "cannot be run"),
        (f"{ROAD}.bin", b"", "cannot be run"),
        (f"{ROAD}.bin", None, "there is no file"),
        (f"{ROAD}.xml", STREET, "which is no probabilities of the 4 classes"),
    ],
)
def test_bad_files_are_named_and_nothing_is_left(
    own, files, tmp_path, capsys, name, content, words
):
    for suffix in (".xml", ".bin"):
        source = files[STREET if content == STREET else ROAD].with_suffix(suffix)
        (tmp_path / f"{ROAD}{suffix}").write_bytes(source.read_bytes())
    if isinstance(content, bytes):
        (tmp_path / name).write_bytes(content)
    elif content is None:
        (tmp_path / name).unlink()
    assert main(["weights", "import", str(tmp_path / f"{ROAD}.xml"), "--as", ROAD]) == 2
    said = capsys.readouterr().err
    assert words in said
    assert ROAD in said
    assert not own.exists() or not list(own.iterdir())


@pytest.mark.parametrize(
    ("file", "name", "words"),
    [
        (f"{ROAD}.bin", ROAD, "name the .xml"),
        (f"{ROAD}.xml", "mine", "needs no import: describe it in a .yaml"),
    ],
)
def test_what_cannot_be_imported_is_told(own, capsys, file, name, words):
    assert main(["weights", "import", file, "--as", name]) == 2
    assert words in capsys.readouterr().err


def test_offline_both_addresses_are_told(own, capsys):
    with serving(Site(b"")) as site:
        pass
    assert main(["weights", "fetch", ROAD, "--url", site.url]) == 2
    said = capsys.readouterr().err
    for words in (f"{ROAD}.xml\n", f"{ROAD}.bin\n", f"weights import {ROAD}.xml --as {ROAD}"):
        assert words in said
