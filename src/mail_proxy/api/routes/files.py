"""Route of downloads of large files."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Header, Path
from fastapi.responses import Response, StreamingResponse

from mail_proxy.api.deps import FileDownloads, Route

router = APIRouter(tags=["large files"], route_class=Route)


@router.get(
    "/files/{token}/{filename}",
    response_class=Response,
    responses={
        200: {"content": {"application/octet-stream": {}}, "description": "The file."},
        206: {"content": {"application/octet-stream": {}}, "description": "A part of the file."},
        416: {"description": "The file is shorter than the part."},
    },
)
async def download(
    downloads: FileDownloads,
    token: Annotated[
        str, Path(description="Token of the link.", max_length=200, examples=["AaIf2sdMcc6MJl"])
    ],
    filename: Annotated[
        str, Path(description="Name to show; it decides nothing.", examples=["report.pdf"])
    ],
    range_: Annotated[
        str | None,
        Header(alias="Range", description="One part of the file.", examples=["bytes=0-999"]),
    ] = None,
    if_range: Annotated[
        str | None,
        Header(
            alias="If-Range",
            description="ETag of the file; if it is another one, the whole file is sent.",
            examples=['"e3b0c44298fc1c14"'],
        ),
    ] = None,
) -> Response:
    """Return a file that was taken out of a mail, with the token of its link.

    404 if the token is not valid, or its time is over.
    """
    found = await downloads.get(token, range_, if_range)
    headers = dict(found.headers)
    if found.content is None:
        return Response(status_code=found.status, headers=headers)
    return StreamingResponse(found.content, found.status, headers)
