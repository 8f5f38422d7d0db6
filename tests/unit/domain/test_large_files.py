"""Rules for large files, and the texts around links to them."""

from __future__ import annotations

import pytest

from mail_proxy.domain.large_files import (
    FileLink,
    LargeFileConfig,
    LinkTexts,
    shown_size,
    with_links_in_html,
    with_links_in_text,
)

LINKS = (
    FileLink("rep\u00f2rt <1>.pdf", 30_400_000, "https://x.example/a?b=1&c=2", "2026-12-31"),
    FileLink("{url}.pdf", 999_499, "https://x.example/b", "2026-12-31"),
)


def config(**fields: object) -> LargeFileConfig:
    found = LargeFileConfig.from_record({"enabled": True, **fields})
    assert found is not None
    return found


def test_rules_that_are_not_enabled_are_none() -> None:
    assert LargeFileConfig.from_record(None) is None
    assert LargeFileConfig.from_record({"action": "reject"}) is None


def test_defaults() -> None:
    rules = config()
    assert (rules.action, rules.most_bytes) == ("warn", 10_000_000)
    assert (rules.ttl_seconds, rules.lifespan_seconds) == (30 * 86_400, None)


@pytest.mark.parametrize(
    ("language", "intro"),
    [
        ("en", "Attachments to download (available until 2026-12-31):"),
        ("it", "Allegati da scaricare (disponibili fino al 2026-12-31):"),
    ],
)
def test_a_plain_text_gets_a_plain_list(language: str, intro: str) -> None:
    text = with_links_in_text("Hello\n\n", LINKS, config(language=language).texts)
    assert text == (
        f"Hello\n\n{intro}\n\n"
        "- rep\u00f2rt <1>.pdf (30.4 MB): https://x.example/a?b=1&c=2\n"
        "- {url}.pdf (999 kB): https://x.example/b\n"
    )
    assert with_links_in_text(" ", LINKS, config(language=language).texts).startswith(intro)


def test_an_html_text_gets_an_html_list_inside_its_body() -> None:
    body = "<html><body><p>The tag &lt;/body&gt;</p></BODY></html>"
    html = with_links_in_html(body, LINKS, config().texts)
    assert html.startswith("<html><body><p>The tag &lt;/body&gt;</p><div>\n<p>Attachments")
    assert html.endswith("</ul>\n</div>\n</BODY></html>")
    link = '<a href="https://x.example/a?b=1&amp;c=2">rep\u00f2rt &lt;1&gt;.pdf</a> (30.4 MB)'
    assert f"<li>{link}</li>" in html
    assert '<a href="https://x.example/b">{url}.pdf</a>' in html


@pytest.mark.parametrize("body", ["<p>Hi</p>", "", "Hi"])
def test_html_without_a_body_element_gets_the_list_at_its_end(body: str) -> None:
    html = with_links_in_html(body, LINKS, config().texts)
    assert html.startswith(f"{body}\n<div>")


def test_html_whose_letters_change_length_is_cut_in_the_right_place() -> None:
    body = "<body>" + "\u0130" * 50 + "</body>"
    html = with_links_in_html(body, LINKS, config().texts)
    assert html.startswith("<body>" + "\u0130" * 50 + "<div>")


def test_a_template_replaces_the_texts() -> None:
    template = {
        "intro": "Files & more:",
        "text_line": "{url} <{name}>",
        "html_line": "<b>{name}</b> {url}",
    }
    texts = config(language="it", template=template).texts
    text = with_links_in_text("", LINKS[:1], texts)
    assert text == "Files & more:\n\n- https://x.example/a?b=1&c=2 <rep\u00f2rt <1>.pdf>\n"
    html = with_links_in_html("", LINKS[:1], texts)
    assert "<p>Files &amp; more:</p>" in html
    assert "<li><b>rep\u00f2rt &lt;1&gt;.pdf</b> https://x.example/a?b=1&amp;c=2</li>" in html
    partly = config(language="it", template={"text_line": "{name}"}).texts
    assert partly == LinkTexts(config(language="it").texts.intro, text_line="{name}")


def test_sizes() -> None:
    sizes = [shown_size(octets) for octets in (1, 999, 100_000, 1_000_000, 30_449_999)]
    assert sizes == ["0 kB", "1 kB", "100 kB", "1.0 MB", "30.4 MB"]
