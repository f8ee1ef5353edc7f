"""Bags as they are found: of any storage, compressed, incomplete, damaged, hostile."""

import os
import random
import sqlite3
import struct
import subprocess
import sys
import zlib

import lz4.frame
import pytest
from made_bags import CAMERA, INFO, START, drive, info, write
from rosbags.rosbag2 import CompressionFormat, CompressionMode, StoragePlugin, Writer
from rosbags.typesys import Stores, get_typestore

from panoptic_ros.bags import BagReader
from panoptic_ros.bags.compression import zstd
from panoptic_ros.bags.recording import Recording

MCAP, SQLITE3 = StoragePlugin.MCAP, StoragePlugin.SQLITE3
HIGH = (1 << 63) + 5
STRING = "std_msgs/msg/String"
STORE = get_typestore(Stores.ROS2_HUMBLE)
COUNT = 40


def words(path, plugin=MCAP, compression=None):
    """Write a bag of numbered strings at 10, 20, ... ns."""
    writer = Writer(path, version=8, storage_plugin=plugin)
    if compression:
        writer.set_compression(compression, CompressionFormat.ZSTD)
    with writer:
        topic = writer.add_connection("/words", STRING, typestore=STORE)
        for i in range(COUNT):
            data = STORE.serialize_cdr(STORE.types[STRING](data=f"{i:040}"), STRING)
            writer.write(topic, 10 * (i + 1), data)
    return path


def the_file(bag):
    (file,) = [f for f in bag.iterdir() if f.name != "metadata.yaml"]
    return file


def read(path):
    """Return the numbers in a bag of words, and its problems."""
    with BagReader(path) as bag:
        numbers = [int(m.message.data) for m in bag.messages({"/words"})]
        return numbers, bag.problems


@pytest.mark.parametrize("plugin", [MCAP, SQLITE3])
@pytest.mark.parametrize("mode", [None, CompressionMode.FILE, CompressionMode.MESSAGE])
@pytest.mark.parametrize("opened_as", ["folder", "folder without metadata", "file"])
def test_compressed_or_not_all_is_read(tmp_path, plugin, mode, opened_as):
    bag = words(tmp_path / "bag", plugin, mode)
    if opened_as != "folder":
        (bag / "metadata.yaml").unlink()
    numbers, problems = read(the_file(bag) if opened_as == "file" else bag)
    assert numbers == list(range(COUNT))
    missing = f"{bag}/metadata.yaml is missing: the bag's files are taken by their names"
    assert problems == ([missing] if opened_as == "folder without metadata" else [])


def test_a_file_that_is_compressed_under_a_plain_name_is_read(tmp_path):
    file = the_file(words(tmp_path / "bag"))
    file.write_bytes(zstd.compress(file.read_bytes()))
    assert read(file) == (list(range(COUNT)), [])


def test_zstd_files_of_several_frames_are_read_whole(tmp_path):
    file = the_file(words(tmp_path / "bag"))
    content = file.read_bytes()
    packed = tmp_path / "two.mcap.zstd"
    packed.write_bytes(zstd.compress(content[:300]) + zstd.compress(content[300:]))
    assert read(packed) == (list(range(COUNT)), [])
    packed.write_bytes(packed.read_bytes()[:-3])
    assert "is cut off after" in read(packed)[1][0]


@pytest.mark.parametrize("plugin", [MCAP, SQLITE3])
@pytest.mark.parametrize("name", ["größe %20 ?#日本", "\udcff", "DRIVE.{suffix}", "x.{suffix}.y"])
def test_names_of_any_kind(tmp_path, plugin, name):
    file = the_file(words(tmp_path / "bag", plugin))
    suffix = file.suffix[1:].upper()
    bag = file.parent.rename(tmp_path / name.format(suffix=suffix))
    (bag / "metadata.yaml").unlink()
    numbers, _ = read((bag / file.name).rename(bag / f"{name}.{{suffix}}".format(suffix=suffix)))
    assert numbers == list(range(COUNT))
    # What else lies there, and is none, comes first.
    (bag / "!.bag").touch()
    (bag / f"loop.{suffix}").symlink_to(bag / f"loop.{suffix}")
    (bag / f"folder.{suffix}").mkdir()
    with BagReader(bag) as opened:
        assert opened.counts["/words"] == COUNT
        assert opened.storage == plugin.name.lower()
        assert any("!.bag is not a bag" in problem for problem in opened.problems)


