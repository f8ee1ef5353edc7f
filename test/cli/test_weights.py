import io
import json

import pytest
import torch
from held import held_file
from http_site import Site, serving

from panoptic_ros.__main__ import main
from panoptic_ros.networks import build

DEEPLAB = "deeplabv3plus_mobilenetv2_cityscapes"
ROAD = "road-segmentation-adas-0001"
MASK_RCNN = "mask_rcnn_r50_fpn_cityscapes"


@pytest.fixture
def own(tmp_path, monkeypatch):
    folder = tmp_path / "own"
    monkeypatch.setenv("PANOPTIC_WEIGHTS", str(folder))
    return folder


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    return build({"name": "deeplabv3plus_mobilenetv2", "num_classes": 19}).eval()


@pytest.fixture(scope="module")
def published(network) -> bytes:
    """Return the bytes of a file such as the authors of DeepLabV3Plus-Pytorch publish."""
    content = io.BytesIO()
    torch.save({"model_state": network.state_dict(), "cur_itrs": 3, "best_score": 0.5}, content)
    return content.getvalue()


def test_fetch_downloads_converts_and_leaves_nothing_else(own, network, published, capsys):
    with serving(Site(published)) as site:
        assert main(["weights", "fetch", DEEPLAB, "--url", site.url]) == 0
    assert sorted(p.name for p in own.iterdir()) == [f"{DEEPLAB}.json", f"{DEEPLAB}.safetensors"]
    side = json.loads((own / f"{DEEPLAB}.json").read_text())
    assert side["scores"] == {"mIoU": 72.1}
    assert "non-commercial" in side["source"]["licence"]
    assert "no hash" in capsys.readouterr().out

    from panoptic_ros.checkpoints import load

    loaded, _ = load(own / DEEPLAB)
    for name, tensor in network.state_dict().items():
        assert torch.equal(loaded.state_dict()[name], tensor), name


def test_what_was_fetched_is_listed_described_and_verified(own, published, tmp_path, capsys):
    file = tmp_path / "some.pth"
    file.write_bytes(published)
    assert main(["weights", "import", str(file), "--as", "mine/street"]) == 0
    assert file.exists()
    assert main(["weights", "list"]) == 0
    assert main(["weights", "info", "mine/street"]) == 0
    assert main(["weights", "verify", "mine/street"]) == 0
    out = capsys.readouterr().out
    assert "mine/street.safetensors" in out
    assert '"num_classes": 19' in out
    assert "mine/street: whole" in out


def test_weights_from_elsewhere_are_not_replaced(own, network, published, tmp_path, capsys):
    first, second = tmp_path / "first.pth", tmp_path / "second.pth"
    first.write_bytes(published)
    torch.save(network.state_dict(), second)
    assert main(["weights", "import", str(first), "--as", "mine"]) == 0
    before = (own / "mine.json").read_bytes()
    assert main(["weights", "import", str(second), "--as", "mine"]) == 2
    said = f"{own / 'mine'}.safetensors is there already, and from elsewhere"
    assert said in capsys.readouterr().err
    assert (own / "mine.json").read_bytes() == before
    # The same file again, and any in the place of a damaged one.
    assert main(["weights", "import", str(first), "--as", "mine"]) == 0
    (own / "mine.json").write_text("{")
    assert main(["weights", "import", str(second), "--as", "mine"]) == 0


@pytest.mark.parametrize(
    ("words", "name"),
    [
        (["import", "some.pth", "--as", "mine/street"], "mine/street"),
        (["import", "some.xml", "--as", ROAD], ROAD),
        (["fetch", DEEPLAB], DEEPLAB),
    ],
)
def test_two_that_write_weights_of_a_name_are_refused(own, capsys, words, name):
    with held_file(own / f"{name}.lock"):
        assert main(["weights", *words]) == 2
    said = f"another run fetches or imports {name}; wait for its end\n"
    assert capsys.readouterr().err == f"panoptic: error: {said}"


def test_verify_finds_a_damaged_file(own, published, tmp_path, capsys):
    file = tmp_path / "some.pth"
    file.write_bytes(published)
    assert main(["weights", "import", str(file), "--as", "mine"]) == 0
    tensors = own / "mine.safetensors"
    content = bytearray(tensors.read_bytes())
    content[-1] ^= 1
    tensors.write_bytes(content)
    assert main(["weights", "verify"]) == 1
    captured = capsys.readouterr()
    assert "mine: DAMAGED" in captured.out
    assert "SHA-256" in captured.err
    assert "town/semantic: whole" in captured.out


