"""Rows of the table of environment variables for simple routing (`PROXY_MODE=acsrouting`)."""

from __future__ import annotations

from proxy.settings.variables.variable import Variable

PRIVATE_NETWORKS = "127.0.0.0/8,10.0.0.0/8,172.16.0.0/12,192.168.0.0/16,::1/128,fc00::/7"

SIMPLE_VARIABLES: tuple[Variable, ...] = (
    Variable(
        name="PROXY_ROOT_DOMAIN",
        help="acsrouting: domain that is added to prefixes. If it is not set: `<cluster id>.<region "
        "id>.alicontainer.com`. If these ids are not set either: `localhost`",
        help_zh="acsrouting：用于补全域名前缀的根域名。未设置时为 `<集群 ID>.<地域 ID>.alicontainer.com`；这两个 ID"
        " 也未设置时为 `localhost`",
        example="example.com",
    ),
    Variable(
        name="PROXY_CLUSTER_ID",
        help="acsrouting: id of the cluster, for the domain that is added to prefixes. Needs `PROXY_REGION_ID`",
        help_zh="acsrouting：集群 ID，用于补全域名前缀，须同时设置 `PROXY_REGION_ID`",
        example="cd3dfe269056e4543acbec5e19b01c074",
    ),
    Variable(
        name="PROXY_REGION_ID",
        help="acsrouting: id of the region, for the domain that is added to prefixes. Needs `PROXY_CLUSTER_ID`",
        help_zh="acsrouting：地域 ID，用于补全域名前缀，须同时设置 `PROXY_CLUSTER_ID`",
        example="cn-beijing",
    ),
    Variable(
        name="PROXY_LOCAL_NETWORKS",
        default=PRIVATE_NETWORKS,
        help="acsrouting: comma list of networks. Only clients in these networks can use names in `.local`",
        help_zh="acsrouting：以逗号分隔的网段。只有来自这些网段的客户端才能访问 `.local` 域名",
    ),
    Variable(
        name="PROXY_ERROR_PAGE_503",
        help="acsrouting: path of your own 503 page, in the format of HAProxy's `errorfile`. Empty: a page in "
        "Chinese and English. Changes take effect with a reload",
        help_zh="acsrouting：自定义 503 页面的路径（HAProxy `errorfile` 格式）。空：自带的中英文页面。变更经重载生效",
        example="/errors/503.http",
    ),
    Variable(
        name="PROXY_STICKY_IDLE_SECONDS",
        default="1800",
        help="acsrouting: after this many seconds without a request, a visitor may get another container",
        help_zh="acsrouting：访问者超过该秒数没有请求后，可能分配到另一个容器",
    ),
    Variable(
        name="PROXY_STICKY_LIFE_SECONDS",
        default="28800",
        help="acsrouting: after this many seconds, a visitor may get another container even without a pause",
        help_zh="acsrouting：超过该秒数后，即使访问没有中断，访问者也可能分配到另一个容器",
    ),
)