@pytest.mark.parametrize("in_folder", [True, False])
def test_a_ros_1_bag_names_the_converter(tmp_path, in_folder):
    file = tmp_path / "drive.bag"
    file.write_bytes(b"#ROSBAG V2.0\n" + bytes(5000))
    with pytest.raises(ValueError, match=r"drive\.bag holds messages of ROS 1.*rosbags-convert"):
        Recording(tmp_path if in_folder else file)


@pytest.mark.parametrize("plugin", [MCAP, SQLITE3])
def test_damage_of_a_compressed_file_is_told_by_its_own_name(tmp_path, plugin):
    file = the_file(words(tmp_path / "bag", plugin))
    packed = tmp_path / f"{file.name}.zstd"
    packed.write_bytes(zstd.compress(file.read_bytes()[:-3000]))
    _, problems = read(packed)
    assert problems
    assert all(problem.startswith(str(packed)) for problem in problems)


@pytest.mark.parametrize("suffix", [".mcap", ".db3", ".mcap.zstd"])
@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"version https://git-lfs.github.com/spec/v1", "pointer of Git LFS"),
        (b"<!DOCTYPE html>", "web page"),
        (b"\x1f\x8b\x08", "gzip; unpack it"),
    ],
)
def test_what_came_in_place_of_a_bag_is_told(tmp_path, suffix, content, words):
    file = tmp_path / f"drive{suffix}"
    file.write_bytes(content)
    with pytest.raises(ValueError, match=rf"^{file} .*{words}"):
        Recording(file)


def test_where_nothing_can_be_read_all_reasons_are_told(tmp_path):
    bag, half = words(tmp_path / "bag"), the_file(words(tmp_path / "half", SQLITE3))
    file = the_file(bag)
    file.unlink()
    with pytest.raises(ValueError, match=f"it has no files; {file} is missing$"):
        Recording(bag)
    size = half.stat().st_size
    os.truncate(half, 200)
    with pytest.raises(ValueError, match=f"{half} is cut off: 200 of {size} bytes are there"):
        Recording(half)


def test_a_pipe_is_no_bag(tmp_path):
    os.mkfifo(tmp_path / "drive.mcap")
    with pytest.raises(ValueError, match=r"drive.mcap is neither a folder nor a file"):
        Recording(tmp_path / "drive.mcap")


def test_a_file_that_metadata_names_twice_has_its_messages_once(tmp_path):
    bag = words(tmp_path / "bag")
    metadata, name = bag / "metadata.yaml", the_file(bag).name
    metadata.write_text(metadata.read_text().replace(f"- {name}\n", f"- {name}\n  - {name}\n", 1))
    assert metadata.read_text().count(f"- {name}") == 2
    assert read(bag) == (list(range(COUNT)), [])


def test_what_macos_puts_beside_files_is_no_part_of_a_bag(tmp_path):
    bag = words(tmp_path / "bag")
    (bag / "metadata.yaml").unlink()
    (bag / f"._{the_file(bag).name}").write_bytes(b"\0\5\x16\7")
    numbers, problems = read(bag)
    assert numbers == list(range(COUNT))
    assert len(problems) == 1


def test_of_a_topic_of_several_types_the_usual_one_is_read_and_that_is_told(tmp_path):
    with Writer(tmp_path / "bag", version=8, storage_plugin=MCAP) as writer:
        for kind, count in ((STRING, 2), ("std_msgs/msg/Int8", 1)):
            topic = writer.add_connection("/words", kind, typestore=STORE)
            for i in range(count):
                message = STORE.types[kind](data=str(i) if kind == STRING else i)
                writer.write(topic, i, STORE.serialize_cdr(message, kind))
    numbers, problems = read(tmp_path / "bag")
    assert numbers == [0, 1]
    left_out = "its std_msgs/msg/Int8 are left out (1), it is of std_msgs/msg/String"
    assert problems == [f"/words: {left_out}"]


