#!/bin/sh
# Checksums of what is released, signed with an SSH key, and their check:
#
#   KEY=~/.ssh/id_ed25519 release/checksums.sh sign dist          writes dist/SHA256SUMS and dist/SHA256SUMS.sig
#   SIGNERS=allowed_signers release/checksums.sh verify dist      checks the signature, then every file
#
# KEY is a private key, or a public one whose private one an ssh-agent has; SIGNERS a file of `ssh-keygen -Y verify`: a
# line of an identity and a public key for each who may sign (IDENTITY, if there are several: releases@gsdd-rt).
# Without a key nothing is written, and a file that has no line in SHA256SUMS is an error.
set -eu

SPACE=gsdd-rt-release
IDENTITY=${IDENTITY:-releases@gsdd-rt}

refuse() { echo "checksums: $1" >&2; exit 1; }

[ $# = 2 ] || refuse "say 'sign FOLDER' or 'verify FOLDER'"
cd "$2" || refuse "no folder $2"

files() { find . -type f ! -name 'SHA256SUMS*' | LC_ALL=C sort | sed 's|^\./||'; }

case $1 in
  sign)
    [ -n "${KEY:-}" ] || refuse "no key: name one by KEY=FILE; what is not signed is not released"
    [ -f "$KEY" ] || refuse "no key in $KEY"
    [ -n "$(files)" ] || refuse "there is nothing to sign in $2"
    files | while IFS= read -r file; do sha256sum -- "$file"; done > SHA256SUMS.new
    rm -f SHA256SUMS.new.sig
    ssh-keygen -q -Y sign -f "$KEY" -n "$SPACE" SHA256SUMS.new || { rm -f SHA256SUMS.new; refuse "not signed"; }
    mv SHA256SUMS.new.sig SHA256SUMS.sig
    mv SHA256SUMS.new SHA256SUMS
    echo "signed: $(wc -l < SHA256SUMS) files"
    ;;
  verify)
    [ -n "${SIGNERS:-}" ] || refuse "whose signature? name a file of allowed signers by SIGNERS=FILE"
    [ -f "$SIGNERS" ] || refuse "no allowed signers in $SIGNERS"
    [ -f SHA256SUMS ] && [ -f SHA256SUMS.sig ] || refuse "$2 has no signed checksums"
    ssh-keygen -q -Y verify -f "$SIGNERS" -I "$IDENTITY" -n "$SPACE" -s SHA256SUMS.sig < SHA256SUMS > /dev/null ||
      refuse "the signature is not of $IDENTITY"
    sha256sum --check --strict --quiet SHA256SUMS || refuse "a file is not the one that was signed"
    files | while IFS= read -r file; do
      cut -c 67- SHA256SUMS | grep -qxF -- "$file" || refuse "$file was not signed"
    done
    echo "right: $(wc -l < SHA256SUMS) files"
    ;;
  *) refuse "say 'sign FOLDER' or 'verify FOLDER'" ;;
esac
