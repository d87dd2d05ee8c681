# Programs that check the MCP server, kept in target/protocol; sourced after setup.sh.

protocol_tools="${CARGO_TARGET_DIR:-$PWD/target}/protocol"

# need_node_tools  Installs the conformance suite, the Inspector and the Node that they need, in fixed versions.
need_node_tools() {
  need_packages npm:npm node:nodejs
  mkdir -p "$protocol_tools"
  if ! cmp -s scripts/conformance.d/package.json "$protocol_tools/installed.json"; then
    step "Installing the protocol's conformance suite and the Inspector into $protocol_tools"
    cp scripts/conformance.d/package.json "$protocol_tools/package.json"
    (cd "$protocol_tools" && npm install --no-fund --no-audit --loglevel=error) ||
      fail "npm could not install the packages of scripts/conformance.d/package.json; the lines above say why"
    cp scripts/conformance.d/package.json "$protocol_tools/installed.json"
  fi
  PATH="$protocol_tools/node_modules/.bin:$PATH"
}

# need_python_client  Installs the protocol's Python client into an environment of its own.
need_python_client() {
  need_packages python3:python3
  local version=2.3.0
  if [ "$(cat "$protocol_tools/python/version" 2>/dev/null)" != "$version" ]; then
    step "Installing the protocol's Python client into $protocol_tools"
    python3 -m venv "$protocol_tools/python" ||
      fail "python3 cannot make an environment; install its venv module (Debian: python3-venv) and run this again"
    "$protocol_tools/python/bin/pip" --quiet --disable-pip-version-check install "mcp==$version" ||
      fail "pip could not install mcp==$version; the lines above say why"
    printf '%s' "$version" >"$protocol_tools/python/version"
  fi
}

# need_schemathesis  Installs Schemathesis into an environment of its own, and leaves its program in $schemathesis.
need_schemathesis() {
  local version=4.32.5
  schemathesis="$protocol_tools/schemathesis/bin/schemathesis"
  if [ "$(cat "$protocol_tools/schemathesis/version" 2>/dev/null)" != "$version" ]; then
    step "Installing Schemathesis into $protocol_tools"
    python3 -m venv "$protocol_tools/schemathesis" ||
      fail "python3 cannot make an environment; install its venv module (Debian: python3-venv) and run this again"
    "$protocol_tools/schemathesis/bin/pip" --quiet --disable-pip-version-check install "schemathesis==$version" ||
      fail "pip could not install schemathesis==$version; the lines above say why"
    printf '%s' "$version" >"$protocol_tools/schemathesis/version"
  fi
}

# start_server LOG COMMAND...  Starts a server that takes a free port, waits until it accepts connections, and leaves its
# address in $server_address and its process in $server_pid. Whoever calls this ends it with end_server.
start_server() {
  local log=$1 waited=0
  shift
  "$@" >"$log" 2>&1 </dev/null &
  server_pid=$!
  until grep -q 'Ready to accept connections' "$log"; do
    kill -0 "$server_pid" 2>/dev/null || { cat "$log" >&2; fail "the server ended at once; its words are above"; }
    waited=$((waited + 1))
    [ "$waited" -lt 200 ] || { cat "$log" >&2; fail "the server is not ready after 20 seconds; its words are above"; }
    sleep 0.1
  done
  server_address=$(sed -n 's/.*Starting .* MCP server on //p' "$log" | head -n 1)
}

end_server() {
  [ -n "${server_pid:-}" ] || return 0
  kill "$server_pid" 2>/dev/null || true
  wait "$server_pid" 2>/dev/null || true
  server_pid=
}
