# The public LTS image of HAProxy, Debian's Python, and this program. No BuildKit needed.
FROM haproxy:3.4

USER root
RUN apt-get update \
 && apt-get install -y --no-install-recommends \
      python3 python3-docker python3-paramiko python3-jinja2 python3-watchdog python3-cryptography python3-yaml python3-tabulate python3-idna \
      tini openssh-client \
 && rm -rf /var/lib/apt/lists/* \
 && printf 'ConnectTimeout 10\nServerAliveInterval 10\nServerAliveCountMax 2\n' > /etc/ssh/ssh_config.d/proxy.conf \
 && install -d -o haproxy -g haproxy -m 700 /var/lib/proxy

COPY proxy /opt/proxy/proxy
COPY launch.py /usr/local/bin/proxy
COPY reload.sh /reload.sh
RUN chmod 755 /usr/local/bin/proxy /reload.sh \
 && python3 -m compileall -q /opt/proxy/proxy

# The same as `__version__` in proxy/__init__.py: tests/unit/test_version.py compares.
LABEL org.opencontainers.image.version="1.1.0"
ENV PYTHONPATH=/opt/proxy PYTHONUNBUFFERED=1
EXPOSE 80 443 1936
VOLUME /var/lib/proxy
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=5s --start-period=10s CMD ["proxy", "health"]

# Starts as root only to join the group of the Docker socket; then runs as `haproxy`, under tini (proxy/commands/privileges.py).
ENTRYPOINT ["proxy"]
CMD ["run", "--drop-root"]
