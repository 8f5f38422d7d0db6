"""Signs generated mails with RSA and Ed25519 and has dkimpy verify every signature.

    python -m tests.fuzz.dkim --mails 10000

Exit code 1 when a signature is not valid. Prints the CPU time for each mail, and that of the bare
signature beside it.
"""

from __future__ import annotations

import argparse
import sys
import time

import hypothesis
from hypothesis import HealthCheck, Phase
from hypothesis import strategies as st
from tests.harness import dkim_mails

_CHUNKS = st.sampled_from([1, 7, 64, 1024, 65_536])
_ROUNDS = 5


def cpu_per_mail(mails: list[bytes], selector: str) -> tuple[float, float]:
    """CPU seconds of signing a mail, and of the bare signature; the best of some rounds."""
    [key] = [key for key in dkim_mails.both_keys() if key.selector == selector]
    whole, bare = [], []
    for _ in range(_ROUNDS):
        started = time.process_time()
        for mail in mails:
            dkim_mails.sign(mail, key)
        middle = time.process_time()
        for mail in mails:
            key.sign(mail[:700])
        whole.append((middle - started) / len(mails))
        bare.append((time.process_time() - middle) / len(mails))
    return min(whole), min(bare)


def main() -> int:
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--mails", type=int, default=10_000)
    options.add_argument("--seed", type=int, default=0)
    chosen = options.parse_args()
    seen: list[bytes] = []
    signed = verified = 0

    @hypothesis.seed(chosen.seed)
    @hypothesis.settings(
        max_examples=chosen.mails,
        deadline=None,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @hypothesis.given(dkim_mails.mails, _CHUNKS)
    def run(mail: bytes, chunk: int) -> None:
        nonlocal signed, verified
        signed += 2
        verified += dkim_mails.count_valid(dkim_mails.sign(mail, chunk=chunk), 2)
        if len(seen) < 300:
            seen.append(mail)

    run()
    print(f"{signed // 2} mails, {signed} signatures, {verified} verified by dkimpy")
    for selector, name in (("rsa", "RSA, 2048 bits"), ("ed", "Ed25519")):
        whole, bare = cpu_per_mail(seen, selector)
        print(f"{name}: {whole * 1e6:.0f} us CPU for a mail, bare signature {bare * 1e6:.0f} us")
    return 0 if signed == verified >= 2 * chosen.mails else 1


if __name__ == "__main__":
    sys.exit(main())
