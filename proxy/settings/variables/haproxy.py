"""Rows of the table of environment variables for HAProxy itself, and for how the controller runs."""

from __future__ import annotations

from proxy.settings.variables.variable import Variable

HAPROXY_VARIABLES: tuple[Variable, ...] = (
    Variable(
        name="MAXCONN",
        default="4096",
        help="most connections at a time",
        help_zh="最大同时连接数",
    ),
    Variable(
        name="NBTHREAD",
        help="number of threads; by default one per CPU",
        help_zh="线程数；默认每个 CPU 一个",
        example="2",
    ),
    Variable(
        name="NBPROC",
        help="another name for `NBTHREAD`, which wins: HAProxy has threads where it had processes",
        help_zh="`NBTHREAD` 的旧名，后者优先：HAProxy 以线程取代了进程",
        example="2",
    ),
    Variable(
        name="OPTION",
        default="redispatch, httplog, dontlognull, forwardfor",
        help="comma list of `option` lines of `defaults`",
        help_zh="`defaults` 中的 `option` 行，逗号分隔",
    ),
    Variable(
        name="TIMEOUT",
        default="connect 5000, client 50000, server 50000",
        help="comma list of `timeout` lines of `defaults`; in milliseconds, or with a unit",
        help_zh="`defaults` 中的 `timeout` 行，逗号分隔；单位毫秒，或自带单位",
        example="client 5m, tunnel 8h",
    ),
    Variable(
        name="EXTRA_GLOBAL_SETTINGS",
        help="comma list of lines for `global`",
        help_zh="`global` 的附加配置行，逗号分隔",
        example="tune.ssl.cachesize 20000",
    ),
    Variable(
        name="EXTRA_GLOBAL_SETTINGS_FILE",
        help="path of a file with such lines, one a line",
        help_zh="含有这些配置行的文件路径，每行一条",
        example="/etc/proxy/global.cfg",
    ),
    Variable(
        name="EXTRA_DEFAULT_SETTINGS",
        help="comma list of lines for `defaults`",
        help_zh="`defaults` 的附加配置行，逗号分隔",
        example="retries 2",
    ),
    Variable(
        name="EXTRA_DEFAULT_SETTINGS_FILE",
        help="path of a file with such lines, one a line",
        help_zh="含有这些配置行的文件路径，每行一条",
        example="/etc/proxy/defaults.cfg",
    ),
    Variable(
        name="EXTRA_BIND_SETTINGS",
        help="comma list of `port:setting`, appended to the bind of that port",
        help_zh="以逗号分隔的 `port:setting`，附加到该端口的 bind 行",
        example="443:accept-proxy, 80:name http",
    ),
    Variable(
        name="RSYSLOG_DESTINATION",
        default="127.0.0.1",
        help="`host[:port]` of a syslog server; while unset, the log goes to standard output",
        help_zh="syslog 服务器 `host[:port]`；未设置时日志输出到标准输出",
        example="logs.example.com:514",
    ),
    Variable(
        name="STATS_AUTH",
        default="stats:stats",
        help="comma list of `user:password` for the statistics page",
        help_zh="统计页面的 `user:password`，逗号分隔",
        example="admin:secret",
        is_secret=True,
    ),
    Variable(
        name="STATS_PORT",
        default="1936",
        help="port of the statistics page",
        help_zh="统计页面的端口",
    ),
    Variable(
        name="RELOAD_TIMEOUT",
        default="0",
        help="seconds that an old worker may finish its connections after a reload; 0 is 12 hours",
        help_zh="重载后旧进程处理剩余连接的最长秒数；0 表示 12 小时",
    ),
    Variable(
        name="HAPROXY_USER",
        default="haproxy",
        help="user that HAProxy runs as where it was started as root",
        help_zh="以 root 启动时 HAProxy 所用的用户",
    ),
    Variable(
        name="HAPROXY_GROUP",
        default="haproxy",
        help="group that HAProxy runs as where it was started as root",
        help_zh="以 root 启动时 HAProxy 所用的用户组",
    ),
    Variable(
        name="PROXY_PORT_OFFSET",
        default="0",
        help="added to every port listened on, so that a user without privileges can run the proxy",
        help_zh="加到每个监听端口上，使无特权用户也能运行",
        example="10000",
    ),
)

RUNTIME_VARIABLES: tuple[Variable, ...] = (
    Variable(
        name="PROXY_SOURCES",
        help="comma list of `docker`, `links`, `file`; empty: whatever is there",
        help_zh="`docker`、`links`、`file` 的列表，逗号分隔；空表示自动判断",
        example="docker,file",
    ),
    Variable(
        name="PROXY_SERVICES_FILE",
        help="path of a YAML file of services, watched for changes",
        help_zh="服务的 YAML 文件路径，变更自动生效",
        example="/etc/proxy/services.yml",
    ),
    Variable(
        name="PROXY_STATE_FOLDER",
        default="/var/lib/proxy",
        help="folder of the configuration that runs, and of the last good one",
        help_zh="当前配置和最近一次可用配置所在的目录",
    ),
    Variable(
        name="PROXY_TEMPLATES",
        help="folder of the templates of haproxy.cfg; empty: those that come with the proxy",
        help_zh="haproxy.cfg 模板目录；空表示自带的模板",
        example="/etc/proxy/templates",
    ),
    Variable(
        name="PROXY_HAPROXY",
        default="haproxy",
        help="HAProxy's program, as name or path",
        help_zh="HAProxy 程序的名称或路径",
        example="/usr/local/sbin/haproxy",
    ),
    Variable(
        name="PROXY_RESYNC_SECONDS",
        default="60",
        help="seconds between full looks at all sources, beside their events; more where one takes long",
        help_zh="事件之外，全面核对所有来源的间隔秒数；核对一次耗时较长时自动延长",
    ),
    Variable(
        name="PROXY_STOP_SECONDS",
        default="8",
        help="seconds that requests in flight may take to finish when the proxy is stopped",
        help_zh="停止代理时等待进行中请求完成的秒数",
    ),
    Variable(
        name="DEBUG",
        help="any value but `false`: log in detail",
        help_zh="除 `false` 外的任意值：输出详细日志",
        example="true",
    ),
)
