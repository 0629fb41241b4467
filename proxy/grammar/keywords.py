"""Words of HAProxy's configuration language, as far as a label may use them. Data only.

The lists cover 2.6 to 3.4; `haproxy -dKall -c -f FILE` prints what a version knows. A word that is in no list here is not
allowed.
"""

from __future__ import annotations


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


FETCHES = _words(
    """accept_date acl act_conn always_false always_true base base32 base32+src baseq bin bool bytes_in bytes_out cook
    cook_cnt cook_val cookie date date_us dst dst_conn dst_is_local dst_port hdr hdr_cnt hdr_ip hdr_val hostname
    http_auth_bearer http_auth_pass http_auth_type http_auth_user http_first_req int ipv4 ipv6 meth method path pathq
    payload payload_lv prio_class prio_offset query quic_enabled rand rdp_cookie rdp_cookie_cnt rep_ssl_hello_type
    req_len req_proto_http req_rdp_cookie req_rdp_cookie_cnt req_ssl_hello_type req_ssl_sni req_ssl_ver req_ver
    request_date resp_ver scook scook_cnt scook_val server_status shdr shdr_cnt shdr_ip shdr_val so_id so_name src
    src_is_local src_port status stopping str unique-id url url32 url32+src url_ip url_param url_port urlp urlp_val
    uuid var wait_end"""
)

CONVERTERS = _words(
    """add add_item aes_cbc_dec aes_cbc_enc aes_gcm_dec aes_gcm_enc and b64dec base2 base64 be2dec be2hex bool bytes
    capture-req capture-res concat cpl crc32 crc32c cut_crlf date digest div djb2 even field has_ctl hex hex2i hmac
    host_only htonl http_date iif ipmask json json_query jwt_header_query jwt_payload_query language le2dec length
    lower ltime ltrim mod ms_ltime ms_utime mul neg not odd or param port_only protobuf regsub reverse reverse_dom
    rfc7239_field rfc7239_is_valid rfc7239_n2nn rfc7239_n2np rfc7239_nn rfc7239_np rtrim sdbm secure_memcmp set-var
    sha1 sha2 strcmp sub ub64dec ub64enc ungrpc unset-var upper url_dec url_enc us_ltime us_utime utime word wt6
    x509_v_err_str xor xxh3 xxh32 xxh64"""
)

PLAIN_DIRECTIVES = _words(
    """compression description dynamic-cookie-key errorloc errorloc302 errorloc303 force-persist fullconn
    hash-balance-factor hash-preserve-affinity hash-type http-reuse http-send-name-header ignore-persist
    max-keep-alive-queue max-session-srv-conns maxconn mode persist rate-limit redirect retries retry-on
    srvtcpka-cnt srvtcpka-idle srvtcpka-intvl timeout use-server"""
)
"""Directives that need no check but that of their expressions."""

ACTIONS = _words(
    """accept add-header allow auth capture close del-header deny disable-l7-retry early-hint normalize-uri pause redirect
    reject replace-header replace-path replace-pathq replace-uri replace-value return sc-add-gpc sc-inc-gpc sc-inc-gpc0
    sc-inc-gpc1 sc-set-gpt sc-set-gpt0 set-bandwidth-limit set-bc-tos set-fc-tos set-header set-log-level set-method
    set-path set-pathq set-priority-class set-priority-offset set-query set-retries set-src set-src-port set-status
    set-timeout set-tos set-uri set-var set-var-fmt silent-drop strict-mode tarpit track-sc track-sc0 track-sc1
    track-sc2 unset-var wait-for-body wait-for-handshake"""
)

EXPRESSION_ACTIONS = _words(
    """capture sc-add-gpc sc-set-gpt sc-set-gpt0 set-bc-tos set-fc-tos set-priority-class set-priority-offset set-src
    set-src-port set-var track-sc track-sc0 track-sc1 track-sc2"""
)
"""Actions whose first argument is an expression."""

FILTERS = _words("compression comp-req comp-res bwlim-in bwlim-out")

FORBIDDEN_OPTIONS = {
    **dict.fromkeys(("ca-file", "crl-file", "crt"), "names a file"),
    **dict.fromkeys(("healthcheck", "resolvers", "track"), "names another section"),
    "namespace": "names a network namespace",
    "log-bufsize": "takes memory",
}
"""Option of a `server` line -> what it does, for which a label may not use it."""

_FLAGS = _words(
    """agent-check allow-0rtt backup check check-reuse-pool check-send-proxy check-sni-auto check-ssl check-via-socks4
    disabled enabled force-sslv3 force-tlsv10 force-tlsv11 force-tlsv12 force-tlsv13 no-agent-check no-backup no-check
    no-check-reuse-pool no-check-send-proxy no-check-sni-auto no-check-ssl no-renegotiate no-send-proxy
    no-send-proxy-v2 no-send-proxy-v2-ssl no-send-proxy-v2-ssl-cn no-sni-auto no-ssl no-ssl-reuse no-sslv3 no-tfo
    no-tls-tickets no-tlsv10 no-tlsv11 no-tlsv12 no-tlsv13 non-stick renegotiate send-proxy send-proxy-v2
    send-proxy-v2-ssl send-proxy-v2-ssl-cn sni-auto ssl ssl-reuse stick strict-maxconn tfo tls-tickets"""
)

_OPTIONS = _words(
    """addr agent-addr agent-inter agent-port agent-send alpn cc check-alpn check-pool-conn-name check-proto check-sni
    ciphers ciphersuites client-sigalgs cookie curves downinter error-limit fall fastinter guid hash-key id idle-ping
    init-addr init-state inter interface ktls log-proto max-reuse maxconn maxqueue minconn npn observe on-error
    on-marked-down on-marked-up pool-conn-name pool-low-conn pool-max-conn pool-purge-delay port proto proxy-v2-options
    quic-cc-algo redir resolve-net resolve-opts resolve-prefer rise set-proxy-v2-tlv-fmt shard sigalgs slowstart sni
    socks4 source ssl-max-ver ssl-min-ver tcp-md5sig tcp-ut usesrc verify verifyhost weight ws"""
)

OPTION_VALUES = {
    **dict.fromkeys(_FLAGS, 0),
    **dict.fromkeys(_OPTIONS, 1),
}
"""Option of a `server` line -> the number of its values."""

ADDRESS_OPTIONS = _words("addr agent-addr socks4")
INTERVAL_OPTIONS = _words("agent-inter downinter fastinter inter")
EXPRESSION_OPTIONS = _words("check-pool-conn-name pool-conn-name sni")

KNOWN_WORDS = _words(
    """acl backend balance cookie default-server expects filter frontend http-after-response http-check http-error
    http-request http-response keyword line listen log missing no option parsing server server-template stick stick-table
    tcp-check tcp-request tcp-response unexpected unknown unsupported value expect send"""
).union(FETCHES, CONVERTERS, PLAIN_DIRECTIVES, ACTIONS, FILTERS, FORBIDDEN_OPTIONS, OPTION_VALUES)
"""Words that hide no password, wherever they stand."""
