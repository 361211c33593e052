"""The option tables of the programs, and a reader that takes them as getopt_long does."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from fox_hpc.fake.request import Refused


@dataclass(frozen=True)
class Table:
    """Options of one program: long names with whether they take a value, and short letters."""

    program: str
    kinds: Mapping[str, str]
    letters: Mapping[str, str]
    bad_code: int = 1


def table(program: str, text: str, bad_code: int = 1) -> Table:
    """From words like `N,nodes=` (needs a value), `exclusive?` (may have one), `hold` (has none)."""
    kinds, letters = {}, {}
    for word in text.split():
        kind = word[-1] if word[-1] in "=?" else ""
        names = word.rstrip("=?").split(",")
        kinds[names[-1]] = kind
        letters.update(dict.fromkeys(names[:-1], names[-1]))
    return Table(program, kinds, letters, bad_code)


ALLOCATION = """
 A,account= B,extra-node-info= b,begin= bb= bbf= D,chdir= C,constraint= c,cpus-per-task= contiguous core-spec=
 comment= cores-per-socket= cpu-freq= cpus-per-gpu= d,dependency= deadline= delay-boot= e,error= x,exclude=
 exclusive? export= export-file= F,nodefile= G,gpus= gpu-bind= gpu-freq= gpus-per-node= gpus-per-socket=
 gpus-per-task= gres= gres-flags= hint= H,hold i,input= J,job-name= k,no-kill? L,licenses= M,clusters=
 m,distribution= mail-type= mail-user= mcs-label= mem= mem-bind= mem-per-cpu= mem-per-gpu= mincpus= network=
 nice? N,nodes= n,ntasks= ntasks-per-core= ntasks-per-gpu= ntasks-per-node= ntasks-per-socket= o,output=
 O,overcommit s,oversubscribe open-mode= p,partition= power= prefer= priority= profile= q,qos= Q,quiet
 reboot reservation= S,core-spec= signal= sockets-per-node= spread-job switches= thread-spec=
 threads-per-core=
 t,time= time-min= tmp= tres-per-task= uid= gid= use-min-nodes v,verbose V,version w,nodelist= W,wait? wckey=
 h,help usage
"""

SBATCH = table("sbatch", ALLOCATION.replace("W,wait?", "W,wait") + """
 a,array= batch= cluster-constraint= get-user-env? ignore-pbs kill-on-invalid-dep= no-requeue
 parsable propagate?
 requeue test-only wait-all-nodes= wrap= container=
""", 255)  # fmt: skip

SRUN = table("srun", ALLOCATION.replace("W,wait?", "W,wait=") + """
 a,compress? accel-bind= bcast? cpu-bind= exact E,preserve-env epilog= het-group= I,immediate? interactive
 jobid= K,kill-on-bad-exit? l,label mpi= multi-prog overlap prolog= propagate? pty? r,relative= u,unbuffered
 T,threads= task-epilog= task-prolog= whole X,disable-status Z,no-allocate send-libs? slurmd-debug= x11?
""", 1)  # fmt: skip

SQUEUE = table("squeue", """
 A,account= a,all array-unique M,clusters= federation o,format= O,Format= help hide i,iterate=
 j,jobs? json yaml
 L,licenses= l,long local me n,name= w,nodelist= h,noheader p,partition= q,qos= R,reservation= r,array S,sort=
 s,steps? start t,states= sibling u,user= v,verbose V,version usage P,priority
""")  # fmt: skip

SACCT = table("sacct", """
 a,allusers A,accounts= array b,brief B,batch-script C,completion c,cluster= M,clusters=
 D,duplicates delimiter=
 d,dump E,endtime= e,helpformat env-vars F,flags= federation f,file= g,gid,group= h,help i,nnodes= I,ncpus=
 j,jobs= json yaml k,timelimit-min= K,timelimit-max= L,allclusters l,long local n,noheader N,nodelist= name=
 noconvert o,format= p,parsable P,parsable2 q,qos= R,reason= r,partition= S,starttime= s,state= T,truncate
 U,use-local-uid u,uid= user= units= V,version v,verbose W,wckeys= w,whole-hetjob? x,associations=
 X,allocations
 usage
