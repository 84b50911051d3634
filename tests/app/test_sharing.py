"""Several users: each sees their own projects and those that are shared, whatever they ask for."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from faceswap.errors import ConfigError, OutputError
from faceswap_app import page
from faceswap_app.access import NOBODYS, Standing, may_see, owns
from faceswap_app.bin import Entry
from faceswap_app.components import uploaded
from faceswap_app.desk import Desk, open_desk
from faceswap_app.journal import Journal
from faceswap_app.layout import _pill
from faceswap_app.processes import AUTH, environment_of
from faceswap_app.projects import Projects
from faceswap_app.queue import Queue
from faceswap_app.quotas import Quotas
from faceswap_app.scribe import Scribe
from faceswap_app.server import Server
from faceswap_app.slots import Slots
from faceswap_app.turns import DOWN, NEXT, UP
from support.commands import command, misused, refused
from support.visit import wait_for

ADA, BRUNO = "ada", "bruno"


class House:
    """A desk, and who stands before it."""

    def __init__(self, folder: Path, queue: Queue, journal: Journal) -> None:
        self.who: str | None = ADA
        projects = Projects(folder, lambda: self.who)
        scribe = Scribe(journal, lambda: self.who, lambda: "192.0.2.7")
        self.desk = open_desk(projects, queue, Quotas(disk=1_000_000, jobs=3), scribe)
        self.log = folder.parent / "log"

    def __call__(self, who: str | None) -> Desk:
        self.who = who
        return self.desk


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    """Ada has a project of her own, and a shared one; jobs are not started."""
    folder = tmp_path / "projects"
    folder.mkdir()
    with closing(Queue(folder, working=False)) as queue, closing(Journal(tmp_path / "log")) as journal:
        visit = House(folder, queue, journal)
        ada = visit(ADA)
        for name in ("hers", "common"):
            ada.keeper.create(name)
        ada.keeper.give(ada.projects.open("common"), Standing(ADA, shared=True))
        yield visit


def test_the_rule() -> None:
    own, shared = Standing(ADA), Standing(ADA, shared=True)
    assert [may_see(who, own) for who in (ADA, BRUNO, None, "")] == [True, False, True, False]
    assert [may_see(who, shared) for who in (ADA, BRUNO, None)] == [True, True, True]
    assert [owns(who, shared) for who in (ADA, BRUNO, None)] == [True, False, True]
    assert [may_see(who, NOBODYS) for who in (ADA, None, "")] == [False, True, False]


def test_projects_of_others_are_not_there(house: House) -> None:
    assert house(ADA).projects.names() == ["common", "hers"]
    assert house(BRUNO).projects.names() == ["common"]
    assert house(BRUNO).projects.last() == "common"
    with pytest.raises(ConfigError, match="there is no project 'hers'"):
        house(BRUNO).projects.open("hers")
    assert house(None).projects.names() == ["common", "hers"]

    # Also as paths: a link, a way round.
    projects = house.desk.projects
    for path, seen in (("hers/results/x.mp4", False), ("common/results/x.mp4", True), (".uploads/ab/image.webp", True)):
        assert projects.may_fetch(f"{projects.folder}/{path}", BRUNO) == seen
    for path in ("common/../hers/results/x.mp4", ".bin/0001/0/x", ".jobs/0001/job.json", "../log", ".log/page.log"):
        inside = (projects.folder / path).resolve().is_relative_to(projects.folder)
        assert not projects.may_fetch(f"{projects.folder}/{path}", BRUNO) or not inside


def test_what_was_known_of_a_project_stays_when_it_changes_hands(house: House) -> None:
    project = house(ADA).projects.open("hers")
    project.change("a", name="Ines")
    house.desk.keeper.give(project, Standing(ADA, shared=True))
    project.change("b", name="Samira")
    seen = house(BRUNO).projects.open("hers")
    assert [person.name for person in seen.persons().values()] == ["Ines", "Samira"]
    assert seen.standing == Standing(ADA, shared=True)

    (project.folder / "project.toml").write_text("owner = 3")
    assert house(BRUNO).projects.names() == ["common"]


def test_what_is_the_owners_alone(house: House) -> None:
    desk = house(BRUNO)
    project = desk.projects.open("common")
    project.change("a", name="Ines")  # to work in it is everybody's
    for forbidden in (
        lambda: desk.keeper.rename(project, "project", "common", "mine"),
        lambda: desk.keeper.throw_away(project, "project", "common"),
        lambda: desk.keeper.give(project, Standing(BRUNO)),
    ):
        with pytest.raises(ConfigError, match="belongs to ada"):
            forbidden()
    (project.folder / "clips" / "x.mp4").touch()
    [entry] = desk.keeper.throw_away(project, "clip", "clips/x.mp4")
    with pytest.raises(ConfigError, match="of a project of ada"):
        desk.keeper.delete([entry])
    assert house(ADA).keeper.thrown() == house(BRUNO).keeper.thrown() == [entry]
    house(ADA).keeper.delete([entry])
    assert house(ADA).keeper.thrown() == []


def test_the_bin_of_others_is_not_there(house: House) -> None:
    ada = house(ADA)
    (ada.projects.open("hers").folder / "clips" / "x.mp4").touch()
    clip = ada.keeper.throw_away(ada.projects.open("hers"), "clip", "clips/x.mp4")
    whole = ada.keeper.throw_away(ada.projects.open("hers"), "project", "hers")
    thrown: list[Entry] = [*whole, *clip]
    assert ada.keeper.thrown() == thrown

    bruno = house(BRUNO)
    assert bruno.keeper.thrown() == []
    for entry in thrown:
        with pytest.raises(ConfigError, match="the bin holds no"):
            bruno.keeper.entry(entry.id)

    # A name by which the bin knows another one's project cannot be had: what lies there would be seen.
    for name in ("hers", " hers "):
        with pytest.raises(ConfigError, match="taken"):
            bruno.keeper.create(name)
    bruno.keeper.create("his")
    with pytest.raises(ConfigError, match="taken"):
        bruno.keeper.rename(bruno.projects.open("his"), "project", "his", "hers")
    house(ADA).keeper.take_back(thrown[0])
    assert house(ADA).projects.names() == ["common", "hers"]


def test_jobs_of_others_are_not_there(house: House) -> None:
    hers = house(ADA).queue.add("hers", "Train Ines", ["train", "--model", "/p/hers/model"])
    common = house(ADA).queue.add("common", "Train", ["train", "--model", "/p/common/model"])
    assert [job.id for job in house(ADA).queue.jobs()] == [hers.id, common.id]

    queue = house(BRUNO).queue
    assert [job.id for job in queue.jobs()] == [common.id]
    assert queue.hidden() == 1
    assert "Ines" not in _pill(queue)
    with pytest.raises(ConfigError, match="no project 'hers'"):
        queue.latest("hers", ("train",))
    with pytest.raises(ConfigError, match="no project 'hers'"):
        queue.add("hers", "Train", ["train"])
    for act in (queue.stop, queue.remove, queue.again, queue.start_anyway):
        with pytest.raises(ConfigError, match="not in the list any more"):
            act(hers.id)
        with pytest.raises(ConfigError, match="this job is ada's"):
            act(common.id)
    with pytest.raises(ConfigError, match="this job is ada's"):
        queue.move(common.id, UP)

    # In a project of hers she may stop what others have asked for, but not have it overtake.
    his = queue.add("common", "Swap", ["swap", "/p/common/x.mp4"])
    with pytest.raises(ConfigError, match="this job is bruno's"):
        house(ADA).queue.move(his.id, NEXT)
    house(ADA).queue.stop(his.id)


def test_the_order_of_ones_own_jobs(house: House) -> None:
    queue = house(ADA).queue
    jobs = [queue.add("hers", str(number), ["swap", str(number)]) for number in range(3)]

    def order() -> str:
        return "".join(job.title for job in sorted(queue.jobs(), key=lambda job: (job.place, job.id)))

    queue.move(jobs[2].id, UP)
    assert order() == "021"
    queue.move(jobs[1].id, NEXT)
    assert order() == "102"
    queue.move(jobs[1].id, DOWN)
    assert order() == "012"
    for key, how in ((jobs[0].id, UP), (jobs[2].id, DOWN)):  # there is no further
        queue.move(key, how)
    assert order() == "012"
    with pytest.raises(ConfigError, match="not moved 'sideways'"):
        queue.move(jobs[0].id, "sideways")


def test_quotas_are_told_before_work_begins(house: House, tmp_path: Path) -> None:
    ada = house(ADA)
    for number in range(3):
        ada.queue.add("hers", str(number), ["swap", str(number)])
    with pytest.raises(ConfigError, match="3 jobs waiting or running, which is all that you may have"):
        ada.queue.add("hers", "4", ["swap", "4"])
    house(BRUNO).queue.add("common", "his", ["swap", "x"])  # he has none yet

    ada.queue.stop(house(ADA).queue.jobs()[0].id)
    (ada.projects.open("common").folder / "clips" / "x.mp4").write_bytes(bytes(900_000))
    quota = house(ADA).quota
    quota.forget_upload(ADA)  # looks anew
    quota.check_disk(ADA, 50_000)
    with pytest.raises(ConfigError, match="1 MB of disk that you may have, 900 kB are used, and this needs 200 kB"):
        quota.check_disk(ADA, 200_000)
    quota.check_disk(BRUNO, 200_000)

    # What is sent and lies nowhere yet counts, too; so does what lies in the bin.
    quota.take_upload(ADA, 60_000)
    with pytest.raises(ConfigError, match="disk that you may have"):
        quota.take_upload(ADA, 60_000)
    ada.keeper.throw_away(ada.projects.open("common"), "project", "common")
    quota.forget_upload(ADA)
    assert quota.used(ADA) > 900_000

    (ada.projects.open("hers").folder / "clips" / "y.mp4").write_bytes(bytes(200_000))
    quota.forget_upload(ADA)
    with pytest.raises(ConfigError, match="Tidy up"):
        ada.queue.add("hers", "5", ["swap", "5"])


def test_it_is_noted_who_did_what(house: House) -> None:
    queue = house(ADA).queue
    job = queue.add("hers", 'Train "x", "who": "eve"', ["train"])
    queue.stop(job.id)
    house.desk.scribe.note("tried", name="\n{}\x1b[2J\ud800", long="x" * 10_000)
    lines = [json.loads(line) for line in house.log.read_text(encoding="ascii").splitlines()]
    assert [(line["who"], line["from"], line["did"]) for line in lines] == [
        (ADA, "192.0.2.7", "job added"),
        (ADA, "192.0.2.7", "job stopped"),
        (ADA, "192.0.2.7", "tried"),
    ]
    assert "\x1b" not in house.log.read_text()
    assert len(lines[-1]["long"]) == 500
    assert (house.log.stat().st_mode & 0o777) == 0o600


def test_the_log_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("faceswap_app.journal._LARGEST", 1000)
    with closing(Journal(tmp_path / "logs" / "log")) as journal:
        for number in range(200):
            journal.note("did", who=ADA, number=number)
    files = sorted((tmp_path / "logs").iterdir())
    assert len(files) == 6
    assert all(file.stat().st_size <= 1000 and file.stat().st_mode & 0o777 == 0o600 for file in files)
    assert json.loads(files[0].read_text().splitlines()[-1])["number"] == 199

    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="--log"):
        Journal(tmp_path / "file" / "log")
    Journal(None).note("did", who=ADA)


def test_jobs_do_not_see_the_page_s_password(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(AUTH, "me:secret")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    assert AUTH not in environment_of(0, 1)
    assert "CUDA_VISIBLE_DEVICES" not in environment_of(0, 1)
    assert environment_of(1, 2)["CUDA_VISIBLE_DEVICES"] == "1"
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,7")
    assert environment_of(1, 2)["CUDA_VISIBLE_DEVICES"] == "7"


def test_a_visitors_pictures_wait_for_nobody_elses() -> None:
    """Their own come in order, and of many the first are given up: the last is what is seen in the end."""
    slots, made, given_up = Slots(), [], []

    def ask(number: int) -> None:
        try:
            with slots.turn(ADA):
                made.append(number)
        except ConfigError:
            given_up.append(number)

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(6)]
    with slots.turn(ADA):
        with slots.turn(BRUNO):  # would stand still if it waited
            pass
        for number, thread in enumerate(threads):
            thread.start()
            wait_for(lambda number=number: len(slots._lines.get(ADA, ())) + len(given_up) == number + 1)
    for thread in threads:
        thread.join(10)
    assert (made, given_up) == ([3, 4, 5], [0, 1, 2])
    assert not slots._lines
    assert not slots._busy


def test_another_ones_file_is_no_upload(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    projects = house(BRUNO).projects
    sent, film = projects.folder / ".uploads" / "ab" / "x.mp4", projects.folder / "hers" / "clips" / "x.mp4"
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(projects.folder / ".uploads"))
    assert uploaded(projects, [{"path": str(sent), "orig_name": "../my x.mp4"}]) == [(sent, "my x.mp4")]
    for path in (str(film), f"{projects.folder}/.uploads/../hers/clips/x.mp4", "/etc/passwd"):
        with pytest.raises(ConfigError, match="not uploaded"):
            uploaded(projects, [{"path": path}])


def test_projects_of_before_there_were_users_are_given_away(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "projects").mkdir()
    projects = Projects(tmp_path / "projects")
    projects.create("old").change("a", name="Ines")
    server = Server(projects=projects.folder, users=tmp_path / "users")
    page._tell_of_nobodys(server, projects)
    assert "no user sees: old. Give them away: faceswap project give" in capsys.readouterr().err
    assert not projects.sees("old", ADA)

    give = ("project", "give", "old", "--projects", projects.folder)
    misused(command(*give), "--to USER, or --shared")
    refused(command(*give, "--to", "a:b"), "cannot be a name")
    assert command(*give, "--to", ADA).stdout == "old belongs to ada, and nobody else sees it.\n"
    assert (projects.sees("old", ADA), projects.sees("old", BRUNO)) == (True, False)
    assert command(*give, "--shared").exit_code == 0
    assert projects.sees("old", BRUNO)
    assert projects.open("old").persons()["a"].name == "Ines"

    page._tell_of_nobodys(server, projects)
    assert capsys.readouterr().err == ""
