"""qstat: jobs; queues and the server are in `queues`."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from fox_hpc.fake.engine import Engine
from fox_hpc.fake.jobs import Job
from fox_hpc.fake.pbs.attributes import (
    Attributes,
    array_attributes,
    array_state,
    attributes,
    order,
    shown_id,
    state,
)
from fox_hpc.fake.pbs.comments import Pending
from fox_hpc.fake.pbs.details import details, has_history, is_finished, named
from fox_hpc.fake.pbs.options import VERSION, Options, getopt, given, last, usage
from fox_hpc.fake.pbs.queues import show_queues, show_server
from fox_hpc.fake.pbs.show import document, dsv, long_form
from fox_hpc.fake.pbs.tables import Row, detail, plain
from fox_hpc.fake.request import Request, Session

LETTERS = "1aBD:EfF:GHiJMnpQrstTu:wx"
ENDED = "Job has finished, use -x or -H to obtain historical job information"
NO_HISTORY = "PBS is not configured to maintain job history"
UNKNOWN_ID, FINISHED, UNKNOWN_QUEUE = 153, 35, 170


@dataclass
class Entry:
    """One line of a table: a job, an array element, or a whole array."""

    parts: list[Job]
    whole: bool = False


@dataclass
class Found:
    """What was asked for, and what is said of the rest; the last complaint decides the exit code."""

    entries: list[Entry] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)
    code: int = 0

    def complain(self, words: str, code: int) -> None:
        self.complaints.append(f"qstat: {words}\n")
        self.code = code


def qstat(engine: Engine, request: Request, session: Session) -> None:
    """Show jobs, queues or the server."""
    if request.argv == ["--version"]:
        session.reply(f"pbs_version = {VERSION}\n")
        return
    options, words = getopt("qstat", request.argv, LETTERS)
    _refuse_conflicts(options)
    if given(options, "Q"):
        session.reply(*show_queues(engine, options, words))
    elif given(options, "B"):
        session.reply(show_server(engine))
    else:
        found = _find(engine, options, words)
        # With -E unknown ids are left out without a word, as recorded.
        err = "" if given(options, "E") else "".join(found.complaints)
        session.reply(_show(engine, options, found, bool(words)), err, found.code)


def _refuse_conflicts(options: Options) -> None:
    long = given(options, "f")
    form = last(options, "F")
    if form and (
        form.lower() not in ("json", "dsv") or not (long or given(options, "Q") or given(options, "B"))
    ):
        raise usage("qstat", "conflicting options.")
    if long and any(given(options, letter) for letter in "uansirHT1"):
        raise usage("qstat", "conflicting options.")


def _find(engine: Engine, options: Options, words: list[str]) -> Found:
    found = Found()
    past = given(options, "x") or given(options, "H")
    if not words:
        found.entries = _entries(engine, engine.jobs.values(), past)
    for word in words:
        _find_one(engine, word, past, given(options, "x"), found)
    found.entries = _selected(engine, options, found.entries)
    return found


def _entries(engine: Engine, jobs: Iterable[Job], past: bool) -> list[Entry]:
    """Jobs and whole arrays that are there, in order."""
    arrays: dict[int, list[Job]] = {}
    entries: list[Entry] = []
    for job in jobs:
        if job.array is None:
            entries.append(Entry([job]))
        elif job.array.job_id in arrays:
            arrays[job.array.job_id].append(job)
        else:
            arrays[job.array.job_id] = parts = [job]
            entries.append(Entry(parts, whole=True))
    for entry in entries:
        entry.parts.sort(key=order)
    kept = [e for e in entries if not _is_over(engine, e) or (past and _remembered(engine, e))]
    return sorted(kept, key=lambda entry: order(entry.parts[0]))


def _is_over(engine: Engine, entry: Entry) -> bool:
    """An element counts as there until its whole array has ended."""
    return all(is_finished(engine, job) for job in _siblings(engine, entry.parts))


def _siblings(engine: Engine, parts: list[Job]) -> list[Job]:
    array = parts[0].array
    if array is None or len(parts) == len(array.indexes):
        return parts
    return [job for job in engine.jobs.values() if job.array and job.array.job_id == array.job_id]


def _remembered(engine: Engine, entry: Entry) -> bool:
    return any(has_history(engine, job) for job in _siblings(engine, entry.parts))


def _find_one(engine: Engine, word: str, past: bool, history: bool, found: Found) -> None:
    name = named(engine, word)
    if name is None:
        queue = word.partition("@")[0]
        if queue and queue not in engine.queues:
            found.complain(f"Unknown queue destination {word}", UNKNOWN_QUEUE)
        else:
            jobs = [job for job in engine.jobs.values() if not queue or job.queue == queue]
            found.entries += _entries(engine, jobs, past)
        return
    if history and not engine.config.accounting:
        found.complain(f"{NO_HISTORY} {name}", 0)
        return
    jobs = sorted(name.jobs(engine), key=order)
    if not jobs:
        array = any(job.array and job.array.job_id == name.number for job in engine.jobs.values())
        # As the real one: an element that never was is answered like one that has ended.
        found.complain(*((f"{name} {ENDED}", FINISHED) if array and name.parts != "[]"
                         else (f"Unknown Job Id {name}", UNKNOWN_ID)))  # fmt: skip
        return
    entry = Entry(jobs, whole=name.parts == "[]")
    over = _is_over(engine, entry)
    if over and not _remembered(engine, entry):
        found.complain(f"Unknown Job Id {name}", UNKNOWN_ID)
    elif over and not past:
        found.complain(f"{name} {ENDED}", FINISHED)
    else:
        found.entries += [entry] if entry.whole else [Entry([job]) for job in jobs]


def _selected(engine: Engine, options: Options, entries: list[Entry]) -> list[Entry]:
    if given(options, "J"):
        entries = [entry for entry in entries if entry.whole]
    if given(options, "u"):
        users = last(options, "u").split(",")
        entries = [entry for entry in entries if entry.parts[0].user in users]
    if given(options, "H"):
        entries = [entry for entry in entries if _letter(engine, entry) == "F"]
    for option, letters in (("r", "RSE"), ("i", "QHW")):
        if given(options, option):
            entries = [entry for entry in entries if _letter(engine, entry) in letters]
    if given(options, "t"):
        entries = [part for entry in entries for part in _with_elements(entry)]
    if given(options, "E"):
        entries = sorted(entries, key=lambda entry: order(entry.parts[0]))
    return entries


def _with_elements(entry: Entry) -> list[Entry]:
    return [entry, *(Entry([job]) for job in entry.parts)] if entry.whole else [entry]


def _letter(engine: Engine, entry: Entry) -> str:
    if entry.whole:
        return array_state(engine, entry.parts)[0]
    letter = state(engine, entry.parts[0])[0]
    return "X" if letter == "F" and entry.parts[0].array and not _is_over(engine, entry) else letter


def _show(engine: Engine, options: Options, found: Found, by_id: bool) -> str:
    if given(options, "f"):
        return _show_long(engine, options, found.entries, by_id)
    pending = Pending(engine)
    rows = [_row(engine, entry, pending) for entry in found.entries]
    wide = given(options, "w")
    if not any(given(options, letter) for letter in "ansuriHT"):
        return plain(rows, wide)
    hosts = "" if not given(options, "n") else "beside" if given(options, "1") else "below"
    return detail(rows, engine.config.server_name, wide, hosts, given(options, "s"))


def _show_long(engine: Engine, options: Options, entries: list[Entry], by_id: bool) -> str:
    pending = Pending(engine)
    form = last(options, "F").lower()
    if form == "json" and by_id and not given(options, "E"):
        # As the real one since December 2023: the answers to further ids are lost.
        entries = entries[: len(_with_elements(entries[0])) if entries and given(options, "t") else 1]
    records = {shown_id(engine, e.parts, e.whole): _record(engine, e, pending) for e in entries}
    if form == "json":
        broken = engine.trouble.now.broken_json
        return document(engine.now(), engine.config.server_name, "Jobs", records, broken)
    if form == "dsv":
        delimiter = last(options, "D") or "|"
        return "".join(dsv(f"Job Id: {name}", record, delimiter) for name, record in records.items())
    wide = given(options, "w")
    return "".join(long_form(f"Job Id: {name}", record, wide) for name, record in records.items())


def _record(engine: Engine, entry: Entry, pending: Pending) -> Attributes:
    if entry.whole:
        return array_attributes(engine, entry.parts, pending)
    record = attributes(engine, entry.parts[0], pending)
    record["job_state"] = _letter(engine, entry)
    return record


def _row(engine: Engine, entry: Entry, pending: Pending) -> Row:
    job, record = entry.parts[0], _record(engine, entry, pending)
    shown = details(job).resources.shown
    used = record.get("resources_used", {})
    empty = Row("", "", "", "", "")
    return Row(
        id=shown_id(engine, entry.parts, entry.whole), name=job.name, user=job.user, queue=job.queue,
        state=str(record["job_state"]), used=used.get("cput", "0"),
        session=str(record.get("session_id", empty.session)), nodes=shown["nodect"], cpus=shown["ncpus"],
        memory=shown.get("mem", empty.memory), limit=shown.get("walltime", empty.limit)[:5],
        elapsed=used.get("walltime", empty.elapsed)[:5], exec_host=record.get("exec_host", ""),
        comment=record.get("comment", ""),
    )  # fmt: skip


def qselect(engine: Engine, request: Request, session: Session) -> None:
    """Ids of jobs with `-u`, `-s` (state letters), `-q`, `-N`; `-x` for ended ones too."""
    options, _ = getopt("qselect", request.argv, "u:s:q:N:xH")
    entries = _entries(engine, engine.jobs.values(), given(options, "x") or given(options, "H"))
    chosen = [
        entry for entry in entries
        if entry.parts[0].user in (last(options, "u") or entry.parts[0].user).split(",")
        and _letter(engine, entry) in (last(options, "s") or _letter(engine, entry))
        and entry.parts[0].queue == (last(options, "q") or entry.parts[0].queue)
        and entry.parts[0].name == (last(options, "N") or entry.parts[0].name)
    ]  # fmt: skip
    session.reply("".join(shown_id(engine, entry.parts, entry.whole) + "\n" for entry in chosen))
