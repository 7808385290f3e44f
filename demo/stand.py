"""The service on this machine together with the two servers of a client, all on free ports of loopback."""

from __future__ import annotations

import base64
import secrets
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from demo.client import Client
from demo.servers import CallbackReceiver, photo_server
from meshroom_tasks.local_service import LocalService
from meshroom_tasks.ports import free_port
from meshroom_tasks.settings import Settings, load_settings


@dataclass
class Stand:
    """`photos` is served at `photo_host`. The service is not started yet; the end of the block stops it."""

    photos: Path
    photo_host: str
    receiver: CallbackReceiver
    settings: Settings
    service: LocalService
    make_service: Callable[[Settings], LocalService] = LocalService

    @property
    def client(self) -> Client:
        return Client(self.service.url, self.service.api_key)

    def url_of(self, name: str) -> str:
        return f"http://{self.photo_host}/{name}"

    def restarted(self) -> None:
        """Another start of the service on the same data."""
        self.service = self.make_service(self.settings)
        self.service.start()


@contextmanager
def stand(
    folder: Path, photos: Path, *, make_service: Callable[[Settings], LocalService] = LocalService, **settings: Any
) -> Iterator[Stand]:
    """Everything the service writes is below `folder`; `settings` win over those made here."""
    secret = "whsec_" + base64.b64encode(secrets.token_bytes(32)).decode()
    with ExitStack() as stack:
        host = stack.enter_context(photo_server(photos))
        receiver = stack.enter_context(CallbackReceiver(secret).running())
        made = {
            "data_dir": folder,
            "port": free_port(),
            "flower_port": free_port(),
            "image_private_hosts": (host,),
            "callback_private_hosts": (receiver.host,),
            "webhook_secret": secret,
        }
        loaded = load_settings(**{**made, **settings})
        made_up = Stand(photos, host, receiver, loaded, make_service(loaded), make_service)
        stack.callback(lambda: made_up.service.stop())
        yield made_up
