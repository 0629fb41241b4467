"""Rows of the table of environment variables for HAProxy itself, and for how the controller runs."""

from __future__ import annotations

from proxy.settings.variables.variable import Variable

HAPROXY_VARIABLES: tuple[Variable, ...] = (
    Variable(
        name="MAXCONN",
        default="4096",
        help="Maximum number of connections at the same time",
        help_zh="同时连接数的上限",
    ),
    Variable(
        name="PROXY_MAXCONN_PER_SOURCE",
        help="Maximum number of connections of one address (IPv6: of one `/64` network) on all ports together. Empty: half "
        "of `MAXCONN`. `0` or `off`: no limit. Does not apply to `PROXY_TRUSTED_PROXIES`",
        help_zh="单个地址（IPv6 为单个 `/64` 网段）在所有端口上的连接总数上限。空：`MAXCONN` 的一半。`0` 或 `off`：不限制。"
        "不适用于 `PROXY_TRUSTED_PROXIES`",
        example="500",
    ),
    Variable(
        name="NBTHREAD",
        help="Number of threads. If it is not set, HAProxy uses one per CPU",
        help_zh="线程数。未设置时每个 CPU 一个",
        example="2",
    ),
    Variable(
        name="NBPROC",
        help="Old name of `NBTHREAD`, from the time when HAProxy had processes. If both are set, `NBTHREAD` is used",
        help_zh="`NBTHREAD` 的旧名，来自 HAProxy 使用多进程的时期。两者都设置时使用 `NBTHREAD`",
        example="2",
    ),
    Variable(
        name="OPTION",
        default="redispatch, httplog, dontlognull, forwardfor",
        help="Comma list of `option` lines for `defaults`",
        help_zh="`defaults` 中的 `option` 行，逗号分隔",
    ),
    Variable(
        name="TIMEOUT",
        default="connect 5000, client 50000, server 50000",
        help="Comma list of `timeout` lines for `defaults`, in milliseconds or with a unit",
        help_zh="`defaults` 中的 `timeout` 行，逗号分隔，单位为毫秒，也可自带单位",
        example="client 5m, tunnel 8h",
    ),
    Variable(
        name="EXTRA_GLOBAL_SETTINGS",
        help="Comma list of lines that are added to `global`",
        help_zh="添加到 `global` 的配置行，逗号分隔",
        example="tune.ssl.cachesize 20000",
    ),
    Variable(
        name="EXTRA_GLOBAL_SETTINGS_FILE",
        help="Path of a file with such lines, one per line. It is read when the proxy starts",
        help_zh="含有这些配置行的文件路径，每行一条。代理启动时读取",
        example="/etc/proxy/global.cfg",
    ),
    Variable(
        name="EXTRA_DEFAULT_SETTINGS",
        help="Comma list of lines that are added to `defaults`",
        help_zh="添加到 `defaults` 的配置行，逗号分隔",
        example="retries 2",
    ),
    Variable(
        name="EXTRA_DEFAULT_SETTINGS_FILE",
        help="Path of a file with such lines, one per line. It is read when the proxy starts",
        help_zh="含有这些配置行的文件路径，每行一条。代理启动时读取",
        example="/etc/proxy/defaults.cfg",
    ),
    Variable(
        name="EXTRA_BIND_SETTINGS",
        help="Comma list of `port:setting`. The setting is added to the `bind` line of that port",
        help_zh="以逗号分隔的 `port:setting`，添加到该端口的 `bind` 行",
        example="443:accept-proxy, 80:name http",
    ),
    Variable(
        name="RSYSLOG_DESTINATION",
        default="127.0.0.1",
        help="`host[:port]` of a syslog server. If it is not set, the log goes to standard output",
        help_zh="syslog 服务器 `host[:port]`。未设置时日志输出到标准输出",
        example="logs.example.com:514",
    ),
    Variable(
        name="STATS_AUTH",
        default="stats:stats",
        help="Comma list of `user:password` for the statistics page",
        help_zh="统计页面的 `user:password`，逗号分隔",
        example="admin:secret",
        is_secret=True,
    ),
    Variable(
        name="STATS_PORT",
        default="1936",
        help="Port of the statistics page. `off`: there is none",
        help_zh="统计页面的端口。`off`：不提供统计页面",
    ),
    Variable(
        name="RELOAD_TIMEOUT",
        default="0",
        help="How many seconds an old worker may take to finish its connections after a reload. 0 means 12 hours",
        help_zh="重载后旧进程最多可用多少秒处理完自己的连接。0 表示 12 小时",
    ),
    Variable(
        name="HAPROXY_USER",
        default="haproxy",
        help="User that the proxy and HAProxy run as when the image is started as root",
        help_zh="镜像以 root 启动时，代理和 HAProxy 运行所用的用户",
    ),
    Variable(
        name="HAPROXY_GROUP",
        default="haproxy",
        help="Group that the proxy and HAProxy run as when the image is started as root",
        help_zh="镜像以 root 启动时，代理和 HAProxy 运行所用的用户组",
    ),
    Variable(
        name="PROXY_PORT_OFFSET",
        default="0",
        help="Number that is added to every port that the proxy listens on. With it, a user without privileges "
        "can run the proxy",
        help_zh="加到代理每个监听端口上的数值，使无特权用户也能运行代理",
        example="10000",
    ),
)

RUNTIME_VARIABLES: tuple[Variable, ...] = (
    Variable(
        name="PROXY_SOURCES",
        help="Comma list of `docker`, `links`, `file`. Empty: `docker`, or `links` if there is no engine, and "
        "`file` if `PROXY_SERVICES_FILE` is set",
        help_zh="`docker`、`links`、`file` 的列表，逗号分隔。空：有引擎时为 `docker`，否则为 `links`；设置了 "
        "`PROXY_SERVICES_FILE` 时再加上 `file`",
        example="docker,file",
    ),
    Variable(
        name="PROXY_SERVICES_FILE",
        help="Path of a YAML file of services. Changes take effect at once",
        help_zh="服务的 YAML 文件路径。变更立即生效",
        example="/etc/proxy/services.yml",
    ),
    Variable(
        name="PROXY_STATE_FOLDER",
        default="/var/lib/proxy",
        help="Folder for the configuration that runs, the last good one, and the weights that `proxy weight` has set",
        help_zh="存放当前配置、最近一次可用的配置以及 `proxy weight` 所设比重的目录",
    ),
    Variable(
        name="PROXY_TEMPLATES",
        help="Folder of the templates of haproxy.cfg. Empty: the templates of the proxy. Changes take effect with a reload",
        help_zh="haproxy.cfg 模板目录。空：代理自带的模板。变更经重载生效",
        example="/etc/proxy/templates",
    ),
    Variable(
        name="PROXY_HAPROXY",
        default="haproxy",
        help="Name or path of the HAProxy program",
        help_zh="HAProxy 程序的名称或路径",
        example="/usr/local/sbin/haproxy",
    ),
    Variable(
        name="PROXY_RESYNC_SECONDS",
        default="60",
        help="Interval of the full rescan, in seconds. Longer (up to 600) where a rescan is slow",
        help_zh="全面核对的间隔秒数。核对较慢时自动延长，最长 600 秒",
    ),
    Variable(
        name="PROXY_STOP_SECONDS",
        default="8",
        help="How many seconds requests may take to finish when the proxy is stopped",
        help_zh="停止代理时，进行中的请求最多可用多少秒完成",
    ),
    Variable(
        name="DEBUG",
        help="`true`: write a detailed log",
        help_zh="`true`：输出详细日志",
        example="true",
        is_switch=True,
    ),
)
