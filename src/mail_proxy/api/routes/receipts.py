"""Route of downloads of PEC receipts."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path
from fastapi.responses import FileResponse, Response

from mail_proxy.api.deps import Call, PathId, Route, TenantQuery
from mail_proxy.features.large_files.downloads import attachment_disposition
from mail_proxy.features.pec import operations
from mail_proxy.wire.pec import ReceiptRef, Sha256

_MAIL = "message/rfc822"
router = APIRouter(tags=["pec"], route_class=Route)


@router.get(
    "/messages/{id}/receipts/{sha256}",
    response_class=Response,
    responses={200: {"content": {_MAIL: {}}, "description": "The receipt, byte for byte."}},
)
async def download(
    call: Call,
    id: PathId,
    sha256: Annotated[
        Sha256,
        Path(
            description="SHA-256 of the receipt.",
            examples=["9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"],
        ),
    ],
    tenant_id: TenantQuery = None,
) -> Response:
    """Return a receipt of a PEC message, byte for byte as it was in the mailbox."""
    found = await call(operations.get, ReceiptRef(id=id, sha256=sha256), tenant_id)
    headers = {
        "Content-Disposition": attachment_disposition(found.name),
        "Content-Security-Policy": "sandbox; default-src 'none'",
        "X-Content-Type-Options": "nosniff",
    }
    return FileResponse(found.file, media_type=_MAIL, headers=headers)
