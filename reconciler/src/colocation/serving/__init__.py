"""One bounded HTTP(S) server for manager, agent, webhook and console."""

from colocation.serving.coding import compressed, unchanged
from colocation.serving.listen import address, listener
from colocation.serving.routes import Answer, Guard, Refused, Request, Route, Write, json_answer, text_answer
from colocation.serving.server import Server
from colocation.serving.table import Limits
from colocation.serving.tls import server_context

__all__ = [
    "Answer",
    "Guard",
    "Limits",
    "Refused",
    "Request",
    "Route",
    "Server",
    "Write",
    "address",
    "compressed",
    "json_answer",
    "listener",
    "server_context",
    "text_answer",
    "unchanged",
]
