"""Routes of features, made from the features' values."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Mapping
from typing import Annotated, Any, get_type_hints

from fastapi import APIRouter, Path, Query
from pydantic import BaseModel, BeforeValidator

from mail_proxy.api.deps import AdminCall, Call, Route, TenantQuery, decoded, tenant_of
from mail_proxy.features.feature import Feature
from mail_proxy.features.feature import Route as FeatureRoute
from mail_proxy.operations.operation import Operation, Scope

_FIELD = "tenant_id"


def router_of(feature: Feature) -> APIRouter:
    """Return the routes of a feature, under a tag with its name."""
    router = APIRouter(tags=[feature.name], route_class=Route)
    for route in feature.routes:
        assert route.operation.run is not None
        router.add_api_route(
            route.path,
            _endpoint(route),
            methods=[route.method],
            name=route.operation.name.partition(".")[2],
            description=inspect.getdoc(route.operation.run),
            response_model=route.operation.answer,
            include_in_schema=not route.is_alias,
        )
    return router


def _endpoint(route: FeatureRoute) -> Any:
    """Return a route function with a parameter for each part of the request.

    FastAPI reads these parameters.
    """
    operation = route.operation
    path = _parameters_of(route, in_path=True)
    query = _parameters_of(route, in_path=False) if route.method == "GET" else {}

    async def endpoint(**given: Any) -> Any:
        call = given["call"]
        body = given.get("body")
        tenant_id = tenant_of(given.get(_FIELD), getattr(body, _FIELD, None))
        request = body if body is not None else _request(operation, given, (*path, *query))
        return await call(operation, request, tenant_id)

    of_admin = operation.scope is Scope.ADMIN
    parameters = {"call": AdminCall if of_admin else Call, **path}
    if route.method != "GET" and not path and not operation.takes_nothing:
        parameters["body"] = operation.request
    keyword = inspect.Parameter.KEYWORD_ONLY
    signature = [inspect.Parameter(n, keyword, annotation=a) for n, a in parameters.items()]
    for name, annotation in query.items():
        default = operation.request.model_fields[name].get_default()
        signature.append(inspect.Parameter(name, keyword, annotation=annotation, default=default))
    if not of_admin:
        tenant = inspect.Parameter(_FIELD, keyword, annotation=TenantQuery, default=None)
        signature.append(tenant)
    endpoint.operation = operation  # type: ignore[attr-defined]
    endpoint.__signature__ = inspect.Signature(signature)  # type: ignore[attr-defined]
    return endpoint


def _parameters_of(route: FeatureRoute, *, in_path: bool) -> dict[str, Any]:
    """Return annotations of the request's fields: those in the path, or the others."""
    if route.operation.takes_nothing:
        return {}
    model: type[BaseModel] = route.operation.request
    hints = get_type_hints(model, include_extras=True)
    return {
        name: Annotated[
            hints[name],
            BeforeValidator(decoded),
            Path(description=f"{field.description} Percent-encoded.", examples=field.examples),
        ]
        if in_path
        else Annotated[hints[name], Query(description=field.description, examples=field.examples)]
        for name, field in model.model_fields.items()
        if (f"{{{name}}}" in route.path) == in_path
    }


def _request(operation: Operation[Any, Any], given: Mapping[str, Any], names: Iterable[str]) -> Any:
    if operation.takes_nothing:
        return None
    return operation.request(**{name: given[name] for name in names})
