import subprocess
import sys

import pytest
from held import held, held_file
from waiting import TIMEOUT

from panoptic_ros import __main__ as main_module
from panoptic_ros import cli


def run(*arguments):
    command = [sys.executable, "-m", "panoptic_ros", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT)


def test_help_lists_every_command_with_its_line():
    done = run("--help")
    assert done.returncode == 0
    for name, module in cli.load(list(cli.modules())).items():
        assert name in done.stdout
        assert module.HELP[:20] in done.stdout


def test_help_does_not_import_torch():
    code = (
        "import sys; from panoptic_ros.__main__ import main\n"
        "try: main(['--help'])\nexcept SystemExit: sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True).returncode == 0


@pytest.mark.parametrize("arguments", [(), ("nonsense",), ("demo", "--nonsense")])
def test_bad_arguments_exit_with_2_and_say_what_is_wrong(arguments):
    done = run(*arguments)
    assert done.returncode == 2
    assert "error:" in done.stderr
    assert "Traceback" not in done.stderr


def test_bad_input_is_told_in_one_line():
    done = run("demo", "--video", "no/such/film.mp4")
    assert done.returncode == 2
    assert done.stderr == "panoptic: error: there is no video file no/such/film.mp4\n"


@pytest.mark.parametrize(
    "command",
    [
        ["town"],
        ["demo"],
        ["export", "--weights", "town_fast"],
        ["compare", "--data", "none"],
        ["evaluate", "--dataset", "town", "--data", "none"],
    ],
)
@pytest.mark.parametrize("below", [(), ("a", "b")])
def test_a_file_is_no_folder_to_write(tmp_path, capsys, command, below):
    (tmp_path / "file").write_text("mine")
    out = tmp_path.joinpath("file", *below)
    assert main_module.main([*command, "--out", str(out)]) == 2
    said = f"panoptic: error: {tmp_path / 'file'} is no folder: choose another --out\n"
    assert capsys.readouterr().err == said
    assert (tmp_path / "file").read_text() == "mine"


@pytest.mark.parametrize(
    ("command", "option"),
    [
        (["town"], "--out"),
        (["town", "--bag"], "--out"),
        (["demo"], "--out"),
        (["export"], "--out"),
        (["replay", "none"], "--out"),
        (["replay", "none", "--live"], "--out"),
        (["compare", "--data", "none"], "--out"),
        (["evaluate", "--dataset", "town", "--data", "none"], "--out"),
        (["evaluate", "predict", "--images", "none"], "--out"),
        (["evaluate", "files", "--truth", "none", "--prediction", "none"], "--out"),
        (["evaluate", "compare", "none"], "--out"),
        (["evaluate", "grid", "--data", "none"], "--report"),
        (["evaluate", "tracks", "--data", "none"], "--report"),
    ],
)
def test_two_at_once_in_a_folder_are_refused(tmp_path, capsys, command, option):
    with held(tmp_path):
        assert main_module.main([*command, option, str(tmp_path)]) == 2
    said = f"{tmp_path} is in use by another run; wait for its end, or choose another {option}\n"
    assert capsys.readouterr().err == f"panoptic: error: {said}"


@pytest.mark.parametrize(
    ("command", "option"),
    [
        (["evaluate", "files", "--truth", "none", "--prediction", "none"], "--json"),
        (["evaluate", "video", "--truth", "none", "--prediction", "none"], "--json"),
        *((["evaluate", what, "--data", "none"], "--json") for what in ("grid", "tracks", "heads")),
    ],
)
def test_two_at_once_on_a_file_are_refused(tmp_path, capsys, command, option):
    file = tmp_path / "out.json"
    with held_file(tmp_path / "out.json.lock"):
        assert main_module.main([*command, option, str(file)]) == 2
    said = f"{file} is in use by another run; wait for its end, or choose another {option}\n"
    assert capsys.readouterr().err == f"panoptic: error: {said}"


def test_a_command_that_fails_leaves_no_folder(tmp_path, capsys):
    out = tmp_path / "new" / "out"
    assert main_module.main(["evaluate", "compare", "none", "--out", str(out)]) == 2
    assert "none" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_a_link_to_nothing_is_no_folder_to_write(tmp_path, capsys):
    (tmp_path / "link").symlink_to(tmp_path / "unplugged")
    assert main_module.main(["town", "--out", str(tmp_path / "link" / "town")]) == 2
    said = f"{tmp_path / 'link'} is a link to nothing ({tmp_path / 'unplugged'}): make that folder"
    assert said in capsys.readouterr().err


def test_a_folder_that_takes_no_files_is_told_before_any_work(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("os.access", lambda path, mode: path != tmp_path)
    assert main_module.main(["town", "--out", str(tmp_path / "new" / "town")]) == 2
    said = f"panoptic: error: {tmp_path} cannot be written to: choose another --out\n"
    assert capsys.readouterr().err == said


@pytest.mark.parametrize(
    ("command", "option"),
    [
        (["evaluate", "files", "--truth", "none", "--prediction", "none"], "--json"),
        (["evaluate", "video", "--truth", "none", "--prediction", "none"], "--json"),
        *((["evaluate", what, "--data", "none"], "--json") for what in ("grid", "tracks", "heads")),
    ],
)
def test_a_file_to_write_is_no_folder_and_lies_in_one(tmp_path, capsys, command, option):
    assert main_module.main([*command, option, str(tmp_path)]) == 2
    said = f"panoptic: error: {tmp_path} is a folder: choose another {option}\n"
    assert capsys.readouterr().err == said
    (tmp_path / "file").write_text("mine")
    assert main_module.main([*command, option, str(tmp_path / "file" / "out.json")]) == 2
    said = f"panoptic: error: {tmp_path / 'file'} is no folder: choose another {option}\n"
    assert capsys.readouterr().err == said


@pytest.mark.parametrize("option", ["--run", "--output"])
def test_what_a_training_writes_is_looked_at_before_it(tmp_path, capsys, option):
    (tmp_path / "file").write_text("mine")
    paths = {"--run": tmp_path / "run", "--output": tmp_path / "out"}
    paths[option] = tmp_path / "file" / "weights"
    given = [text for name, path in paths.items() for text in (name, str(path))]
    assert main_module.main(["train", "semantic", "--data", "none", *given]) == 2
    said = f"panoptic: error: {tmp_path / 'file'} is no folder: choose another {option}\n"
    assert capsys.readouterr().err == said


def test_home_is_written_out_where_the_shell_has_not(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    seen = []
    monkeypatch.setattr("panoptic_ros.cli.replay.run", lambda args: seen.append(args) or 0)
    assert main_module.main(["replay", "~/a", "~/b.mcap", "--out=~/new"]) == 0
    (args,) = seen
    assert args.bags == [tmp_path / "a", tmp_path / "b.mcap"]
    assert args.out == tmp_path / "new"


@pytest.mark.parametrize(
    ("error", "code", "words"),
    [
        (ValueError("width is 0"), 2, "panoptic: error: width is 0\n"),
        (PermissionError("cannot write x"), 2, "panoptic: error: cannot write x\n"),
        # What strangers wrote into a file may be all of it.
        (ValueError("x" * 10**6), 2, f"panoptic: error: {'x' * 2000} ...\n"),
        (KeyboardInterrupt(), 130, ""),
    ],
)
def test_what_a_command_raises(monkeypatch, capsys, error, code, words):
    def fail(args):
        raise error

    monkeypatch.setattr("panoptic_ros.cli.demo.run", fail)
    assert main_module.main(["demo"]) == code
    assert capsys.readouterr().err == words


def test_what_is_not_expected_keeps_its_traceback(monkeypatch):
    def fail(args):
        raise ZeroDivisionError

    monkeypatch.setattr("panoptic_ros.cli.demo.run", fail)
    with pytest.raises(ZeroDivisionError):
        main_module.main(["demo"])


def test_a_command_gives_the_exit_code(monkeypatch):
    monkeypatch.setattr("panoptic_ros.cli.demo.run", lambda args: args.frames)
    assert main_module.main(["demo", "--frames", "7"]) == 7
