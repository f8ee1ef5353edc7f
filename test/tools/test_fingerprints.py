from tools import fingerprints


def test_fingerprint_follows_facts_names_and_contents(tmp_path):
    first, second = tmp_path / "a.txt", tmp_path / "b.txt"
    first.write_text("1")
    second.write_text("1")
    seen = {
        fingerprints.fingerprint(facts=["wheels"], contents=[first]),
        fingerprints.fingerprint(facts=["jazzy"], contents=[first]),
        fingerprints.fingerprint(facts=["wheels"], contents=[second]),
    }
    first.write_text("2")
    seen.add(fingerprints.fingerprint(facts=["wheels"], contents=[first]))
    assert len(seen) == 4


def test_fingerprint_does_not_depend_on_the_order_of_files(tmp_path):
    files = [tmp_path / "a.txt", tmp_path / "b.txt"]
    for file in files:
        file.write_text(file.name)
    assert fingerprints.fingerprint(contents=files) == fingerprints.fingerprint(
        contents=reversed(files)
    )


def test_a_new_file_counts_and_a_cache_does_not(tmp_path):
    (tmp_path / "node.py").touch()
    before = fingerprints.files_below(tmp_path)
    (tmp_path / "__pycache__").mkdir()
    (tmp_path / "__pycache__" / "node.pyc").touch()
    assert fingerprints.files_below(tmp_path) == before
    (tmp_path / "camera.py").touch()
    assert fingerprints.files_below(tmp_path) != before


def test_only_a_finished_step_is_done(tmp_path):
    stamp = tmp_path / "stamp"
    assert not fingerprints.is_done(stamp, "x")
    stamp.write_text("x")
    assert fingerprints.is_done(stamp, "x")
    assert not fingerprints.is_done(stamp, "y")
