"""Choose the address at which the proxy reaches a container."""

from __future__ import annotations

from proxy.core.containers.containers import Attachment, Container, ProxyContainer

HOST_MODE = "host"
LOOPBACK = "127.0.0.1"


def choose_address(container: Container, proxy: ProxyContainer | None, preferred_network: str = "") -> str:
    """Return the address at which the proxy reaches `container`.

    The address is in a network that the container and the proxy share. If they share several, `preferred_network` (with or
    without the project's name in front) is used, and otherwise the first network by name. A proxy that runs on the host
    itself reaches every local network. Raises ValueError with the networks of both sides when there is no such address.
    """
    if container.address:
        return container.address
    on_host = proxy is None or proxy.network_mode == HOST_MODE
    if container.network_mode == HOST_MODE:
        return LOOPBACK if on_host else _gateway(proxy)
    attachments = [attachment for attachment in container.networks if attachment.address]
    if not on_host and proxy is not None:
        shared = {attachment.network for attachment in proxy.networks}
        attachments = [attachment for attachment in attachments if attachment.network in shared]
    if not attachments:
        raise ValueError(_no_address(container, proxy))
    return _choose(attachments, container.project, preferred_network).address


def _choose(attachments: list[Attachment], project: str, preferred: str) -> Attachment:
    wanted = {preferred, f"{project}_{preferred}"}
    return min(attachments, key=lambda attachment: (attachment.network not in wanted, attachment.network))


def _gateway(proxy: ProxyContainer | None) -> str:
    for attachment in proxy.networks if proxy else ():
        if attachment.gateway:
            return attachment.gateway
    raise ValueError(
        "uses the host's network, but the proxy cannot reach the host: the proxy's networks have no gateway; "
        "attach the proxy to a bridge network"
    )


def _no_address(container: Container, proxy: ProxyContainer | None) -> str:
    if container.network_mode.startswith("container:"):
        owner = container.network_mode.removeprefix("container:")[:12]
        return (
            f"uses the network of container {owner}, which does not run; start that one and then this one, or if it was "
            f"replaced, recreate this one"
        )
    theirs = ", ".join(sorted(attachment.network for attachment in container.networks)) or "no network"
    if proxy is None or proxy.network_mode == HOST_MODE:
        return f"has no address that the proxy's host can reach (it is on {theirs})"
    ours = ", ".join(sorted(attachment.network for attachment in proxy.networks)) or "no network"
    return (
        f"shares no network with the proxy: it is on {theirs}, the proxy on {ours}; "
        f"attach one of them to a network of the other"
    )
