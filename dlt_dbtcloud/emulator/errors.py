"""API errors with the service's own messages."""

from __future__ import annotations

from typing import Any

BAD_REQUEST_MESSAGE = (
    "The request was invalid. Please double check the provided data and try again."
)
NOT_FOUND_MESSAGE = (
    "The requested resource was not found. Please check that you have the proper permissions."
)


class ApiError(Exception):
    """An error response in the API's envelope."""

    def __init__(self, code: int, user_message: str, data: Any = None) -> None:
        super().__init__(f"{code}: {user_message} {data}")
        self.code = code
        self.user_message = user_message
        self.data = data

    @property
    def reason(self) -> str:
        """The reason in one line."""
        if isinstance(self.data, dict):
            return "; ".join(f"{key}: {reason}" for key, reason in self.data.items())
        return str(self.data or self.user_message)


def bad_request(data: str | dict[str, str]) -> ApiError:
    """Build the error for an invalid request.

    Args:
        data: One reason, or a reason by field or parameter.

    Returns:
        An error with status 400.
    """
    return ApiError(400, BAD_REQUEST_MESSAGE, data)


def not_found() -> ApiError:
    """Build the 404 for objects that are missing or not visible to the token."""
    return ApiError(404, NOT_FOUND_MESSAGE)
