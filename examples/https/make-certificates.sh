#!/bin/sh
# Writes self-signed certificates for both services of compose.yml to .env, one line each; Compose reads it from there.
set -eu
cd "$(dirname "$0")"
umask 077
folder=$(mktemp -d)
trap 'rm -r "$folder"' EXIT

for service in appone apptwo; do
    name=$service.example.com
    openssl req -x509 -newkey rsa:2048 -nodes -days 365 -subj "/CN=$name" -addext "subjectAltName=DNS:$name" \
        -keyout "$folder/key.pem" -out "$folder/certificate.pem" 2> "$folder/errors" || { cat "$folder/errors" >&2; exit 1; }
    variable=$(echo "$service" | tr a-z A-Z)_CERT
    # Within single quotes Compose leaves \n as it is: two characters.
    echo "$variable='$(cat "$folder/key.pem" "$folder/certificate.pem" | awk 1 ORS='\\n')'"
done > "$folder/env"
mv "$folder/env" .env
