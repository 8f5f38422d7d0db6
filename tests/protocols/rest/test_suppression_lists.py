"""Suppression lists as CSV: import and export."""

from __future__ import annotations

from typing import Any

from tests.protocols.rest.client import ONE_DATABASE, Client

LIST = """\
Address;reason;since_ts;detail;message_id
Bob@Example.net;bounce;1790000000;5.1.1 no such user;invoice-1
ann@example.net;complaint;2026-11-27T10:00:00Z;;
"eve@example.net";;;"asked; by phone";

bob@example.net;manual;;;
nobody
kim@example.net;burnt;;;
lee@example.net;bounce;1790000000000;;
"""


async def load(client: Client, text: str | bytes, path: str = "/suppressions/import") -> Any:
    headers = {"X-API-Token": "admin-token", "Content-Type": "text/csv"}
    content = text if isinstance(text, bytes) else text.encode()
    return await client.http.post(path, content=content, headers=headers)


async def export(client: Client, query: str = "") -> list[str]:
    answer = await client("GET", f"/suppressions/export{query}")
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/csv")
    return str(answer.text).splitlines()


async def test_a_list_is_imported_exported_and_read_back(idle: Client) -> None:
    await idle.tenant("acme")
    await idle.tenant("other")
    answer = (await load(idle, LIST, "/suppressions/import?tenant_id=acme")).json()
    assert (answer["added"], answer["known"], answer["rejected"]) == (3, 0, 3)
    assert [wrong["line"] for wrong in answer["mistakes"]] == [7, 8, 9]
    assert "bounce, complaint" in answer["mistakes"][1]["reason"]
    assert "milliseconds?" in answer["mistakes"][2]["reason"]
    listed = await idle.ok("GET", "/suppressions?tenant_id=acme&address=bob@example.net")
    assert listed["suppressions"] == [
        {
            "tenant_id": "acme",
            "address": "bob@example.net",
            "reason": "bounce",
            "detail": "5.1.1 no such user",
            "message_id": "invoice-1",
            "since_ts": 1_790_000_000,
        }
    ]
    lines = await export(idle, "?tenant_id=acme")
    assert lines[0] == "tenant_id,address,reason,since_ts,detail,message_id"
    assert lines[1:3] == [
        "acme,ann@example.net,complaint,1795773600,,",
        "acme,bob@example.net,bounce,1790000000,5.1.1 no such user,invoice-1",
    ]
    assert len(lines) == 4
    assert await export(idle, "?tenant_id=acme&reason=bounce") == [lines[0], lines[2]]
    again = (await load(idle, "\n".join(lines), "/suppressions/import?tenant_id=acme")).json()
    assert (again["added"], again["known"], again["rejected"]) == (0, 3, 0)
    foreign = (await load(idle, "\n".join(lines), "/suppressions/import?tenant_id=other")).json()
    assert (foreign["added"], foreign["rejected"]) == (0, 3)
    assert foreign["mistakes"][0]["reason"] == "3 lines are about another tenant"
    assert await export(idle, "?tenant_id=other") == [lines[0]]


async def test_long_lists_go_in_and_out_in_pieces(idle: Client) -> None:
    text = "".join(f"a{number:05}@example.net\n" for number in range(3_000))
    answer = (await load(idle, text)).json()
    assert (answer["added"], answer["rejected"]) == (3_000, 0)
    lines = await export(idle)
    assert [line.split(",")[1] for line in lines[1:]] == text.split()


@ONE_DATABASE
async def test_lists_that_cannot_be_read_are_refused_in_words(idle: Client) -> None:
    for text, status, words in (
        (b"\xff\xfe\x00", 422, "UTF-8"),
        (b"address,raeson\nbob@example.net,bounce\n", 422, "'raeson'"),
        (b"reason\nbounce\n", 422, "no column address"),
        (b"bob@example.net\n" * 100_001, 413, "100000"),
        (b"x" * 4_000_001, 413, "4000000"),
        (b'address\n"' + b"x" * 200_000, 422, "line"),
    ):
        answer = await load(idle, text)
        assert (answer.status_code, answer.json()["ok"]) == (status, False), answer.text
        assert words in answer.json()["error"]
    assert await export(idle) == ["tenant_id,address,reason,since_ts,detail,message_id"]


@ONE_DATABASE
async def test_a_spreadsheet_finds_no_formula_in_a_detail(idle: Client) -> None:
    await idle.ok("POST", "/suppression", {"address": "bob@example.net", "detail": "=1+1"})
    _, line = await export(idle)
    assert line.split(",")[4] == "'=1+1"
    await idle.ok("DELETE", "/suppression/bob@example.net")
    await load(idle, f"tenant_id,address,reason,since_ts,detail,message_id\n{line}\n")
    (listed,) = (await idle.ok("GET", "/suppressions"))["suppressions"]
    assert listed["detail"] == "=1+1"
