"""Rows of the table of environment variables for routing and TLS."""

from __future__ import annotations

from proxy.settings.variables.variable import Variable

_BIND_OPTIONS = "prefer-client-ciphers ssl-min-ver TLSv1.2 no-tls-tickets"
_BIND_CIPHERS = (
    "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:ECDHE-ECDSA-AES256-GCM-SHA384"
    ":ECDHE-RSA-AES256-GCM-SHA384:ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-CHACHA20-POLY1305"
)

ROUTING_VARIABLES: tuple[Variable, ...] = (
    Variable(
        name="ADDITIONAL_SERVICES",
        help="Which containers may be routed. Empty: those of the proxy's own Compose project, or all if it "
        "belongs to no project. `project:service,...`: these services as well; a service without a label such as "
        "`VIRTUAL_HOST` counts as linked. `*`: all",
        help_zh="可以路由哪些容器。空：代理所在 Compose 项目的容器；代理不属于任何项目时为全部容器。"
        "`project:service,...`：另外加上这些服务，其中没有 `VIRTUAL_HOST` 之类标签的服务视为被链接。`*`：全部容器",
        example="shop:web,blog:web",
    ),
    Variable(
        name="BALANCE",
        default="roundrobin",
        help="Balancing algorithm. A service's label overrides this value",
        help_zh="负载均衡算法。服务的标签会覆盖此值",
        example="leastconn",
    ),
    Variable(
        name="EXTRA_ROUTE_SETTINGS",
        help="Text that is added at the end of each `server` line. A service's label overrides this value",
        help_zh="添加到每个 `server` 行末尾的文字。服务的标签会覆盖此值",
        example="send-proxy",
    ),
    Variable(
        name="HEALTH_CHECK",
        default="check inter 2000 rise 2 fall 3",
        help="health check of each server line; a service's label overrides this value. Where neither is set, the interval "
        "grows with the number of servers, so that checks stay below 500 a second (`docs/benchmarks.md`)",
        help_zh="每个后端服务器行的健康检查；服务的标签优先。两者都未设置时，检查间隔随服务器数量增长，"
        "使检查总数保持在每秒 500 次以下（`docs/benchmarks.md`）",
    ),
    Variable(
        name="HTTP_BASIC_AUTH",
        help="Comma list of `user:password`. Every service asks for a user and a password, except services with "
        "`EXCLUDE_BASIC_AUTH`",
        help_zh="以逗号分隔的 `user:password`。除设置了 `EXCLUDE_BASIC_AUTH` 的服务外，所有服务都要求用户名和密码",
        example="alice:secret",
        is_secret=True,
    ),
    Variable(
        name="HTTP_BASIC_AUTH_SECURE",
        help="The same with hashed passwords (`mkpasswd -m sha-512`)",
        help_zh="同上，但给出的是密码的散列值（`mkpasswd -m sha-512`）",
        example="alice:$6$salt$hash",
        is_secret=True,
    ),
    Variable(
        name="MODE",
        default="http",
        help="`http`: the proxy routes HTTP requests. `tcp`: it only forwards connections. `health`: it only "
        "answers health checks",
        help_zh="`http`：路由 HTTP 请求。`tcp`：只转发连接。`health`：只应答健康检查",
    ),
    Variable(
        name="MONITOR_PORT",
        help="Port on which the proxy itself answers health checks. Needs `MONITOR_URI`",
        help_zh="代理自身应答健康检查的端口，须同时设置 `MONITOR_URI`",
        example="80",
    ),
    Variable(
        name="MONITOR_URI",
        help="Path of these health checks. Needs `MONITOR_PORT`",
        help_zh="上述健康检查的路径，须同时设置 `MONITOR_PORT`",
        example="/ping",
    ),
    Variable(
        name="SKIP_FORWARDED_PROTO",
        help="`true`: do not set `X-Forwarded-Proto` and `X-Forwarded-Host`. Use this behind another proxy that sets them. "
        "Without `PROXY_TRUSTED_PROXIES`, what any visitor says is passed on",
        help_zh="`true`：不设置 `X-Forwarded-Proto` 和 `X-Forwarded-Host`。适用于前面已有其他代理设置这些请求头的情况。"
        "未设置 `PROXY_TRUSTED_PROXIES` 时，任何访问者的这些请求头都会原样转发",
        example="true",
        is_switch=True,
    ),
    Variable(
        name="PROXY_TRUSTED_PROXIES",
        help="Comma list of networks of the proxies in front. Their `X-Forwarded-*`, `X-Real-IP` and `Forwarded` are "
        "passed on; those of other visitors are replaced. acsrouting: all private networks and `100.64.0.0/10` by default",
        help_zh="前置代理所在网段，逗号分隔。来自这些网段的 `X-Forwarded-*`、`X-Real-IP` 和 `Forwarded` 会被转发，"
        "其他访问者的会被替换。acsrouting 默认为所有私有网段和 `100.64.0.0/10`",
        example="10.0.0.5,192.168.0.0/24",
    ),
    Variable(
        name="PROXY_ACCEPT_PROXY_FROM",
        help="Comma list of addresses and networks of balancers in front. Their connections must begin with the PROXY "
        "protocol (version 1 or 2), on every port but that of the statistics page. The visitor's address is taken from it; "
        "see `docs/client-addresses.md`",
        help_zh="前置负载均衡的地址和网段，逗号分隔。来自它们的连接必须以 PROXY 协议（版本 1 或 2）开头，"
        "统计页面的端口除外。访问者的地址取自该协议；参见 `docs/client-addresses.md`",
        example="10.0.0.5,192.168.7.0/24",
    ),
    Variable(
        name="FORCE_DEFAULT_BACKEND",
        default="True",
        help="`True`: a service without virtual host receives all requests that match no entry. `False`: only "
        "if no service has a virtual host",
        help_zh="`True`：没有虚拟主机的服务接收所有不匹配任何条目的请求。`False`：仅当所有服务都没有虚拟主机时才如此",
        is_switch=True,
    ),
    Variable(
        name="EXTRA_FRONTEND_SETTINGS_<PORT>",
        help="Comma list of lines that are added to the frontend of that port. `use_backend` and `default_backend` accept "
        "the name of an additional backend, and services: `project:service`, `SERVICE_service`, or `default_service` for "
        "the one without virtual host",
        help_zh="添加到该端口 frontend 的配置行，逗号分隔。`use_backend` 和 `default_backend` 可以使用附加 backend 的名称，"
        "以及服务：`project:service`、`SERVICE_service`，或表示没有虚拟主机的服务的 `default_service`",
        example="errorfile 503 /usr/local/etc/haproxy/errors/503.http",
    ),
    Variable(
        name="EXTRA_FRONTEND_SETTINGS_FILE_<PORT>",
        help="Path of a file with such lines, one per line. It is read when the proxy starts",
        help_zh="含有这些配置行的文件路径，每行一条。代理启动时读取",
        example="/etc/proxy/frontend-80.cfg",
    ),
    Variable(
        name="EXTRA_FRONTEND_SETTINGS_<PORT>_FILE",
        help="Another spelling of the variable above",
        help_zh="上一个变量的另一种写法",
        example="/etc/proxy/frontend-80.cfg",
    ),
    Variable(
        name="ADDITIONAL_BACKEND_<NAME>",
        help="Comma list of the lines of an additional backend `NAME`, for servers that are not containers",
        help_zh="附加后端 `NAME` 的配置行，逗号分隔，用于容器以外的服务器",
        example="server legacy 192.0.2.10:80 check",
    ),
    Variable(
        name="ADDITIONAL_BACKEND_FILE_<NAME>",
        help="Path of a file with such lines, one per line. It is read when the proxy starts",
        help_zh="含有这些配置行的文件路径，每行一条。代理启动时读取",
        example="/etc/proxy/legacy.cfg",
    ),
    Variable(
        name="PROXY_MODE",
        default="custom",
        help="Which labels are read: `custom` (`aliyun.proxy.*`) or `acsrouting` (`aliyun.routing.*`)",
        help_zh="读取哪类标签：`custom`（`aliyun.proxy.*`）或 `acsrouting`（`aliyun.routing.*`）",
    ),
    Variable(
        name="PROXY_NETWORK",
        help="Network to use when the proxy and a container share several networks. A service's label `NETWORK` "
        "overrides this value",
        help_zh="代理与容器共享多个网络时使用的网络。服务的 `NETWORK` 标签会覆盖此值",
        example="frontend",
    ),
    Variable(
        name="ROUTE_LINGER",
        default="10",
        help="How many seconds a host keeps its routes after its last container has gone. During this time it "
        "answers 503, and no other service receives its requests",
        help_zh="域名的最后一个容器消失后，其路由保留的秒数。在此期间该域名返回 503，请求不会转到其他服务",
    ),
    Variable(
        name="PROXY_ALLOW_EXTRA_SETTINGS",
        default="true",
        help="What the labels `EXTRA_SETTINGS`, `EXTRA_ROUTE_SETTINGS`, `OPTION` and `HEALTH_CHECK` may contain. `false`: "
        "containers with these labels are refused. `true`: lines that affect only the service itself. `unrestricted`: "
        "any line, also one that reads files, uses other sections or makes many servers",
        help_zh="`EXTRA_SETTINGS`、`EXTRA_ROUTE_SETTINGS`、`OPTION`、`HEALTH_CHECK` 标签可以包含什么。`false`："
        "拒绝带有这些标签的容器。`true`：只允许仅影响该服务自身的配置行。`unrestricted`：允许任何配置行，包括读取文件、引用其他配置段、生成大量服务器的行",
    ),
)

