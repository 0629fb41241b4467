"""Rows of the table of environment variables for a cluster: proxies that share what their engines run."""

from __future__ import annotations

from proxy.settings.variables.variable import Variable

CLUSTER_VARIABLES: tuple[Variable, ...] = (
    Variable(
        name="PROXY_CLUSTER",
        help="The other proxies: a name that stands for all of them (`tasks.SERVICE` in a Swarm), or a comma list of "
        "`address[:port]`. Their containers are then routed, too. Empty: only those of the proxy's own engine",
        help_zh="其他代理：一个代表所有代理的名称（Swarm 中为 `tasks.SERVICE`），或 `地址[:端口]` 的列表，逗号分隔。"
        "设置后也会路由到它们的容器。空：只路由到自己引擎的容器",
        example="tasks.lb",
    ),
    Variable(
        name="PROXY_CLUSTER_KEY_FILE",
        help="Path of a file with a secret that all proxies of the cluster share: best a Docker secret, at least 16 "
        "characters",
        help_zh="存有集群所有代理共用密钥的文件路径，最好是 Docker secret。至少 16 个字符",
        example="/run/secrets/proxy_cluster_key",
    ),
    Variable(
        name="PROXY_CLUSTER_PORT",
        default="7376",
        help="Port on which the other proxies of the cluster read what this one's engine runs. Only they can use it",
        help_zh="集群的其他代理读取本代理引擎所运行内容的端口。只有它们可以使用",
    ),
    Variable(
        name="PROXY_ROUTED_NETWORKS",
        help="Comma list of container networks (CIDR) that the hosts route to each other: containers of other nodes in them "
        "are reached at their own addresses",
        help_zh="主机之间互相路由的容器网络（CIDR），逗号分隔：其中其他节点的容器按其自身地址访问",
        example="172.20.0.0/16",
    ),
)
