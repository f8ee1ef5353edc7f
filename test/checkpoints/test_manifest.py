import pytest

from panoptic_ros.checkpoints.manifest import advice, entry, load_manifest

ENTRY = """
net:
  {what: a, kind: b, file: f.pth, url: u, megabytes: 1, code_licence: MIT, data: d,
   data_licence: l, source: s, score_on: x%s}
"""


def test_the_packages_manifest_says_what_a_user_must_know():
    manifest = load_manifest()
    assert "mask_rcnn_r50_fpn_cityscapes" in manifest
    for item in manifest.values():
        assert item.url.startswith("https://")
        assert item.score
        hashes = [file.digest for file in item.files()]
        assert all(hashes) or item.name == "deeplabv3plus_mobilenetv2_cityscapes"
        for part in (item.url, item.file, item.name):
            assert part in item.by_hand()


@pytest.mark.parametrize(
    ("extra", "words"),
    [
        (", sha256: XYZ", "no hash in lower case"),
        (", colour: red", "net: .*colour"),
        (", score: {mIoU: high}", "net: score: mIoU is 'high'; it must be a number"),
        (", what: [a]", "'what' is there twice"),
    ],
)
def test_a_bad_entry_is_named(tmp_path, extra, words):
    file = tmp_path / "manifest.yaml"
    file.write_text(ENTRY % extra)
    with pytest.raises(ValueError, match=f"(?s){file.name}.*{words}"):
        load_manifest(file)


def test_a_graph_needs_its_hashes_and_a_description(tmp_path):
    file = tmp_path / "manifest.yaml"
    file.write_text((ENTRY % ", sha384: {xml: abc, bin: abc}").replace("kind: b", "kind: openvino"))
    with pytest.raises(ValueError, match="net: openvino needs a description, and sha384 of"):
        load_manifest(file)


def test_a_file_in_another_folder_is_refused(tmp_path):
    file = tmp_path / "manifest.yaml"
    file.write_text((ENTRY % "").replace("f.pth", "../../etc/passwd"))
    with pytest.raises(ValueError, match="must be a plain name"):
        load_manifest(file)


def test_an_unknown_name_lists_the_known_ones(tmp_path):
    file = tmp_path / "manifest.yaml"
    file.write_text(ENTRY % "")
    with pytest.raises(ValueError, match="known: net"):
        entry("nett", load_manifest(file))


def test_advice_is_for_what_the_manifest_has():
    assert "weights fetch maskrcnn_resnet50_fpn_coco`" in advice("maskrcnn_resnet50_fpn_coco")
    assert advice("town/semantic") == ""
