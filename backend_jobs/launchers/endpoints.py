"""Inference Endpoints of Hugging Face: their hardware, their making and their end. A door to huggingface_hub."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial

from huggingface_hub import HfApi, InferenceEndpoint, constants

from backend_jobs.launchers.hub_errors import NameTaken, told
from backend_jobs.launchers.types import LaunchNotFound, Machine
from evaluator.errors import PlanRejected
from evaluator.hardware import named_devices

_told = partial(told, place="Inference Endpoints", may="manage Endpoints")
PORT = 8000
TO_BE_HAD = ("available", "low_availability")
TASK = "text-generation"


@dataclass(frozen=True, kw_only=True, slots=True)
class Instance:
    """A machine that an Endpoint can run on, with the words that the API wants for it."""

    machine: Machine
    vendor: str
    region: str
    accelerator: str
    instance_type: str
    instance_size: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Wanted:
    """An Endpoint to be made: one vLLM server of a model at a commit, with exactly these arguments.

    `idle_minutes`: without a request for so long it gives its machine back, should nobody delete it.
    """

    name: str
    instance: Instance
    model: str
    commit: str
    image: str
    arguments: Sequence[str]
    tensor_parallel_size: int
    idle_minutes: int
    tags: Sequence[str] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Rented:
    """An Endpoint as it is now. `url` is None until it can be asked, `message` what the API says of its state."""

    name: str
    state: str
    created_at: datetime
    url: str | None = None
    message: str = ""


class EndpointsApi:
    """The Endpoints of one namespace. Every method may raise LauncherUnreachable."""

    def __init__(self, *, token: str | None, namespace: str, address: str | None = None) -> None:
        self._api, self._namespace = HfApi(token=token or False), namespace
        if address is not None:
            # The client knows this address as a constant only.
            constants.INFERENCE_ENDPOINTS_ENDPOINT = address.rstrip("/")

    def instances(self) -> tuple[Instance, ...]:
        """What can be had now and plans know, cheapest first."""
        with _told(f"the hardware of {self._namespace}"):
            listed = self._api.list_inference_endpoints_hardware(namespace=self._namespace)
        found = []
        for each in listed:
            room = each.max_accelerators - each.used_accelerators
            if each.accelerator != "gpu" or each.status not in TO_BE_HAD or room < each.num_accelerators:
                continue
            try:
                devices = named_devices(f"{each.num_accelerators}x{each.instance_type.removeprefix('nvidia-')}")
            except PlanRejected:
                continue
            machine = Machine(name=each.id, devices=devices, dollars_per_hour=each.price_per_hour)
            found.append(
                Instance(
                    machine=machine,
                    vendor=each.vendor,
                    region=each.region,
                    accelerator=each.accelerator,
                    instance_type=each.instance_type,
                    instance_size=each.instance_size,
                )
            )
        return tuple(sorted(found, key=lambda instance: instance.machine.dollars_per_hour or 0.0))

    def create(self, wanted: Wanted) -> Rented:
        """Ask for an Endpoint, or return the one that has this name. Raises LaunchRefused."""
        image = {
            "url": wanted.image,
            "port": PORT,
            "healthRoute": "/health",
            "tensorParallelSize": wanted.tensor_parallel_size,
        }
        where = wanted.instance
        try:
            with _told(f"the Endpoint {wanted.name}", making=True, named=True):
                made = self._api.create_inference_endpoint(
                    wanted.name,
                    repository=wanted.model,
                    revision=wanted.commit,
                    framework="pytorch",
                    task=TASK,
                    accelerator=where.accelerator,
                    instance_size=where.instance_size,
                    instance_type=where.instance_type,
                    region=where.region,
                    vendor=where.vendor,
                    min_replica=0,
                    max_replica=1,
                    scale_to_zero_timeout=wanted.idle_minutes,
                    custom_image={"vLLM": image},
                    container_args=list(wanted.arguments),
                    env={"VLLM_NO_USAGE_STATS": "1", "DO_NOT_TRACK": "1"},
                    type="authenticated",
                    tags=list(wanted.tags),
                    namespace=self._namespace,
                )
        except NameTaken:
            return self.look(wanted.name)
        return _rented(made)

    def look(self, name: str) -> Rented:
        """How an Endpoint is. Raises LaunchNotFound."""
        with _told(name):
            return _rented(self._api.get_inference_endpoint(name, namespace=self._namespace))

    def delete(self, name: str) -> None:
        """End an Endpoint; nothing happens where it is gone."""
        try:
            with _told(name):
                self._api.delete_inference_endpoint(name, namespace=self._namespace)
        except LaunchNotFound:
            return

    def all(self) -> tuple[Rented, ...]:
        """Every Endpoint of the namespace, whoever made it."""
        with _told(f"the Endpoints of {self._namespace}"):
            return tuple(map(_rented, self._api.list_inference_endpoints(namespace=self._namespace)))


def _rented(endpoint: InferenceEndpoint) -> Rented:
    return Rented(
        name=endpoint.name,
        state=str(getattr(endpoint.status, "value", endpoint.status)),
        created_at=endpoint.created_at,
        url=endpoint.url,
        message=str(endpoint.raw["status"].get("message") or ""),
    )
