"""The service Alerts: creates, changes, lists and deletes alerts, and lists their firings."""

from typing import Any, Final

from google.protobuf.message import Message

from api.app import Services
from api.grpc.calls import Call
from api.grpc.messages import message_of
from api.grpc.routes import Routes, page_request, symbol_name, user_filter
from api.http.bodies import convert_fields
from api.http.problems import bad_parameter
from api.requests.alerts import AlertPatch, AlertRequest
from api.routes.alerts import get_alert, get_alerts, patch_alert, post_alert, remove_alert
from api.routes.firings import get_firings, get_firings_of_alert
from tickplant.api.v1.alerts_pb2 import (
    Alert,
    CreateAlertResponse,
    DeleteAlertResponse,
    Firing,
    GetAlertResponse,
    ListAlertsResponse,
    ListFiringsResponse,
    UpdateAlertResponse,
)

_NO_FIELDS_OF_ALERTS: Final = ("alert_id", "idempotency_key")


class Alerts:
    """Translates the calls of Alerts."""

    def __init__(self, services: Services) -> None:
        """Answer from services."""
        self._routes = Routes(services)

    async def create_alert(self, call: Call) -> Message:
        """Create an alert."""
        symbol_name(call.request.symbol)
        alert = convert_fields(_fields(call.request), AlertRequest)
        key = call.request.idempotency_key or None
        view = await self._routes.call(post_alert, data=alert, caller=call.caller, idempotency_key=key)
        return CreateAlertResponse(alert=message_of(Alert, view))

    async def get_alert(self, call: Call) -> Message:
        """Return an alert."""
        view = await self._routes.call(get_alert, alert_id=call.request.alert_id, caller=call.caller)
        return GetAlertResponse(alert=message_of(Alert, view))

    async def list_alerts(self, call: Call) -> Message:
        """List alerts."""
        page = await self._routes.call(
            get_alerts,
            caller=call.caller,
            user=user_filter(call.request.user),
            symbol=call.request.symbol or None,
            active_only=call.request.active_only,
            page=page_request(call.request),
        )
        return ListAlertsResponse(
            alerts=[message_of(Alert, view) for view in page.alerts],
            next_page_token=page.next or "",
            notify_tags=page.notify_tags,
        )

    async def update_alert(self, call: Call) -> Message:
        """Change an alert."""
        given = _fields(call.request)
        if given.get("webhook_url") == "":
            given["webhook_url"] = None
        view = await self._routes.call(
            patch_alert,
            alert_id=call.request.alert_id,
            data=convert_fields(given, AlertPatch),
            caller=call.caller,
        )
        return UpdateAlertResponse(alert=message_of(Alert, view))

    async def delete_alert(self, call: Call) -> Message:
        """Delete an alert."""
        await self._routes.call(remove_alert, alert_id=call.request.alert_id, caller=call.caller)
        return DeleteAlertResponse()

    async def list_firings(self, call: Call) -> Message:
        """List firings, of one alert or of all."""
        request = call.request
        page = page_request(request)
        if request.alert_id:
            if request.symbol or request.user:
                raise bad_parameter("alert_id", "not allowed together with symbol or user")
            found = await self._routes.call(
                get_firings_of_alert, alert_id=request.alert_id, caller=call.caller, history_page=page
            )
        else:
            found = await self._routes.call(
                get_firings,
                caller=call.caller,
                user=user_filter(request.user),
                symbol=request.symbol or None,
                history_page=page,
            )
        return ListFiringsResponse(
            firings=[message_of(Firing, view) for view in found.firings], next_page_token=found.next or ""
        )


def _fields(request: Any) -> dict[str, Any]:
    """Return the fields of an alert that a request has."""
    return {
        field.name: tuple(getattr(value, "tags", value)) if field.name == "notify" else value
        for field, value in request.ListFields()
        if field.name not in _NO_FIELDS_OF_ALERTS
    }