@pytest.mark.parametrize("names", [(), ("mine/street.v2",)])
def test_verify_names_tensors_without_a_side_file(own, capsys, names):
    file = own / "mine" / "street.v2.safetensors"
    file.parent.mkdir(parents=True)
    file.write_bytes(b"")
    assert main(["weights", "verify", *names]) == 1
    captured = capsys.readouterr()
    assert "mine/street.v2: DAMAGED" in captured.out
    assert f"{file} has no side file" in captured.err
    assert "copy street.v2.json from where" in captured.err
    assert main(["weights", "verify", "town/head"]) == 0


def test_verify_tells_tensors_that_others_of_their_name_hide(own, capsys):
    (own / "town").mkdir(parents=True)
    (own / "town" / "head.safetensors").write_bytes(b"")
    assert main(["weights", "verify", "town/head"]) == 1
    assert "head.safetensors has no side file" in capsys.readouterr().err


def test_a_download_of_a_wrong_hash_is_refused_before_anything_is_opened(own, capsys):
    with serving(Site(b"another file")) as site:
        assert main(["weights", "fetch", MASK_RCNN, "--url", site.url]) == 2
    assert "not with af9cb5; it was deleted unopened" in capsys.readouterr().err
    assert not [p for p in own.rglob("*") if p.is_file()]


def test_a_file_of_the_users_own_may_take_a_published_name_but_is_marked(
    own, published, tmp_path, caplog
):
    file = tmp_path / "mine.pth"
    file.write_bytes(published)
    assert main(["weights", "import", str(file), "--as", DEEPLAB]) == 0
    side = json.loads((own / f"{DEEPLAB}.json").read_text())
    assert side["source"]["is_published_file"] is None
    # Here the name means another kind of file, too.
    assert main(["weights", "import", str(file), "--as", MASK_RCNN]) == 2
    assert "is not the published model_final_af9cb5.pkl" in caplog.text
    assert not list(own.rglob(f"{MASK_RCNN}*"))


def test_offline_says_which_file_from_where_and_how_to_import_it(own, capsys):
    with serving(Site(b"")) as site:
        pass
    assert main(["weights", "fetch", MASK_RCNN, "--url", site.url]) == 2
    said = capsys.readouterr().err
    assert "cannot be reached" in said
    assert "https://dl.fbaipublicfiles.com/detectron2/" in said
    assert f"weights import model_final_af9cb5.pkl --as {MASK_RCNN}" in said


def test_info_shows_a_description_whatever_it_holds(own, capsys):
    own.mkdir()
    for suffix in ("yaml", "xml"):
        (own / f"net.{suffix}").write_bytes(b"# \xff")
    assert main(["weights", "info", "net"]) == 0
    assert "net.yaml:\n# \\xff" in capsys.readouterr().out


def test_info_of_what_is_not_here_says_how_to_get_it(own, monkeypatch, capsys):
    # Whoever runs this may have fetched it.
    monkeypatch.setattr("panoptic_ros.checkpoints.places.folders", lambda: [own])
    assert main(["weights", "info", MASK_RCNN]) == 0
    said = capsys.readouterr().out
    assert f"weights fetch {MASK_RCNN}" in said
    assert "code licence: Apache-2.0" in said


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["fetch", "nothing"], "known: deeplab"),
        (["info", "nothing"], "known: deeplab"),
        (["verify", "nothing"], "no weights 'nothing' in"),
        (["import", "no/such.pth", "--as", "mine"], "no file no/such.pth"),
    ],
)
def test_what_is_not_there_is_named(own, capsys, arguments, words):
    assert main(["weights", *arguments]) == 2
    assert words in capsys.readouterr().err


def test_import_says_which_tensors_were_taken(own, network, tmp_path, capsys):
    file = tmp_path / "last.pth"
    state = network.state_dict()
    torch.save({"model": state, "model_ema": state, "epoch": 3}, file)
    assert main(["weights", "import", str(file), "--as", "mine"]) == 0
    assert f"taken from {file}: model_ema" in capsys.readouterr().out


@pytest.mark.parametrize("name", ["../mine", "/mine", "a//b", ""])
def test_a_name_that_leaves_the_folder_is_refused(own, capsys, name):
    with pytest.raises(SystemExit) as stopped:
        main(["weights", "import", "some.pth", "--as", name])
    assert stopped.value.code == 2
    assert "must be of letters" in capsys.readouterr().err