# ---- MCAP, record by record


def record(opcode, body):
    return struct.pack("<BQ", opcode, len(body)) + body


def text(content):
    return struct.pack("<I", len(content)) + content.encode()


def channel(number=1, topic="/words", serialization="cdr", schema=1):
    body = struct.pack("<HH", number, schema) + text(topic) + text(serialization) + text("")
    return record(4, body)


def schema(name=STRING):
    return record(3, struct.pack("<H", 1) + text(name) + text("ros2msg") + text("string data"))


def message(number, time=None, channel=1):
    data = bytes(STORE.serialize_cdr(STORE.types[STRING](data=str(number)), STRING))
    time = 10 * (number + 1) if time is None else time
    return record(5, struct.pack("<HIQQ", channel, number, time, time) + data)


def chunk(records, *, size=None, stored=None, compression=""):
    packed = {"zstd": zstd.compress, "lz4": lz4.frame.compress}.get(compression, bytes)(records)
    size = len(records) if size is None else size
    head = struct.pack("<QQQI", 0, 0, size, zlib.crc32(records)) + text(compression)
    stored = len(packed) if stored is None else stored
    return record(6, head + struct.pack("<Q", stored) + packed)


def statistics(count):
    head = struct.pack("<QHIIIIQQ", count, 1, 1, 0, 0, 1, 0, 0)
    return record(11, head + struct.pack("<IHQ", 10, 1, count))


FOOTER = record(2, bytes(20))
MAGIC = b"\x89MCAP0\r\n"


def mcap(path, *records, footer=FOOTER, profile="ros2"):
    content = record(1, text(profile) + text("")) + b"".join(records) + record(15, bytes(4))
    path.write_bytes(MAGIC + content + footer + MAGIC)
    return path


def three(start=0):
    return b"".join(message(i) for i in range(start, start + 3))


@pytest.fixture
def file(tmp_path):
    return tmp_path / "made.mcap"


def test_a_file_without_summary_is_whole(file):
    assert read(mcap(file, schema(), channel(), three())) == ([0, 1, 2], [])
    assert read(mcap(file, schema(), channel(), chunk(three()))) == ([0, 1, 2], [])


@pytest.mark.parametrize("profile", ["ros1", ""])
def test_an_mcap_of_ros_1_names_the_converter(file, profile):
    ros1 = channel(serialization="ros1")
    mcap(file, schema("std_msgs/String"), ros1, three(), profile=profile)
    with pytest.raises(ValueError, match=r"made\.mcap holds messages of ROS 1.*rosbags-convert"):
        Recording(file)


def test_a_topic_of_another_serialization_is_no_harm(file):
    json = record(5, struct.pack("<HIQQ", 2, 0, 5, 5) + b"{}")
    odd = channel(2, "/state", "json", schema=0)
    assert read(mcap(file, schema(), channel(), odd, three(), json)) == ([0, 1, 2], [])


def test_the_types_of_writers_that_leave_out_msg_are_known(file):
    assert read(mcap(file, schema("std_msgs/String"), channel(), three())) == ([0, 1, 2], [])
    with BagReader(file) as bag:
        assert [topic.kind for topic in bag.topics] == [STRING]


def test_a_channel_that_only_the_summary_still_describes_is_known(file):
    damaged = bytearray(chunk(schema() + channel() + message(0)))
    damaged[-5] ^= 0xFF
    summary = schema(), channel(), statistics(3)
    mcap(file, bytes(damaged), chunk(message(1)), message(2), *summary)
    numbers, (left_out, stated) = read(file)
    assert numbers == [1, 2]
    assert "was left out" in left_out
    assert stated.endswith("states 3 messages on /words in its statistics, 2 can be read")


