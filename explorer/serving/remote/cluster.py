"""The cluster an explorer is served from: started on this machine's loopback, or joined, by one token.

What is not ready is said in one sentence before Ray is asked: by itself it tries a wrong token for twenty seconds and
an address where nobody answers for minutes, and writes to the terminal meanwhile.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from explorer import places
from explorer.serving.remote.settings import APPLICATION, Fleet
from explorer.types import ExplorerError

if TYPE_CHECKING:
    from ray.serve.handle import DeploymentHandle

ADDRESS = "RAY_ADDRESS"
_LOOK_SECONDS = 5.0
_LOOPBACK = "127.0.0.1"
_MIB = 2**20


def join() -> DeploymentHandle[Any]:
    """A handle of the explorer that is served where `RAY_ADDRESS` says, else on this machine.

    Raises `ExplorerError` without Ray, where nobody serves, and for a token that is not the cluster's.
    """
    ray = ray_here()
    from ray import serve

    _connect(ray)
    try:
        handle: DeploymentHandle[Any] = serve.get_app_handle(APPLICATION)
    except Exception as error:
        raise ExplorerError(
            "The cluster serves no explorer; `twicing-explorer serve` was expected to run there."
        ) from error
    return handle


@contextmanager
def served(fleet: Fleet) -> Iterator[str]:
    """Inside, the explorer is served, by the cluster `RAY_ADDRESS` names, else by one of this process; its address.

    Raises `ExplorerError` as `join` does, and where the replicas do not come up.
    """
    ray = ray_here()
    from ray import serve

    from explorer.serving.remote.replica import LOGGING, application

    if os.environ.get(ADDRESS):
        _connect(ray)
    else:
        _start(ray, fleet)
    try:
        serve.start(proxy_location="Disabled", logging_config=LOGGING)
        try:
            serve.run(application(fleet), name=APPLICATION, route_prefix=None)
        except Exception as error:
            raise ExplorerError(f"The replicas did not come up: {_line(error)}") from error
        yield ray.get_runtime_context().gcs_address
        if os.environ.get(ADDRESS):
            serve.delete(APPLICATION)
    finally:
        ray.shutdown()


def ray_here() -> Any:
    """Ray, told what it reads from the environment when it is imported; nothing that somebody has said is changed.

    To be called before anything else imports it. Raises `ExplorerError` where it is not installed.
    """
    os.environ.setdefault("RAY_AUTH_MODE", "token")
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    # Of a replica that computes; after a tenth of a second Ray would warn, and ask another one.
    os.environ.setdefault("RAY_SERVE_QUEUE_LENGTH_RESPONSE_DEADLINE_S", "1.0")
    address = os.environ.get(ADDRESS, _LOOPBACK)
    if address.rpartition(":")[0] in ("", _LOOPBACK, "localhost"):
        # What Ray does on macOS by itself: it then calls this machine 127.0.0.1, and listens there.
        os.environ.setdefault("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "0")
    try:
        import ray
        import ray.serve
    except ImportError as error:
        raise ExplorerError(
            "Ray was expected, which `pip install twicing-explorer[serve]` installs; it is not here."
        ) from error
    for name in ("ray", "ray.serve"):
        logging.getLogger(name).setLevel(logging.ERROR)
    return ray


def _start(ray: Any, fleet: Fleet) -> None:
    # Of the workers, which are processes of their own, wherever this one was started.
    paths = (str(Path(places.__file__).parents[1]), os.environ.get("PYTHONPATH", ""))
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, paths))
    mask = os.umask(0o077)  # the token, where Ray makes one, is for this user alone
    try:
        _init(
            ray,
            address="local",
            include_dashboard=False,
            num_cpus=fleet.processors,
            object_store_memory=fleet.store_mib * _MIB,
        )
    finally:
        os.umask(mask)


def _connect(ray: Any) -> None:
    if ray.is_initialized():
        return
    address = os.environ.get(ADDRESS) or _running_here()
    check(address)
    _init(ray, address=address)


def _init(ray: Any, **options: Any) -> None:
    try:
        ray.init(namespace=APPLICATION, log_to_driver=False, logging_level=logging.ERROR, **options)
    except Exception as error:
        raise ExplorerError(f"Ray could not be started or joined: {_line(error)}") from error


def _running_here() -> str:
    from ray._private.services import canonicalize_bootstrap_address_or_die

    try:
        return str(canonicalize_bootstrap_address_or_die("auto"))
    except Exception as error:
        raise ExplorerError(
            f"No served explorer runs on this machine, and {ADDRESS} names no other; "
            "`twicing-explorer serve` was expected to run."
        ) from error


def check(address: str) -> None:
    """Asks the head of a cluster whether it is there and takes our token. Raises `ExplorerError` where it does not."""
    host, _, port = address.rpartition(":")
    if not host or not port.isdigit() or "/" in host:
        raise ExplorerError(f"{ADDRESS} was expected to be host:port of a cluster's head; {address[:80]!r} came.")
    from ray._private.grpc_utils import init_grpc_channel
    from ray.core.generated import gcs_service_pb2, gcs_service_pb2_grpc

    try:
        with init_grpc_channel(address) as channel:
            head = gcs_service_pb2_grpc.NodeInfoGcsServiceStub(channel)
            head.CheckAlive(gcs_service_pb2.CheckAliveRequest(), timeout=_LOOK_SECONDS)
    except Exception as error:
        code = error.code().name if hasattr(error, "code") else ""  # of gRPC, which is Ray's and not ours to import
        if code == "UNAUTHENTICATED":
            raise ExplorerError(
                f"The cluster at {address} takes another token; the one it was started with was expected in "
                "RAY_AUTH_TOKEN, or in the file that RAY_AUTH_TOKEN_PATH names."
            ) from error
        if code:
            raise ExplorerError(f"The head of a cluster was expected at {address}; nobody answers there.") from error
        raise ExplorerError(f"The cluster at {address} could not be asked: {_line(error)}") from error


def _line(error: BaseException) -> str:
    """The last line that says something, as a sentence."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()] or [type(error).__name__]
    return f"{lines[-1][:200].rstrip('.')}."
