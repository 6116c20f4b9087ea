import threading
import time
from pathlib import Path

import pytest

from toolchain.cache import Cache, Entry, Stamp


def fill(cache: Cache, entry: Entry) -> None:
    with cache.filling(entry) as folder:
        (folder / "nomad").write_text("program")
        (folder / "src").mkdir()
        (folder / "src" / "main.c").write_text("int main;")
        cache.commit(folder, entry, source="mirror", detail="from there", began=time.monotonic())


@pytest.fixture
def entry(tmp_path: Path) -> Entry:
    return Cache(tmp_path / "cache").tool("nomad", "1.11.3", "linux-x86_64")


@pytest.fixture
def cache(tmp_path: Path) -> Cache:
    return Cache(tmp_path / "cache")


@pytest.mark.parametrize(
    ("environ", "override", "expected"),
    [
        ({"HEARTH_CACHE": "/a", "XDG_CACHE_HOME": "/b"}, Path("/c"), "/c"),
        ({"HEARTH_CACHE": "/a", "XDG_CACHE_HOME": "/b"}, None, "/a"),
        ({"XDG_CACHE_HOME": "/b"}, None, "/b/hearth"),
        ({"HEARTH_CACHE": ""}, None, str(Path.home() / ".cache/hearth")),
    ],
)
def test_the_cache_is_where_the_person_said(
    environ: dict[str, str], override: Path | None, expected: str
) -> None:
    assert str(Cache.chosen(environ, override).root) == expected


def test_a_committed_folder_says_what_it_holds_and_where_it_came_from(
    cache: Cache, entry: Entry
) -> None:
    assert entry.stamp() is None
    fill(cache, entry)
    stamp = entry.stamp()
    assert stamp is not None
    assert (stamp.source, stamp.detail) == ("mirror", "from there")
    assert stamp.files["nomad"][0] == len("program")
    assert stamp.trees["src"] == (1, len("int main;"))
    assert entry.damaged() == ""


@pytest.mark.parametrize(
    ("path", "text"), [("nomad", "programme"), ("src/main.c", ""), ("stamp.json", "{}")]
)
def test_a_folder_that_lost_something_counts_as_missing(
    cache: Cache, entry: Entry, path: str, text: str
) -> None:
    fill(cache, entry)
    (entry.path / path).write_text(text)
    assert entry.stamp() is None


def test_an_added_file_in_a_source_tree_counts_as_missing(cache: Cache, entry: Entry) -> None:
    fill(cache, entry)
    (entry.path / "src" / "stray.c").write_text("")
    assert entry.stamp() is None


def test_damage_of_equal_size_is_found_by_the_thorough_look_only(
    cache: Cache, entry: Entry
) -> None:
    fill(cache, entry)
    (entry.path / "nomad").write_text("PROGRAM")
    assert entry.stamp() is not None
    assert entry.damaged() == str(entry.path / "nomad")


def test_a_stamp_of_another_version_is_not_ours(cache: Cache, entry: Entry) -> None:
    fill(cache, entry)
    assert Entry(entry.name, "1.11.4", entry.path).stamp() is None


def test_a_failed_filling_leaves_nothing_behind(cache: Cache, entry: Entry) -> None:
    def interrupted() -> None:
        with cache.filling(entry) as folder:
            (folder / "nomad").write_text("half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert not entry.path.exists()
    assert list((cache.root / "staging").iterdir()) == []


def test_a_stamp_survives_its_own_text() -> None:
    stamp = Stamp("n", "1", "official", "d", 1.5, {"f": (1, "aa")}, {"t": (2, 3)})
    assert Stamp.loads(stamp.dumps()) == stamp
    with pytest.raises(ValueError, match="not a stamp"):
        Stamp.loads('{"name": "n"}')


def test_a_second_run_waits_and_is_told_who_holds_the_cache(cache: Cache) -> None:
    order: list[str] = []
    told = threading.Event()

    def second() -> None:
        def waiting(holder: str) -> None:
            order.append(holder)
            told.set()

        with Cache(cache.root).exclusively("the second", waiting):
            order.append("second in")

    thread = threading.Thread(target=second)
    with cache.exclusively("toolchain for /home/me/hearth", lambda _: None):
        (cache.root / "staging" / "left").mkdir(parents=True)
        thread.start()
        assert told.wait(5)
        order.append("first out")
    thread.join(5)
    assert order[1:] == ["first out", "second in"]
    assert "toolchain for /home/me/hearth" in order[0]
    assert "process " in order[0]
    assert not (cache.root / "staging").exists()