def test_a_damaged_schema_is_taken_from_the_summary(file):
    damaged = record(3, struct.pack("<HI", 1, 9999))
    numbers, (problem,) = read(mcap(file, damaged, channel(), three(), schema(), channel()))
    assert numbers == [0, 1, 2]
    assert problem.endswith("a record (schema) that cannot be read")


@pytest.mark.parametrize(
    ("damaged", "words"),
    [
        (schema() + channel(topic="/worts"), f"/worts ({STRING}, cdr), which is taken, and /words"),
        (schema("std_msgs/msg/Strinf") + channel(), "/words (std_msgs/msg/Strinf, cdr), which is"),
        (schema() + channel(serialization="cds"), f"/words ({STRING}, cds), which is taken"),
        (channel(topic="", schema=0), f" ({STRING}, cdr), which is taken, and /words"),
    ],
    ids=["topic", "type", "serialization", "topic, without its type"],
)
def test_a_summary_that_describes_a_channel_otherwise_is_told(file, damaged, words):
    with BagReader(mcap(file, damaged, three(), schema(), channel(), statistics(3))) as bag:
        (problem,) = bag.problems
        assert problem.startswith(f"{file} describes channel 1 in two ways: {words}")


@pytest.mark.parametrize("opcode", [0x03, 0x07, 0x0A, 0x0C, 0x00, 0x4F, 0x90])
def test_a_changed_opcode_of_a_chunk_is_told(file, opcode):
    lost = bytearray(chunk(three(3)))
    lost[0] = opcode
    chunks = chunk(three()), bytes(lost), chunk(three(6))
    numbers, problems = read(mcap(file, schema(), channel(), *chunks, statistics(9)))
    assert set(numbers) <= {0, 1, 2, 6, 7, 8}
    assert problems
    if opcode not in (0x03, 0x00, 0x4F):  # what no reader passes over
        stated = f"{file} states 9 messages on /words in its statistics, 6 can be read"
        assert problems == [stated]


def test_without_statistics_the_indexes_of_chunks_are_compared(file):
    """As a recorder leaves it that is killed."""
    index = record(7, struct.pack("<HI", 1, 3 * 16) + bytes(3 * 16))
    assert read(mcap(file, schema(), channel(), chunk(three()), index)) == ([0, 1, 2], [])
    lost = bytearray(chunk(three(3)))
    lost[0] = 0x0E
    numbers, problems = read(
        mcap(file, schema(), channel(), chunk(three()), index, bytes(lost), index)
    )
    assert numbers == [0, 1, 2]
    assert problems == [f"{file} states 6 messages on /words in its chunks' indexes, 3 can be read"]


@pytest.mark.parametrize("length", [0, 5, 31, 1000, 1 << 40, (1 << 64) - 1])
def test_a_changed_length_within_a_chunk_is_told(file, length):
    records = bytearray(three())
    at = len(message(0))
    records[at + 1 : at + 9] = struct.pack("<Q", length)
    mcap(file, schema(), channel(), chunk(bytes(records)), statistics(3))
    with BagReader(file) as bag:
        assert bag.counts["/words"] < 3
        assert any("is damaged at byte" in p for p in bag.problems)
        assert any("states 3 messages on /words" in p for p in bag.problems)


@pytest.mark.parametrize("plugin", [MCAP, SQLITE3])
def test_what_metadata_counts_is_compared(tmp_path, plugin):
    bag = words(tmp_path / "bag", plugin)
    metadata = bag / "metadata.yaml"
    stated = metadata.read_text().replace(f"message_count: {COUNT}", f"message_count: {COUNT + 2}")
    metadata.write_text(stated)
    numbers, problems = read(bag)
    assert len(numbers) == COUNT
    lost = f"{COUNT} of {COUNT + 2} on /words"
    assert problems == [f"of the messages that {metadata} counts these can be read: {lost}"]


