"""Rows of the table of environment variables for simple routing (`PROXY_MODE=acsrouting`)."""

from __future__ import annotations

from proxy.settings.variables.variable import Variable

SIMPLE_VARIABLES: tuple[Variable, ...] = (
    Variable(
        name="PROXY_ROOT_DOMAIN",
        help="acsrouting: domain that prefixes are completed with; without it `<cluster id>.<region id>.alicontainer.com`, "
        "and without these `localhost`",
        help_zh="acsrouting：用于补全域名前缀的根域名；未设置时为 `<集群 ID>.<地域 ID>.alicontainer.com`，"
        "再无则为 `localhost`",
        example="example.com",
    ),
    Variable(
        name="PROXY_CLUSTER_ID",
        help="acsrouting: id of the cluster, for the addresses of prefixes; together with `PROXY_REGION_ID`",
        help_zh="acsrouting：集群 ID，用于补全域名前缀；与 `PROXY_REGION_ID` 一起设置",
        example="cd3dfe269056e4543acbec5e19b01c074",
    ),
    Variable(
        name="PROXY_REGION_ID",
        help="acsrouting: id of the region, for the addresses of prefixes",
        help_zh="acsrouting：地域 ID，用于补全域名前缀",
        example="cn-beijing",
    ),
    Variable(
        name="PROXY_LOCAL_NETWORKS",
        default="127.0.0.0/8,10.0.0.0/8,172.16.0.0/12,192.168.0.0/16,::1/128,fc00::/7",
        help="acsrouting: comma list of the networks whose callers may use names in `.local`",
        help_zh="acsrouting：可以访问 `.local` 域名的来源网段，逗号分隔",
    ),
    Variable(
        name="PROXY_ERROR_PAGE_503",
        help="acsrouting: path of the answer where no service is there, as HAProxy's `errorfile` takes it; "
        "empty: a page in Chinese and English",
        help_zh="acsrouting：没有可用服务时的应答文件（HAProxy `errorfile` 格式）；空表示自带的中英文页面",
        example="/errors/503.http",
    ),
    Variable(
        name="PROXY_STICKY_IDLE_SECONDS",
        default="1800",
        help="acsrouting: seconds without a request after which a visitor's container is chosen anew",
        help_zh="acsrouting：会话保持的空闲过期秒数",
    ),
    Variable(
        name="PROXY_STICKY_LIFE_SECONDS",
        default="28800",
        help="acsrouting: seconds after which a visitor's container is chosen anew in any case",
        help_zh="acsrouting：会话保持的最长秒数",
    ),
)
