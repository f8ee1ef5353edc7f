from pathlib import Path

import pytest

from panoptic_ros import resources


@pytest.fixture
def modules(tmp_path, monkeypatch):
    """Pretend that the modules lie in a given folder below tmp_path."""

    def place(relative: str) -> Path:
        package = tmp_path / relative / "panoptic_ros"
        package.mkdir(parents=True)
        monkeypatch.setattr(resources, "__file__", str(package / "resources.py"))
        return package

    return place


@pytest.mark.parametrize(
    ("modules_in", "share"),
    [
        ("src", "src"),
        ("lib/python3.11/site-packages", "share/panoptic_ros"),
        ("local/lib/python3.10/dist-packages", "share/panoptic_ros"),
        ("local/lib/python3.10/dist-packages", "local/share/panoptic_ros"),
        ("target", "target/share/panoptic_ros"),
    ],
)
def test_share_dir_is_found_in_every_kind_of_installation(modules, tmp_path, modules_in, share):
    modules(modules_in)
    (tmp_path / share / "config" / "models").mkdir(parents=True)
    assert resources.share_dir() == tmp_path / share


def test_links_of_a_symlink_install_lead_to_the_source_tree(tmp_path, monkeypatch):
    source = tmp_path / "src" / "panoptic_ros" / "resources.py"
    source.parent.mkdir(parents=True)
    source.touch()
    (tmp_path / "src" / "config" / "models").mkdir(parents=True)
    link = tmp_path / "install" / "panoptic_ros" / "resources.py"
    link.parent.mkdir(parents=True)
    link.symlink_to(source)
    monkeypatch.setattr(resources, "__file__", str(link))
    assert resources.share_dir() == tmp_path / "src"


def test_error_lists_what_was_searched(modules, tmp_path):
    modules("lib/python3.11/site-packages")
    with pytest.raises(FileNotFoundError) as error:
        resources.share_dir()
    assert str(tmp_path / "share" / "panoptic_ros") in str(error.value)
    assert str(tmp_path / "lib" / "python3.11" / "site-packages") in str(error.value)


def test_this_tree_has_its_data_files():
    assert (resources.share_dir() / "package.xml").is_file()