def test_of_metadata_that_is_cut_off_the_total_is_compared(tmp_path):
    bag = words(tmp_path / "bag")
    stated = f"{{message_count: {COUNT + 1}, relative_file_paths: [{the_file(bag).name}]}}"
    (bag / "metadata.yaml").write_text(f"rosbag2_bagfile_information: {stated}")
    numbers, (problem,) = read(bag)
    assert len(numbers) == COUNT
    assert problem.endswith(f"counts these can be read: {COUNT} of {COUNT + 1}")


def test_a_file_that_metadata_does_not_name_is_told(tmp_path):
    """A recorder that was killed has named all but its last file."""
    bag = words(tmp_path / "bag")
    file = the_file(bag)
    last = mcap(bag / "bag_1.mcap", schema(), channel(), three())
    for other in ("bag_1.db3", "._bag_1.mcap", "notes.txt"):
        (bag / other).write_bytes(b"SQLite format 3\0")
    # Unpacked or packed by hand it is the same.
    (bag / f"{file.name}.zstd").write_bytes(zstd.compress(file.read_bytes()))
    numbers, (problem,) = read(bag)
    assert len(numbers) == COUNT
    assert problem.startswith(f"{last} is left out, as {bag}/metadata.yaml does not name it")


@pytest.mark.parametrize(
    "footer",
    [
        record(2, b""),
        struct.pack("<BQ", 2, (1 << 63) - 1) + bytes(20),
        struct.pack("<BQ", 2, (1 << 64) - 1),
        record(2, bytes(19)),
    ],
    ids=["0", "2^63 - 1", "2^64 - 1", "19"],
)
def test_a_footer_of_another_length_is_told(file, footer):
    numbers, (problem,) = read(mcap(file, schema(), channel(), three(), footer=footer))
    assert numbers == [0, 1, 2]
    assert "its footer has" in problem


@pytest.mark.parametrize("compression", ["", "zstd", "lz4"])
def test_a_chunk_is_read_whatever_packs_it(file, compression):
    packed = chunk(three(), compression=compression)
    assert read(mcap(file, schema(), channel(), packed)) == ([0, 1, 2], [])
    damaged = bytearray(packed)
    damaged[-5] ^= 0xFF
    numbers, problems = read(mcap(file, schema(), channel(), bytes(damaged), message(3)))
    assert numbers == [3]
    assert "was left out" in problems[0]


@pytest.mark.parametrize("stored", [HIGH, (1 << 63) - 1, (1 << 64) - 1, 1 << 32])
@pytest.mark.parametrize("compression", ["", "zstd", "lz4"])
def test_a_stored_size_beyond_the_file_is_no_harm(file, stored, compression):
    packed = chunk(three(), stored=stored, compression=compression)
    assert read(mcap(file, schema(), channel(), packed)) == ([0, 1, 2], [])


@pytest.mark.parametrize("stored", [0, 7])
@pytest.mark.parametrize("compression", ["", "zstd", "lz4"])
def test_a_chunk_that_seems_to_hold_nothing_is_told(file, compression, stored):
    packed = bytearray(chunk(three(), size=0, stored=stored, compression=compression))
    packed[33:37] = bytes(4)  # no checksum
    numbers, (problem,) = read(mcap(file, schema(), channel(), bytes(packed), message(3)))
    assert numbers == [3]
    assert "was left out" in problem


@pytest.mark.parametrize("time", [HIGH, 1 << 63, (1 << 64) - 1])
def test_a_log_time_that_rosbag2_cannot_hold_is_told(file, time):
    numbers, problems = read(mcap(file, schema(), channel(), message(0), message(1, time=time)))
    assert numbers == [0]
    assert problems == [f"{file} has 1 messages with a log time beyond {(1 << 63) - 1} ns"]


@pytest.mark.parametrize("compression", ["", "zstd", "lz4"])
@pytest.mark.parametrize("size", [(1 << 64) - 1, HIGH, 1 << 40, 1 << 30, 5])
def test_a_chunk_that_lies_about_its_size_is_left_out(file, compression, size):
    lying = chunk(three(), size=size, compression=compression)
    numbers, problems = read(mcap(file, schema(), channel(), lying, message(3)))
    assert numbers == [3]
    assert "a chunk of" in problems[0]
    assert "was left out" in problems[0]


