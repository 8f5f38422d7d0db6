from collections.abc import Callable
from dataclasses import dataclass

from benchmarks.bench import Bench
from benchmarks.figures import Figure
from benchmarks.peers.compare import PEERS, against
from benchmarks.scenarios.accounts import many_accounts
from benchmarks.scenarios.attachments import attachments
from benchmarks.scenarios.backlog import backlog
from benchmarks.scenarios.chaos import chaos
from benchmarks.scenarios.crash import crash
from benchmarks.scenarios.dispatchers import two_dispatchers
from benchmarks.scenarios.drain import drain
from benchmarks.scenarios.fairness import fairness
from benchmarks.scenarios.hang import hang
from benchmarks.scenarios.intake import intake
from benchmarks.scenarios.large_mails import large_mails
from benchmarks.scenarios.latency import latency
from benchmarks.scenarios.memory import memory
from benchmarks.scenarios.rate_limit import rate_limit
from benchmarks.scenarios.throughput import end_to_end, exactly_once, reference
from benchmarks.scenarios.workers import workers


@dataclass(frozen=True)
class Scenario:
    run: Callable[[Bench], list[Figure]]
    about: str
    by_default: bool = True
    repeats_itself: bool = False


SCENARIOS = {
    "reference": Scenario(
        reference, "smtp-source to smtp-sink; part of end-to-end", by_default=False
    ),
    "end-to-end": Scenario(end_to_end, "first POST to last accepted, ratio, CPU, memory"),
    "exactly-once": Scenario(exactly_once, "the same to the sink that knows each message"),
    "intake": Scenario(intake, "storing alone: large calls, single calls by many clients"),
    "latency": Scenario(latency, "POST's answer to acceptance on an idle proxy"),
    "drain": Scenario(drain, "drain rate with a long history against none", repeats_itself=True),
    "backlog": Scenario(backlog, "drain rate of a long queue and a short", repeats_itself=True),
    "attachments": Scenario(attachments, "mails with files: rate, memory, CPU a MB"),
    "large-mails": Scenario(large_mails, "mails of 100 kB and 1 MB, end to end"),
    "many-accounts": Scenario(many_accounts, "10 000 accounts with 5 messages each"),
    "memory": Scenario(memory, "RSS: idle, and the most while draining"),
    "workers": Scenario(workers, "end to end on PostgreSQL, with one process and more"),
    "crash": Scenario(crash, "kill -9 during a drain: lost and copies"),
    "chaos": Scenario(chaos, "kills, database restarts, cut connections: lost and copies"),
    "fairness": Scenario(fairness, "one message beside another tenant's backlog that drains"),
    "hang": Scenario(hang, "throughput beside an account that hangs", repeats_itself=True),
    "two-dispatchers": Scenario(two_dispatchers, "two proxies on one PostgreSQL"),
    "rate-limit": Scenario(
        rate_limit, "a limit a minute with four dispatchers on one PostgreSQL", by_default=False
    ),
    **{peer.name: Scenario(against(peer), f"peer: {peer.about}") for peer in PEERS},
}

#: Names for several measurements at once.
GROUPS = {"peers": [peer.name for peer in PEERS]}
