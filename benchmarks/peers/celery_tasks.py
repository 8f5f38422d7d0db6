"""The task of the Celery peer, and the application that calls it. Runs in the peer's Python."""

import os
import sys

from celery import Celery
from django.conf import settings
from django.core.mail import send_mail

from benchmarks.messages import body_text

settings.configure(EMAIL_HOST="127.0.0.1", EMAIL_PORT=int(os.environ["PEER_SINK"]))

app = Celery("peer", broker=os.environ["PEER_BROKER"])
app.conf.update(
    task_ignore_result=True,
    # Without these two a task that a worker has begun is lost with the worker.
    task_acks_late=True,
    task_reject_on_worker_lost=True,
)


@app.task(name="send")  # type: ignore[untyped-decorator]
def send(subject: str, body: str, recipient: str) -> None:
    send_mail(subject, body, "Benchmark <bench@example.com>", [recipient])


def main() -> None:
    total, size_bytes = int(sys.argv[1]), int(sys.argv[2])
    body = body_text(size_bytes)
    for number in range(total):
        send.delay(f"Message {number}", body, f"user{number}@example.org")


if __name__ == "__main__":
    main()