def within_200_mib(path):
    """Read a bag in a process of its own, of which the memory is watched."""
    code = (
        "import resource, sys; from pathlib import Path\n"
        "from panoptic_ros.bags import BagReader\n"
        "def peak(): return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024\n"
        "before = peak()\n"
        "with BagReader(Path(sys.argv[1])) as bag:\n"
        "    print(sum(1 for _ in bag.messages({'/words'})), *bag.problems)\n"
        "assert peak() - before < 200, f'{peak() - before} MiB'\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, path], capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


@pytest.fixture(scope="module")
def zeros():
    """Return a gigabyte of zeros, compressed."""
    return zstd.compress(bytes(1 << 30))


@pytest.mark.parametrize("claimed", [1 << 30, 1 << 20, (1 << 29) + 1])
def test_a_chunk_that_unfolds_to_a_gigabyte_takes_no_memory(file, zeros, claimed):
    head = struct.pack("<QQQI", 0, 0, claimed, 0) + text("zstd")
    bomb = record(6, head + struct.pack("<Q", len(zeros)) + zeros)
    assert "was left out" in within_200_mib(mcap(file, schema(), channel(), bomb))


def test_messages_that_unfold_to_a_gigabyte_take_no_memory(tmp_path, zeros):
    bag = words(tmp_path / "bag", SQLITE3)
    with sqlite3.connect(the_file(bag)) as database:
        database.execute("UPDATE messages SET data = ? WHERE id < 20", (zeros,))
    said = within_200_mib(bag)
    assert said.startswith(f"{COUNT - 19} ")
    assert f"claims {1 << 30} bytes" in said


# ---- sqlite3


def words_of_a_page(tmp_path, name, at, value):
    """Write a bag of words whose table or index has another byte in its head."""
    bag = words(tmp_path / "bag", SQLITE3)
    file = the_file(bag)
    with sqlite3.connect(file) as database:
        query = "SELECT rootpage FROM sqlite_master WHERE name = ?"
        ((page,),) = database.execute(query, (name,))
        ((size,),) = database.execute("PRAGMA page_size")
    data = bytearray(file.read_bytes())
    data[(page - 1) * size + at] = value
    file.write_bytes(data)
    return bag


def loosen(file, table, columns):
    """Let a table hold values of any type."""
    names = ", ".join(column.split()[0] for column in columns.split(", "))
    with sqlite3.connect(file) as database:
        database.execute(f"ALTER TABLE {table} RENAME TO old")
        database.execute(f"CREATE TABLE {table} ({columns})")
        database.execute(f"INSERT INTO {table} SELECT {names} FROM old")


LOOSE_MESSAGES = "id INTEGER PRIMARY KEY, topic_id, timestamp, data"


@pytest.mark.parametrize("value", [None, b"\x00\x01", 1.5, "now"])
@pytest.mark.parametrize("column", ["timestamp", "topic_id"])
def test_rows_of_another_type_are_left_out_and_counted(tmp_path, column, value):
    file = the_file(words(tmp_path / "bag", SQLITE3))
    loosen(file, "messages", LOOSE_MESSAGES)
    with sqlite3.connect(file) as database:
        database.execute(f"UPDATE messages SET {column} = ? WHERE id IN (3, 5)", (value,))
    numbers, (problem,) = read(file)
    assert numbers == [i for i in range(COUNT) if i not in (2, 4)]
    assert f"{file} has 2 messages without a topic" in problem
    assert "the first is message 3" in problem


@pytest.mark.parametrize("value", [None, 7, 1.5, "text"])
def test_data_that_is_no_bytes_is_told(tmp_path, value):
    file = the_file(words(tmp_path / "bag", SQLITE3))
    loosen(file, "messages", LOOSE_MESSAGES)
    with sqlite3.connect(file) as database:
        database.execute("UPDATE messages SET data = ? WHERE id = 3", (value,))
    numbers, (problem,) = read(file)
    assert len(numbers) == COUNT - 1
    assert "where bytes should be" in problem


@pytest.mark.parametrize("value", [None, b"\xff\xfe", 7, 1.5])
@pytest.mark.parametrize("column", ["name", "type"])
def test_topics_of_another_type_are_told(tmp_path, column, value):
    file = the_file(words(tmp_path / "bag", SQLITE3))
    loosen(file, "topics", "id INTEGER PRIMARY KEY, name, type, serialization_format")
    with sqlite3.connect(file) as database:
        database.execute(f"UPDATE topics SET {column} = ?", (value,))
    numbers, problems = read(file)
    assert numbers == []
    assert "topic 1 has the name" in problems[0]


def test_a_view_that_runs_without_end_is_refused(tmp_path):
    file = the_file(words(tmp_path / "bag", SQLITE3))
    with sqlite3.connect(file) as database:
        database.execute("DROP TABLE messages")
        database.execute(
            "CREATE VIEW messages AS WITH RECURSIVE n(id) AS "
            "(SELECT 1 UNION ALL SELECT id + 1 FROM n) "
            "SELECT id, 1 AS topic_id, id AS timestamp, x'00' AS data FROM n"
        )
    with pytest.raises(ValueError, match="no tables `topics` and `messages`"):
        read(file)


@pytest.mark.parametrize(
    ("at", "value", "words"),
    [
        # How many messages the page that holds them all has, and what it is.
        (4, 0, f"states {COUNT} messages in its index on time, 0 can be read"),
        (0, 5, "is damaged behind message"),
    ],
    ids=["no messages", "no table"],
)
def test_a_page_that_seems_to_hold_nothing_is_told(tmp_path, at, value, words):
    file = the_file(words_of_a_page(tmp_path, "messages", at, value))
    numbers, problems = read(file)
    assert numbers == []
    assert any(words in problem for problem in problems)


def test_a_damaged_index_on_time_is_told_and_all_is_read(tmp_path):
    file = the_file(words_of_a_page(tmp_path, "timestamp_idx", 0, 0))
    numbers, (problem,) = read(file)
    assert numbers == list(range(COUNT))
    assert problem.startswith(f"{file} is damaged in its index on time")


@pytest.mark.parametrize(
    ("number", "said"),
    [
        (0, "behind message 19: message 0 comes behind message 19"),
        (19, "behind message 19: message 19 comes behind message 19"),
        (127, "behind message 127: message 21 comes behind message 127"),
    ],
)
def test_a_message_of_another_number_costs_no_other_its_place(tmp_path, number, said):
    """The number decides where a message is looked for."""
    file = the_file(words(tmp_path / "bag", SQLITE3))
    data = file.read_bytes()
    at = data.index(f"{19:040}".encode())
    # Before the text: its CDR head, time and topic, the record's head, and the number, 20.
    at = data.rindex(bytes([20, 5]), 0, at)
    file.write_bytes(data[:at] + bytes([number]) + data[at + 1 :])
    with BagReader(file) as bag:
        numbers = [int(m.message.data) for m in bag.messages({"/words"})]
        assert bag.counts["/words"] >= COUNT - 1
        assert COUNT - len(numbers) <= sum("where bytes should be" in p for p in bag.problems) + 1
        assert f"{file} is damaged {said}" in bag.problems


# ---- metadata.yaml

ALIASES = "a0: &a0 [x, x]\n" + "\n".join(
    f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]" for i in range(1, 12)
)
ENTRIES = [
    "relative_file_paths: null",
    "relative_file_paths: [null, 7, [a], {b: c}]",
    f"relative_file_paths: [{'a' * 5000}]",
    'relative_file_paths: ["\\0"]',
    "topics_with_message_count: null",
    "topics_with_message_count: [null, 7, {message_count: 3}]",
    "topics_with_message_count: [{topic_metadata: {name: [/words]}, message_count: many}]",
]


