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
        help="candidates: empty for the proxy's own project, `project:service,...` for these as well, `*` for all",
        help_zh="候选容器的范围：空表示代理所在的项目，`project:service,...` 表示另加这些服务，`*` 表示全部",
        example="shop:web,blog:web",
    ),
    Variable(
        name="BALANCE",
        default="roundrobin",
        help="balancing algorithm of services that name none",
        help_zh="未指明算法的服务所用的负载均衡算法",
        example="leastconn",
    ),
    Variable(
        name="EXTRA_ROUTE_SETTINGS",
        help="text at the end of each server line; a service's own wins",
        help_zh="附加到每个后端服务器行之后；服务自己的设置优先",
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
        help="comma list of `user:password`; applies to every service without `EXCLUDE_BASIC_AUTH`",
        help_zh="以逗号分隔的 `user:password`；作用于所有未设置 `EXCLUDE_BASIC_AUTH` 的服务",
        example="alice:secret",
        is_secret=True,
    ),
    Variable(
        name="HTTP_BASIC_AUTH_SECURE",
        help="the same with crypted passwords (`mkpasswd -m sha-512`)",
        help_zh="同上，密码为加密形式（`mkpasswd -m sha-512`）",
        example="alice:$6$salt$hash",
        is_secret=True,
    ),
    Variable(
        name="MODE",
        default="http",
        help="`http`, `tcp` (the whole proxy forwards connections) or `health` (it only answers probes)",
        help_zh="`http`、`tcp`（整个代理只转发连接）或 `health`（只应答探测）",
    ),
    Variable(
        name="MONITOR_PORT",
        help="port on which the proxy itself answers a health probe; together with `MONITOR_URI`",
        help_zh="代理自身应答健康探测的端口，与 `MONITOR_URI` 一起设置",
        example="80",
    ),
    Variable(
        name="MONITOR_URI",
        help="path of that health probe",
        help_zh="该健康探测的路径",
        example="/ping",
    ),
    Variable(
        name="SKIP_FORWARDED_PROTO",
        help="any value: add no `X-Forwarded-Proto` nor its kin, for a proxy behind another one that adds them",
        help_zh="任意值：不添加 `X-Forwarded-Proto`、`X-Forwarded-For` 等请求头，适合位于其他代理之后",
        example="yes",
    ),
    Variable(
        name="FORCE_DEFAULT_BACKEND",
        default="True",
        help="`False`: a service without virtual host answers only where no service has one",
        help_zh="`False`：只有在没有任何虚拟主机时，无虚拟主机的服务才作为默认后端",
    ),
    Variable(
        name="EXTRA_FRONTEND_SETTINGS_<PORT>",
        help="comma list of lines for the frontend of that port",
        help_zh="该端口 frontend 的附加配置行，逗号分隔",
        example="errorfile 503 /usr/local/etc/haproxy/errors/503.http",
    ),
    Variable(
        name="EXTRA_FRONTEND_SETTINGS_FILE_<PORT>",
        help="path of a file with such lines, one a line",
        help_zh="含有这些配置行的文件路径，每行一条",
        example="/etc/proxy/frontend-80.cfg",
    ),
    Variable(
        name="EXTRA_FRONTEND_SETTINGS_<PORT>_FILE",
        help="another spelling of the same",
        help_zh="同上，另一种写法",
        example="/etc/proxy/frontend-80.cfg",
    ),
    Variable(
        name="ADDITIONAL_BACKEND_<NAME>",
        help="comma list of the lines of a backend `NAME` that is no container",
        help_zh="名为 `NAME` 的非容器后端的配置行，逗号分隔",
        example="server legacy 192.0.2.10:80 check",
    ),
    Variable(
        name="ADDITIONAL_BACKEND_FILE_<NAME>",
        help="path of a file with such lines, one a line",
        help_zh="含有这些配置行的文件路径，每行一条",
        example="/etc/proxy/legacy.cfg",
    ),
    Variable(
        name="PROXY_MODE",
        default="custom",
        help="which labels are read: `custom` (`aliyun.proxy.*`) or `acsrouting` (`aliyun.routing.*`)",
        help_zh="读取哪类标签：`custom`（`aliyun.proxy.*`）或 `acsrouting`（`aliyun.routing.*`）",
    ),
    Variable(
        name="PROXY_NETWORK",
        help="network preferred where proxy and container share several",
        help_zh="代理与容器共享多个网络时优先使用的网络",
        example="frontend",
    ),
    Variable(
        name="ROUTE_LINGER",
        default="10",
        help="seconds for which a host whose last container has gone answers 503, rather than another service",
        help_zh="最后一个容器消失后，该域名继续返回 503（而不是落到其他服务）的秒数",
    ),
    Variable(
        name="PROXY_ALLOW_EXTRA_SETTINGS",
        default="true",
        help="`false`: labels with free-form HAProxy settings are refused",
        help_zh="`false`：拒绝标签中的自由格式 HAProxy 配置",
    ),
)

TLS_VARIABLES: tuple[Variable, ...] = (
    Variable(
        name="DEFAULT_SSL_CERT",
        help=r"one-line PEM (private key, then certificate chain; newlines written as `\n`) for when no SNI matches",
        help_zh=r"单行 PEM（先私钥，后证书链，换行写作 `\n`）；没有 SNI 匹配时使用",
        is_secret=True,
    ),
    Variable(
        name="SSL_CERT",
        help="another name for `DEFAULT_SSL_CERT`, which wins",
        help_zh="`DEFAULT_SSL_CERT` 的别名，后者优先",
        is_secret=True,
    ),
    Variable(
        name="EXTRA_SSL_CERTS",
        help="comma list of names of further variables that hold one-line PEMs",
        help_zh="其他存有单行 PEM 的环境变量名，逗号分隔",
        example="CERT1,CERT2",
    ),
    Variable(
        name="CERT_FOLDER",
        help="folder of PEM files, watched for changes; `DEFAULT_SSL_CERT` and `SSL_CERT` are then ignored",
        help_zh="PEM 文件目录，变更自动生效；设置后忽略 `DEFAULT_SSL_CERT` 和 `SSL_CERT`",
        example="/certs/",
    ),
    Variable(
        name="CA_CERT_FILE",
        help="path of the CA that client certificates must chain to; wins over `CA_CERT`",
        help_zh="客户端证书须由其签发的 CA 文件路径；优先于 `CA_CERT`",
        example="/cacerts/cert0.pem",
    ),
    Variable(
        name="CA_CERT",
        help="the same CA as one-line PEM",
        help_zh="同上，单行 PEM",
        is_secret=True,
    ),
    Variable(
        name="SSL_BIND_OPTIONS",
        default=_BIND_OPTIONS,
        help="`ssl-default-bind-options`; the default is Mozilla's intermediate policy",
        help_zh="`ssl-default-bind-options`；默认为 Mozilla 的 intermediate 策略",
        example="no-sslv3",
    ),
    Variable(
        name="SSL_BIND_CIPHERS",
        default=_BIND_CIPHERS,
        help="`ssl-default-bind-ciphers`, for TLS 1.2 and older; the default is Mozilla's intermediate policy",
        help_zh="`ssl-default-bind-ciphers`，用于 TLS 1.2 及更早版本；默认为 Mozilla 的 intermediate 策略",
    ),
)