""")  # fmt: skip

SCANCEL = table("scancel", """
 A,account= b,batch c,ctld cron f,full H,hurry help i,interactive M,clusters= me n,name= p,partition= Q,quiet
 q,qos= R,reservation= sibling= s,signal= t,state= u,user= v,verbose V,version w,nodelist= wckey= jobname=
 usage
""")  # fmt: skip

SCONTROL = table("scontrol", """
 a,all d,details future F h,help hide json yaml M,cluster= o,oneliner Q,quiet R,federation local
 sibling u,uid=
 v,verbose V,version
""")  # fmt: skip

SINFO = table("sinfo", """
 a,all d,dead e,exact federation F,future o,format= O,Format= h,noheader help hide i,iterate= json yaml l,long
 local M,clusters= n,nodes= N,Node p,partition= r,responding R,list-reasons s,summarize S,sort=
 t,states= T,reservation
 v,verbose V,version usage
""")  # fmt: skip


def parse(options: Table, argv: Iterable[str], mixed: bool = False) -> tuple[dict[str, str], list[str]]:
    """Options by long name (a flag's value is `""`), and the rest; raises Refused as the program would.

    Reading stops at the first word that is no option, or goes on behind it if `mixed`. An option given
    several times keeps its last value, but lists of ids grow.
    """
    found: dict[str, str] = {}
    rest: list[str] = []
    words = iter(argv)
    for word in words:
        if word == "--":
            rest += words
        elif word.startswith("--"):
            _long(options, word, words, found)
        elif word.startswith("-") and len(word) > 1:
            _short(options, word, words, found)
        elif mixed:
            rest.append(word)
        else:
            rest += [word, *words]
    return found, rest


def directives(script: str, mark: str = "#SBATCH") -> list[str]:
    """Words of the marked lines before the first command."""
    words: list[str] = []
    for line in script.splitlines():
        if line.startswith(mark):
            words += _line_words(line[len(mark) :])
        elif line.strip() and not line.startswith("#"):
            break
    return words


def _line_words(text: str) -> Iterator[str]:
    reader = shlex.shlex(text, posix=True, punctuation_chars="")
    reader.whitespace_split, reader.commenters = True, ""
    for word in reader:
        if word.startswith("#"):
            return
        yield word


def _long(options: Table, word: str, words: Iterator[str], found: dict[str, str]) -> None:
    name, equals, value = word[2:].partition("=")
    matches = [name] if name in options.kinds else [full for full in options.kinds if full.startswith(name)]
    if len(matches) > 1:
        choices = " ".join(f"'--{full}'" for full in matches)
        raise _bad(options, f"option '{word}' is ambiguous; possibilities: {choices}")
    if not matches:
        raise _bad(options, f"unrecognized option '{word}'")
    kind = options.kinds[matches[0]]
    if equals and not kind:
        raise _bad(options, f"option '--{matches[0]}' doesn't allow an argument")
    if kind == "=" and not equals:
        value = _next(options, words, f"option '--{matches[0]}' requires an argument")
    _keep(found, matches[0], value)


def _short(options: Table, word: str, words: Iterator[str], found: dict[str, str]) -> None:
    position = 1
    while position < len(word):
        letter = word[position]
        position += 1
        name = options.letters.get(letter)
        if name is None:
            raise _bad(options, f"invalid option -- '{letter}'")
        kind, value = options.kinds[name], ""
        if kind:
            value, position = word[position:].removeprefix("="), len(word)
            if kind == "=" and not value:
                value = _next(options, words, f"option requires an argument -- '{letter}'")
        _keep(found, name, value)


#: The later of two such options counts.
OPPOSITES = (("requeue", "no-requeue"),)


def _keep(found: dict[str, str], name: str, value: str) -> None:
    many = name == "jobs" and value and found.get(name)
    for one, other in OPPOSITES:
        if name in (one, other):
            found.pop(other if name == one else one, None)
    found[name] = f"{found[name]},{value}" if many else value


def _next(options: Table, words: Iterator[str], complaint: str) -> str:
    try:
        return next(words)
    except StopIteration:
        raise _bad(options, complaint) from None


def _bad(options: Table, complaint: str) -> Refused:
    program = options.program
    return Refused(f'{program}: {complaint}\nTry "{program} --help" for more information', options.bad_code)