@pytest.mark.parametrize(
    "content",
    [
        *(f"rosbag2_bagfile_information: {{{entry}}}" for entry in ENTRIES),
        "rosbag2_bagfile_information: [7]",
        "rosbag2_bagfile_information:",
        "",
        "nothing",
        "\x00\x01",
        "[" * 5000,
        "rosbag2_bagfile_information: " + "[" * 50 + "]" * 50,
        ALIASES + "\nrosbag2_bagfile_information: {relative_file_paths: *a11}",
        ALIASES.replace("[x, x]", "{x: 1}") + "\nrosbag2_bagfile_information: {<<: *a11}",
        "x: " + "y" * (1 << 21),
    ],
    ids=range(17),
)
def test_metadata_of_any_content_leaves_the_files_readable(tmp_path, content):
    bag = words(tmp_path / "bag")
    (bag / "metadata.yaml").write_text(content)
    numbers, problems = read(bag)
    assert numbers == list(range(COUNT))
    assert len(problems) <= 1


# ---- all of it at random


@pytest.mark.parametrize("plugin", [MCAP, SQLITE3])
def test_changed_bytes_are_never_more_than_an_error(tmp_path, plugin):
    inner = CompressionMode.STORAGE if plugin is MCAP else CompressionMode.MESSAGE
    bags = [words(tmp_path / "plain", plugin), words(tmp_path / "packed", plugin, inner)]
    for seed in range(150):
        chance = random.Random(seed)
        bag = chance.choice(bags)
        damaged = chance.choice([the_file(bag)] * 4 + [bag / "metadata.yaml"])
        whole = damaged.read_bytes()
        damaged.write_bytes(damage(whole, chance))
        count, problems = counted(bag)
        assert problems or count == COUNT, seed
        damaged.write_bytes(whole)


