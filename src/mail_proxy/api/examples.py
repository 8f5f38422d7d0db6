"""Examples for the OpenAPI document."""

from __future__ import annotations

from typing import Any

EXAMPLES: dict[str, Any] = {}