TLS_VARIABLES: tuple[Variable, ...] = (
    Variable(
        name="DEFAULT_SSL_CERT",
        help=r"One-line PEM: private key, then certificate chain, newlines written as `\n`. It is used when the "
        "host name (SNI) matches no certificate",
        help_zh=r"单行 PEM：先私钥，后证书链，换行写作 `\n`。域名（SNI）没有匹配的证书时使用",
        is_secret=True,
    ),
    Variable(
        name="SSL_CERT",
        help="Another name for `DEFAULT_SSL_CERT`. If both are set, `DEFAULT_SSL_CERT` is used",
        help_zh="`DEFAULT_SSL_CERT` 的别名。两者都设置时使用 `DEFAULT_SSL_CERT`",
        is_secret=True,
    ),
    Variable(
        name="EXTRA_SSL_CERTS",
        help="Comma list of the names of other variables. Each of them holds a one-line PEM",
        help_zh="其他环境变量的名称，逗号分隔，每个变量存有一个单行 PEM",
        example="CERT1,CERT2",
    ),
    Variable(
        name="CERT_FOLDER",
        help="Folder of PEM files: key and certificate in one file of any name, `x.crt` with `x.key`, or certbot's "
        "`live`. Changes take effect without a reload. All other certificates are then ignored: `DEFAULT_SSL_CERT`, "
        "`SSL_CERT`, `EXTRA_SSL_CERTS`, and those of services",
        help_zh="PEM 文件目录：私钥和证书在同一文件（名称不限），`x.crt` 加 `x.key`，或 certbot 的 `live`。"
        "变更无需重载即可生效。设置后忽略其他所有证书：`DEFAULT_SSL_CERT`、`SSL_CERT`、"
        "`EXTRA_SSL_CERTS` 以及各服务的证书",
        example="/certs/",
    ),
    Variable(
        name="CA_CERT_FILE",
        help="Path of a CA certificate. Visitors then need a client certificate of this CA. Changes take effect "
        "with a reload. Overrides `CA_CERT`",
        help_zh="CA 证书的文件路径。设置后，访问者须持有由该 CA 签发的客户端证书。变更经重载生效。会覆盖 `CA_CERT`",
        example="/cacerts/cert0.pem",
    ),
    Variable(
        name="CA_CERT",
        help="The same CA certificate as one-line PEM",
        help_zh="同上，以单行 PEM 给出",
        is_secret=True,
    ),
    Variable(
        name="SSL_BIND_OPTIONS",
        default=_BIND_OPTIONS,
        help="Value of `ssl-default-bind-options`. The default is Mozilla's intermediate policy",
        help_zh="`ssl-default-bind-options` 的值。默认为 Mozilla 的 intermediate 策略",
        example="no-sslv3",
    ),
    Variable(
        name="SSL_BIND_CIPHERS",
        default=_BIND_CIPHERS,
        help="Value of `ssl-default-bind-ciphers`, for TLS 1.2 and older. The default is Mozilla's intermediate policy",
        help_zh="`ssl-default-bind-ciphers` 的值，用于 TLS 1.2 及更早版本。默认为 Mozilla 的 intermediate 策略",
    ),
)