def counted(bag):
    """Return how many messages can be decoded, and what the bag's reader says."""
    try:
        reader = BagReader(bag)
    except ValueError as error:
        return 0, [str(error)]
    with reader:
        return sum(1 for _ in reader.messages(reader.kinds)), reader.problems


def damage(whole, chance):
    content = bytearray(whole)
    for _ in range(chance.choice([1, 1, 3, 20])):
        at = chance.randrange(len(content))
        new = chance.choice([chance.randbytes(1), b"\xff" * 8, bytes(8), struct.pack("<Q", HIGH)])
        content[at : at + len(new)] = new
    if chance.random() < 0.2:
        del content[chance.randrange(len(content)) :]
    return content


# ---- the reader of decoded messages


def test_images_and_what_lies_beside_them(tmp_path):
    with BagReader(drive(tmp_path / "bag", 2)) as bag:
        assert bag.topics_of("sensor_msgs/msg/Image") == [CAMERA]
        assert bag.counts[INFO] == 2
        stamps = [bag.stamp(entry) for entry in bag.entries({CAMERA})]
        assert stamps == [entry.time for entry in bag.entries({CAMERA})]
        kinds = {m.topic: m.kind for m in bag.messages(bag.kinds)}
        assert kinds == bag.kinds


@pytest.mark.parametrize(("seconds", "nanoseconds"), [(-1, 0), (1, 10**9)])
def test_what_is_no_time_is_no_stamp(tmp_path, seconds, nanoseconds):
    message = info(START)
    message.header.stamp.sec, message.header.stamp.nanosec = seconds, nanoseconds
    with BagReader(write(tmp_path / "bag", [(INFO, START, message)], MCAP)) as bag:
        assert [bag.stamp(entry) for entry in bag.entries({INFO})] == [None]


def test_a_message_that_cannot_be_decoded_is_named_and_the_rest_read(tmp_path):
    bag = write(tmp_path / "bag", [(INFO, i, info(i)) for i in (1, 2)], SQLITE3)
    with sqlite3.connect(the_file(bag)) as database:
        database.execute("UPDATE messages SET data = x'00010000ff' WHERE id = 1")
    with BagReader(bag) as reader:
        assert [m.time for m in reader.messages({INFO})] == [2]
        assert reader.problems[0].startswith(f"{INFO} at 0.000000 s: unreadable")
