"""A mail server that receives notifications, and answers as the test configures it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from email import message_from_bytes, policy
from email.message import EmailMessage
from typing import Any

from aiosmtpd.smtp import SMTP, AuthResult, LoginPassword


class MailServer:
    """What it got, and how it answers."""

    def __init__(self) -> None:
        self.messages: list[EmailMessage] = []
        self.answer = "250 OK"
        self.password = b"a-password-of-mail-1"
        self.port = 0

    def url(self, password: str | None = None) -> str:
        """The Apprise URL of a recipient at this server."""
        secret = self.password.decode() if password is None else password
        return (
            f"mailto://plant:{secret}@127.0.0.1:{self.port}/?smtp=127.0.0.1&mode=insecure"
            "&from=plant@example.org&to=me@example.org&format=text"
        )

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:  # noqa: N802 - aiosmtpd's
        if not session.authenticated:
            return "530 Authentication required"
        if self.answer.startswith("250"):
            self.messages.append(message_from_bytes(envelope.content, policy=policy.default))
        return self.answer

    def authenticate(
        self, server: Any, session: Any, envelope: Any, mechanism: str, data: LoginPassword
    ) -> AuthResult:
        return AuthResult(success=data.password == self.password, handled=False)


@asynccontextmanager
async def receiving_mail() -> AsyncIterator[MailServer]:
    """Receive mail on a free port of loopback."""
    mail = MailServer()
    loop = asyncio.get_running_loop()

    def protocol() -> SMTP:
        return SMTP(
            mail,
            hostname="localhost",
            auth_require_tls=False,
            authenticator=mail.authenticate,
            loop=loop,
        )

    server = await loop.create_server(protocol, "127.0.0.1", 0)
    mail.port = server.sockets[0].getsockname()[1]
    try:
        yield mail
    finally:
        server.close()
        await server.wait_closed()
